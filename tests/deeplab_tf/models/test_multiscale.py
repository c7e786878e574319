"""Several input scales with shared weights, fused by the maximum."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.multiscale import fuse_scales, maximum_over_scales, with_branches
from deeplab_tf.models.resize import resize_aligned

IMAGE = np.random.default_rng(0).uniform(0, 1, (1, 33, 49, 3)).astype("float32")


@pytest.fixture(scope="module")
def network():
    """One convolution at output stride 8."""
    images = keras.Input((None, None, 3))
    return keras.Model(images, keras.layers.Conv2D(2, 1, strides=8)(images))


def test_maximum_over_scales():
    sizes = []

    def score(resized):
        sizes.append(tuple(resized.shape[1:3]))
        return resized[:, ::8, ::8] * (-1.0 if len(sizes) == 2 else 1.0)

    fused = maximum_over_scales(score, tf.constant(IMAGE), (1, 0.75, 0.5), 8)
    assert sizes == [(33, 49), (25, 37), (17, 25)]
    half = resize_aligned(IMAGE[:, ::16, ::16], 5, 7)
    np.testing.assert_allclose(fused, np.maximum(IMAGE[:, ::8, ::8], half), atol=1e-6)


@pytest.mark.parametrize("size", [(33, 49), (31, 50), (1, 9)])
@pytest.mark.usefixtures("tf_seed")
def test_a_function_and_a_network_of_several_scales_agree(network, size):
    images, scales = tf.random.uniform((1, *size, 3), seed=1), (1.0, 0.75, 0.5)
    found = maximum_over_scales(network, images, scales, 8)
    np.testing.assert_allclose(found, fuse_scales(network, scales)(images), atol=1e-6)


def test_fused_network(network, tmp_path):
    fused = fuse_scales(network, (1.0, 0.5))
    half = network(resize_aligned(IMAGE, 17, 25))
    expected = np.maximum(network(IMAGE), resize_aligned(half, 5, 7))
    np.testing.assert_allclose(fused(IMAGE), expected, atol=1e-5)
    assert fused.count_params() == network.count_params()
    fused.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(IMAGE), fused(IMAGE))


def test_branches_are_the_maps_that_were_fused(network):
    model = fuse_scales(network, (1.0, 0.75, 0.5))
    branches = with_branches(model)
    assert [id(weight) for weight in branches.weights] == [id(weight) for weight in model.weights]
    fused, *maps = branches(IMAGE)
    np.testing.assert_array_equal(fused, model(IMAGE))
    for found, size in zip(maps, [(33, 49), (25, 37), (17, 25)], strict=True):
        expected = network(resize_aligned(IMAGE, *size))
        np.testing.assert_allclose(found, expected, atol=1e-5)
