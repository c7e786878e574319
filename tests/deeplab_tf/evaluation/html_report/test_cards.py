import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from tiny_report import CLASSES, scored

from deeplab_tf.data.examples import Example
from deeplab_tf.evaluation.html_report.cards import (
    CORRECTED,
    DAMAGED,
    OUTCOMES,
    RIGHT,
    WRONG,
    describe,
    make_card,
    outcomes,
)
from deeplab_tf.evaluation.predict_dataset import Prediction
from deeplab_tf.labels import VOID


def opened(picture):
    kind, text = re.fullmatch("data:image/(jpeg|png);base64,(.*)", picture.url).groups()
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert image.format == kind.upper()
    return np.array(image.convert("RGB"))


def test_outcomes_by_hand():
    truth, before, after = np.uint8([[0, 0, 0, 0, VOID], [0, 1, 1, 0, 1], [0, 1, 0, 1, 1]])[:, None]
    expected = [[RIGHT, WRONG, CORRECTED, DAMAGED, VOID]]
    np.testing.assert_array_equal(outcomes(truth, before, after), expected)
    np.testing.assert_array_equal(outcomes(truth, before), [[RIGHT, WRONG, WRONG, RIGHT, VOID]])


def test_a_card_shows_image_truth_results_and_errors():
    prediction = scored(2)
    card = make_card(prediction, CLASSES)
    assert card.name == "scene 2"
    assert card.size == (90, 60)
    titles = [picture.title for picture in card.pictures]
    assert titles == ["image", "truth", "before CRF", "after CRF", "errors"]
    image, truth, before, after, errors = map(opened, card.pictures)
    assert np.abs(image.astype(int) - prediction.image).mean() < 8
    colors = CLASSES.color_table()
    for shown, labels in zip(
        (truth, before, after), (prediction.truth, *prediction.labels), strict=True
    ):
        np.testing.assert_array_equal(shown, colors[labels])
    wrong = (prediction.truth != prediction.labels[0]) & (prediction.truth != prediction.labels[1])
    wrong &= prediction.truth != VOID
    np.testing.assert_array_equal((errors == OUTCOMES["wrong"]).all(axis=2), wrong)
    assert wrong.any()


def test_without_a_crf():
    card = make_card(scored(2, with_crf=False), CLASSES)
    assert [picture.title for picture in card.pictures] == ["image", "truth", "network", "errors"]


@pytest.mark.parametrize(("size", "shown"), [((960, 480), (240, 480)), ((3, 2000), (480, 1))])
def test_pictures_are_small(size, shown):
    labels = np.zeros(size, np.uint8)
    labels[:, size[1] // 2 :] = 2
    image = np.zeros((*size, 3), np.uint8)
    card = make_card(Prediction(Example("x", "", ""), image, labels, (labels,)), CLASSES)
    assert card.size == shown
    for picture in card.pictures:
        assert opened(picture).shape == (*shown[::-1], 3)
    # Classes are not mixed.
    colors = np.unique(opened(card.pictures[1]).reshape(-1, 3), axis=0)
    assert len(colors) == 2


def test_fifteen_images_of_noise_are_far_below_20_mb():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (700, 700, 3)).astype(np.uint8)
    truth, before, after = rng.integers(0, 254, (3, 700, 700)).astype(np.uint8)
    classes = CLASSES.generic(254)
    card = make_card(Prediction(Example("x", "", ""), image, truth, (before, after)), classes)
    assert 15 * sum(len(picture.url) for picture in card.pictures) < 20e6


def test_words_for_label_maps():
    labels = np.uint8([[0] * 50, [1] * 25 + [2] * 15 + [VOID] * 10])
    names = ["sky", "road", "car", "tree"]
    assert describe(labels, names) == "sky 56 %, road 28 %, car 17 %"
    assert describe(labels, names, longest=1) == "sky 56 %, other 44 %"
    assert describe(labels, names, others=False, longest=1) == "sky 56 %"
    assert describe(labels * 0 + VOID, names) == "only void"
