"""Several input scales with shared weights, fused by the maximum."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.multiscale import fuse_scales, resize_aligned, resized_length, with_branches


def test_sizes_as_published():
    assert [resized_length(321, s) for s in (1, 0.75, 0.5)] == [321, 241, 161]
    assert [resized_length(41, s) for s in (1, 0.75, 0.5)] == [41, 31, 21]
    assert int(resized_length(tf.constant(321), 0.75)) == 241


def test_corners_stay_by_hand():
    x = np.array([0.0, 2, 4]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(resize_aligned(x, 1, 5)[0, 0, :, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(resize_aligned(x, 1, 2)[0, 0, :, 0], [0, 4])


@pytest.mark.parametrize("size", [(5, 9), (31, 4), (1, 1), (8, 8)])
def test_equals_the_aligned_resize_of_tensorflow(size):
    x = np.random.default_rng(0).normal(size=(2, 8, 5, 3)).astype("float32")
    expected = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)
    np.testing.assert_allclose(resize_aligned(x, *size), expected, atol=1e-5)


def test_fusion_is_the_maximum_over_scales(tmp_path):
    images = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(2, 1, strides=8)
    network = keras.Model(images, convolution(images))
    fused = fuse_scales(network, (1.0, 0.5))
    image = np.random.default_rng(0).uniform(0, 1, (1, 33, 49, 3)).astype("float32")
    full = network(image)
    half = network(resize_aligned(image, 17, 25))
    expected = np.maximum(full, resize_aligned(half, 5, 7))
    np.testing.assert_allclose(fused(image), expected, atol=1e-5)
    assert fused.count_params() == network.count_params()
    fused.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(image), fused(image))


def test_branches_are_the_maps_that_were_fused():
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(2, 1, strides=8)(images))
    model = fuse_scales(network, (1.0, 0.75, 0.5))
    branches = with_branches(model)
    assert [id(weight) for weight in branches.weights] == [id(weight) for weight in model.weights]
    image = np.random.default_rng(0).uniform(0, 1, (1, 33, 49, 3)).astype("float32")
    fused, *maps = branches(image)
    np.testing.assert_array_equal(fused, model(image))
    sizes = [(33, 49), (25, 37), (17, 25)]
    for found, size in zip(maps, sizes, strict=True):
        expected = network(resize_aligned(image, *size))
        np.testing.assert_allclose(found, expected, atol=1e-5)
