import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.crop_kernels import (
    change_colors,
    holds_unknown,
    resample_image,
    resample_label,
)

PADDING = np.array([1, 2, 3], np.float32)


def _ints(*values):
    return np.array(values, np.int64)


def _image(image, crop, scaled, corner=(0, 0), mirrored=False, offset=(0, 0), size=None):
    out = np.full((crop, crop, 3), np.nan, np.float32)
    size = _ints(*(size or image.shape[:2]))
    place = (_ints(*offset), size, _ints(*scaled), _ints(*corner), mirrored)
    filled = resample_image(image, *place, PADDING, out)
    return out, filled


def _label(label, crop, scaled, corner=(0, 0), mirrored=False, offset=(0, 0), size=None):
    out = np.full((crop, crop), 77, np.uint8)
    size = _ints(*(size or label.shape))
    place = (_ints(*offset), size, _ints(*scaled), _ints(*corner), mirrored)
    resample_label(label, *place, 255, out)
    return out


def test_hand_checked():
    label = np.array([[0, 4]], np.uint8)
    image = np.repeat(label[..., None], 3, axis=2)
    # Pixel centres of the doubled row lie at -0.25, 0.25, 0.75, 1.25 of the row.
    out, filled = _image(image, 4, scaled=(2, 4))
    assert filled == (2, 4)
    np.testing.assert_allclose(out[:2, :, 1], [[0, 1, 3, 4], [0, 1, 3, 4]])
    np.testing.assert_array_equal(out[2:], np.tile(PADDING, (2, 4, 1)))
    np.testing.assert_array_equal(
        _label(label, 4, scaled=(2, 4)),
        [[0, 0, 4, 4], [0, 0, 4, 4], [255] * 4, [255] * 4],
    )


def test_mirrored_padding_is_on_the_left():
    label = np.array([[1, 2]], np.uint8)
    image = np.repeat(label[..., None], 3, axis=2)
    out, _ = _image(image, 3, scaled=(1, 2), mirrored=True)
    np.testing.assert_array_equal(out[0], [PADDING, [2, 2, 2], [1, 1, 1]])
    np.testing.assert_array_equal(_label(label, 3, scaled=(1, 2), mirrored=True)[0], [255, 2, 1])


@pytest.mark.parametrize("mirrored", [False, True])
def test_equals_resizing_in_tensorflow_and_cropping(mirrored):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (23, 31, 3), np.uint8)
    label = rng.integers(0, 256, (23, 31), np.uint8)
    for _ in range(40):
        scaled = rng.integers(9, 60, 2)
        corner = [rng.integers(0, side - 8) for side in scaled]
        window = (slice(corner[0], corner[0] + 9), slice(corner[1], corner[1] + 9))
        step = -1 if mirrored else 1
        want = tf.image.resize(image, scaled).numpy()[window][:, ::step]
        np.testing.assert_allclose(_image(image, 9, scaled, corner, mirrored)[0], want, atol=1e-3)
        want = tf.image.resize(label[..., None], scaled, "nearest").numpy()[..., 0]
        np.testing.assert_array_equal(
            _label(label, 9, scaled, corner, mirrored), want[window][:, ::step]
        )


def test_a_part_of_the_image_is_enough():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    place = {"scaled": (25, 25), "corner": (12, 11), "size": (20, 30)}
    want, _ = _image(image, 6, **place)
    part, _ = _image(np.ascontiguousarray(image[8:16, 12:24]), 6, offset=(-8, -12), **place)
    np.testing.assert_array_equal(part, want)
    # Neither is what lies outside a tile seen: the tile alone gives the same.
    tile, _ = _image(np.ascontiguousarray(image[3:13, 5:20]), 9, scaled=(9, 9))
    inside, _ = _image(image, 9, scaled=(9, 9), size=(10, 15), offset=(3, 5))
    np.testing.assert_array_equal(inside, tile)


@pytest.mark.parametrize("mirrored", [False, True])
def test_colors_change_outside_the_padding_alone(mirrored):
    image = np.full((3, 3, 3), 100, np.float32)
    change = np.array([[1, 1, 0, 5], [0, 3, 0, 0], [0, 0, 0, -1]], np.float32)
    change_colors(image, 2, 1, mirrored, change)
    want = np.full((3, 3, 3), 100.0)
    want[:2, 2 if mirrored else 0] = [205, 255, 0]
    np.testing.assert_array_equal(image, want)


@pytest.mark.parametrize(
    ("values", "unknown"), [([0, 20, 255], False), ([0, 21], True), ([254, 255], True)]
)
def test_unknown_labels_are_found(values, unknown):
    label = np.zeros((70, 3), np.uint8)
    label[-1, : len(values)] = values
    assert holds_unknown(label, 21, 255) == unknown
