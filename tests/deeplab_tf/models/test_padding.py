"""Padding to whole cells and to 513 pixels, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models.padding import PadToCells, PadToMultiple, pad_to_cells


def test_padding_by_hand():
    images = tf.fill([1, 2, 3, 3], 7.0)
    padded = pad_to_cells(images, 2).numpy()
    assert padded.shape == (1, 3, 3, 3)
    np.testing.assert_array_equal(padded[:, :2], images)
    np.testing.assert_array_equal(padded[0, 2], np.tile(np.float32(MEAN_RGB), (3, 1)))


def test_further_channels_are_padded_with_their_mean():
    padded = pad_to_cells(tf.fill([1, 1, 1, 5], 7.0), 2, pad_to=2)
    np.testing.assert_array_equal(padded[0, 2, 1], np.float32([*MEAN_RGB, 127.5, 127.5]))
    np.testing.assert_array_equal(padded[0, 0, 0], [7] * 5)


def test_padding_with_a_color():
    """As a layer too, which an older file has without a color."""
    images = tf.fill([1, 1, 1, 3], 7.0)
    want = np.float32([[[7, 7, 7], [1, 2, 3]], [[1, 2, 3]] * 2])
    layer = PadToCells(2, (1, 2, 3))
    same = PadToCells.from_config(layer.get_config())
    for padded in (
        pad_to_cells(images, 2, pad_to=2, color=(1, 2, 3))[:, :2, :2],
        layer(tf.pad(images, [[0, 0], [0, 1], [0, 1], [0, 0]], constant_values=7.0))[:, 1:, 1:],
        same(tf.pad(images, [[0, 0], [0, 1], [0, 1], [0, 0]], constant_values=7.0))[:, 1:, 1:],
    ):
        np.testing.assert_array_equal(padded[0], want)
    config = {name: value for name, value in layer.get_config().items() if name != "color"}
    old = PadToCells.from_config(config)(tf.fill([1, 2, 1, 3], 7.0))
    np.testing.assert_array_equal(old[0, 2, 0], np.float32(MEAN_RGB))


@pytest.mark.parametrize(
    ("size", "pad_to", "padded"),
    [
        ((9, 17), None, (9, 17)),
        ((8, 18), None, (9, 25)),
        ((1, 2), None, (1, 9)),
        ((8, 17), 33, (33, 33)),
        ((8, 40), 33, (33, 41)),
        ((8, 17), 30, (33, 33)),
    ],
)
def test_sizes_of_whole_cells(size, pad_to, padded):
    assert pad_to_cells(tf.zeros((1, *size, 3)), 8, pad_to).shape[1:3] == padded


@pytest.mark.usefixtures("tf_seed")
def test_padding_to_a_multiple():
    images = tf.random.uniform((1, 5, 8, 3))
    padded = PadToMultiple(4)(images)
    assert padded.shape == (1, 8, 8, 3)
    np.testing.assert_array_equal(padded[:, :5], images)
    np.testing.assert_allclose(padded[0, 7, 7], MEAN_RGB, rtol=1e-6)
