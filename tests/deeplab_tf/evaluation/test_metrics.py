import json

import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.metrics import ConfusionMatrix


@pytest.fixture
def by_hand():
    """Truth 0 0 0 1 1 2 and void, predicted 0 0 1 1 2 2 and 0."""
    confusion = ConfusionMatrix(4)
    truth = np.array([[0, 0, 0, 1], [1, 2, 255, 255]], np.uint8)
    found = np.array([[0, 0, 1, 1], [2, 2, 0, 255]], np.uint8)
    confusion.add(truth, found)
    return confusion


def test_rows_of_the_matrix_are_true_classes(by_hand):
    expected = [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(by_hand.matrix, expected)
    assert by_hand.matrix.dtype == np.int64


def test_scores_by_hand(by_hand):
    np.testing.assert_allclose(by_hand.per_class_iou, [2 / 3, 1 / 3, 1 / 2, np.nan])
    assert by_hand.pixel_accuracy == pytest.approx(4 / 6)
    assert by_hand.mean_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert by_hand.miou == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)
    weighted = (3 * 2 / 3 + 2 * 1 / 3 + 1 * 1 / 2) / 6
    assert by_hand.frequency_weighted_iou == pytest.approx(weighted)


def test_a_class_that_is_predicted_but_never_true_has_iou_zero():
    confusion = ConfusionMatrix(3)
    confusion.add(np.uint8([0, 0]), np.uint8([0, 1]))
    np.testing.assert_allclose(confusion.per_class_iou, [0.5, 0, np.nan])
    assert confusion.miou == 0.25
    assert confusion.mean_accuracy == 0.5
    assert confusion.frequency_weighted_iou == 0.5


def test_images_add_up():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (3, 7, 6)).astype(np.uint8)
    found = rng.integers(0, 5, (3, 7, 6)).astype(np.uint8)
    together, apart = ConfusionMatrix(5), ConfusionMatrix(5)
    together.add(truth, found)
    for pair in zip(truth, found, strict=True):
        apart.add(*pair)
    np.testing.assert_array_equal(together.matrix, apart.matrix)


def test_agrees_with_sets_of_pixels():
    """The oracle: intersection and union counted as sets, class by class."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 6, (40, 50)).astype(np.uint8)
    found = np.where(rng.random((40, 50)) < 0.6, truth, rng.integers(0, 6, (40, 50)))
    truth[rng.random((40, 50)) < 0.1] = 255
    confusion = ConfusionMatrix(6)
    confusion.add(truth, found)
    valid = truth != 255
    for index in range(6):
        both = ((truth == index) & (found == index) & valid).sum()
        either = (((truth == index) | (found == index)) & valid).sum()
        assert confusion.per_class_iou[index] == pytest.approx(both / either)
    assert confusion.pixel_accuracy == pytest.approx((truth == found)[valid].mean())


def test_a_perfect_result_scores_one():
    confusion = ConfusionMatrix(3)
    confusion.add(np.uint8([0, 1, 1, 255]), np.uint8([0, 1, 1, 2]))
    scores = confusion.to_dict()
    assert scores.pop("per_class_iou") == {"class 0": 1.0, "class 1": 1.0, "class 2": None}
    assert set(scores.values()) == {1.0}


def test_scores_are_nan_before_anything_is_counted():
    confusion = ConfusionMatrix(2)
    confusion.add(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8))
    scores = confusion.to_dict()
    assert scores.pop("per_class_iou") == {"class 0": None, "class 1": None}
    assert set(scores.values()) == {None}


def test_dict_is_json_with_the_class_names(by_hand):
    scores = json.loads(json.dumps(by_hand.to_dict(["a", "b", "c", "d"]), allow_nan=False))
    assert scores["per_class_iou"]["b"] == pytest.approx(1 / 3)
    assert scores["per_class_iou"]["d"] is None
    assert scores["miou"] == by_hand.miou
    with pytest.raises(ValueError):
        by_hand.to_dict(["a", "b"])


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([0, 3], [0, 1], "label value 3 but only 3 classes"),
        ([0, 1], [0, 255], "prediction value 255 but only 3 classes"),
        ([0, 1], [0, -1], "prediction value -1 but"),
        ([0, 1], [0, 1, 2], "give arrays of the same shape"),
    ],
)
def test_bad_values_are_named(truth, found, message):
    with pytest.raises(InputError, match=message):
        ConfusionMatrix(3).add(np.array(truth), np.array(found))
