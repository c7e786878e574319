import numpy as np

from deeplab_tf.evaluation.image_choice import choose_images


def chosen(*scores, **options):
    return dict(choose_images(*map(np.array, scores), **options))


def test_best_median_and_worst():
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6])
    assert chosen(scores) == {"best": [2, 6, 4], "median": [8, 0, 7], "worst": [1, 5, 3]}
    assert chosen(scores, size=1) == {"best": [2], "median": [0], "worst": [1]}


def test_what_the_crf_changed_most_is_told_by_the_change():
    before = np.array([0.5, 0.6, 0.2, 0.9, 0.4])
    after = np.array([0.6, 0.5, 0.5, 0.9, 0.1])
    assert chosen(before, after) == {
        "best": [3],
        "median": [1],
        "worst": [4],
        "most improved by the CRF": [2, 0],
        "most damaged by the CRF": [4, 1],
    }
    assert set(chosen(before, before)) == {"best", "median", "worst"}


def test_few_images_are_shown_once():
    assert chosen([0.5]) == {"best": [0]}
    assert chosen([0.5, 0.7]) == {"best": [1], "worst": [0]}
    assert chosen([0.5, 0.7, 0.6]) == {"best": [1], "median": [2], "worst": [0]}


def test_images_that_are_all_void_are_left_out():
    nan = float("nan")
    assert chosen([nan, 0.4, nan]) == {"best": [1]}
    assert chosen([nan], [nan]) == {}
