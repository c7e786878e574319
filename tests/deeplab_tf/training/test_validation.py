from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams
from deeplab_tf.data.examples import Example
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet
from deeplab_tf.training.validation import Validation

DARK, BRIGHT = 0, 1


def bright_or_dark():
    """A network that predicts class 1 for pixels brighter than 127, else class 0."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(1, strides=8, padding="same")(inputs)
    layer = keras.layers.Conv2D(2, 1, name="fc8")
    model = keras.Model(inputs, layer(x))
    layer.set_weights([np.array([[[[0, 1.0]] * 3]]), np.array([127 * 3.0, 0])])
    return model


@pytest.fixture
def examples(tmp_path):
    """Four flat images, dark, bright, dark, bright; the last one's label is wrong."""
    made = []
    for i, value in enumerate((10, 240, 10, 240)):
        label = DARK if i == 3 else int(value > 127)
        paths = [tmp_path / f"{i}.png", tmp_path / f"{i}_label.png"]
        for path, picture in zip(
            paths, (np.full((17, 25, 3), value), np.full((17, 25, 1), label)), strict=True
        ):
            path.write_bytes(tf.io.encode_png(picture.astype(np.uint8)).numpy())
        made.append(Example(str(i), *map(str, paths)))
    return made


def test_score_is_the_miou_by_hand(examples):
    # Dark: two right, one missed: 2/3. Bright: one right, one too many: 1/2.
    score, pictures, curves = Validation(examples, LabelSet.generic(2)).score(bright_or_dark())
    assert len(pictures) == 3
    assert score == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert curves == pytest.approx({"class_iou/class 0": 2 / 3, "class_iou/class 1": 1 / 2})


def test_only_the_images_asked_for_are_scored(examples):
    validation = Validation(examples, LabelSet.generic(2), max_images=1)
    score, pictures, curves = validation.score(bright_or_dark())
    assert (score, len(pictures)) == (1, 1)
    assert curves == {"class_iou/class 0": 1}  # the other class does not occur


def columns(picture, count, width=25, height=17):
    """The cells of a panel of one row, below the captions, which a gap of 6 pixels separates."""
    top, step = 22 + 6, width + 6
    return [picture[top : top + height, 6 + i * step : 6 + i * step + width] for i in range(count)]


def test_pictures_are_image_truth_and_prediction(examples):
    labels = LabelSet.generic(2)
    _, pictures, _ = Validation(examples, labels, num_pictures=4).score(bright_or_dark())
    assert len(pictures) == 4
    colors = labels.color_table()
    for picture, value, truth, found in zip(
        pictures, (10, 240, 10, 240), (0, 1, 0, 0), (0, 1, 0, 1), strict=True
    ):
        assert picture.dtype == np.uint8
        assert (picture[:22] < 128).any()  # captions
        for cell, color in zip(
            columns(picture, 3), (value, colors[truth], colors[found]), strict=True
        ):
            assert (cell == color).all()


def test_large_images_are_drawn_smaller(tmp_path):
    paths = [str(tmp_path / name) for name in ("large.png", "label.png")]
    for path, shape in zip(paths, ((320, 960, 3), (320, 960, 1)), strict=True):
        Path(path).write_bytes(tf.io.encode_png(np.ones(shape, np.uint8)).numpy())
    _, (picture,), _ = Validation(
        [Example("large", *paths)], LabelSet.generic(2), num_pictures=1
    ).score(bright_or_dark())
    bright = LabelSet.generic(2).color_table()[BRIGHT]
    assert picture.shape[1] == 3 * 480 + 4 * 6
    assert (columns(picture, 3, 480, 160)[1] == bright).all()


def test_score_and_pictures_are_those_after_the_crf_if_one_is_given(examples):
    # A compatibility that overrules every image: bright costs nothing, dark costs a lot.
    crf = CRFParams(w1=0, w2=60, sigma_gamma=2, compatibility=((5, 5), (0, 0)))
    validation = Validation(examples, LabelSet.generic(2), num_pictures=4)
    score, pictures, _ = validation.score(bright_or_dark(), crf)
    # Everything is predicted bright: dark has IoU 0/3; bright is right in one image of four.
    assert score == pytest.approx((0 + 1 / 4) / 2)
    colors = LabelSet.generic(2).color_table()
    for picture, before in zip(pictures, (DARK, BRIGHT) * 2, strict=True):
        _, _, network, after = columns(picture, 4)
        assert (network == colors[before]).all() and (after == colors[BRIGHT]).all()


def test_unreadable_image_is_an_input_error(examples):
    validation = Validation([examples[0]._replace(image="gone.jpg")], LabelSet.generic(2))
    with pytest.raises(InputError, match=r"gone\.jpg"):
        validation.score(bright_or_dark())
