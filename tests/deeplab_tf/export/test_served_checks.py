import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks

from deeplab_tf import InputError
from deeplab_tf.export.served_checks import check_levels, check_limits, check_sizes

SCENE = blocks(20, 30).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda levels: levels / 255, r"images\[1\] holds values from 0\.\d+ to 0\.\d+; send RGB"),
        (lambda levels: levels / 127.5 - 1, r"images\[1\] holds values from -0\.\d+ to 0\.\d+; "),
        (lambda levels: levels - 120, r"images\[1\] holds values from -\d+ to \d+; send RGB"),
        (lambda levels: levels * 257, r"images\[1\] holds values from \d+ to \d+; send RGB"),
        (lambda levels: np.where(levels == levels[0, 0], np.nan, levels), "holds NaN or infinite"),
        (lambda levels: np.where(levels == levels[0, 0], np.inf, levels), "holds NaN or infinite"),
        (lambda levels: np.where(levels == levels[0, 0], -np.inf, levels), "holds NaN or infinite"),
    ],
)
def test_values_that_are_no_levels(change, message):
    images = np.stack([SCENE, change(SCENE), SCENE]).astype(np.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        check_levels(images)


def test_dark_images_and_values_that_round_to_levels():
    images = np.stack([0 * SCENE, SCENE % 2, np.clip(SCENE - 60.4, -0.5, 255), SCENE * 0 + 255.4])
    np.testing.assert_array_equal(check_levels(images.astype(np.float32)), images)


def test_sizes():
    images = np.zeros((2, 3, 5, 3), np.uint8)
    for limit in (None, 15, 10**12):
        assert check_sizes(images, limit).shape == images.shape
    message = "images of 5x3 pixels, but at most 14 pixels are taken; reduce them"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        check_sizes(images, 14)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0 3 5 3\] are empty; send"):
        check_sizes(images[:0], 14)


def test_limits_that_cannot_be():
    check_limits({"max_pixels": 1, "max_side": None})
    check_limits({"max_pixels": None, "max_side": None}, (30, 40))
    for name in ("max_pixels", "max_side"):
        with pytest.raises(InputError, match=f"{name} 0; give a number of pixels, or None"):
            check_limits({name: 0})
        with pytest.raises(InputError, match=f"{name} 9 has no effect with image_size; give one"):
            check_limits({name: 9}, (30, 40))
