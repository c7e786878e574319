"""The layers of AlexNet and GoogLeNet against direct computations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from caffe_writer import convolve, local_response, pool

from deeplab_tf.models.caffe_layers import (
    GroupedConv2D,
    LocalResponseNormalization,
    WholeWindows,
)


def maps(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_normalization_by_hand():
    layer = LocalResponseNormalization(3, alpha=6.0, beta=0.5, bias=1.0)
    # 1 + 6/3 times the squares of the neighbors: 1 + 2 (0 + 4), 1 + 2 (0 + 4 + 16), 1 + 2 (4 + 16)
    found = np.array(layer(np.float32([0, 2, 4]).reshape(1, 1, 1, 3)))[0, 0, 0]
    np.testing.assert_allclose(found, [0, 2 / 41**0.5, 4 / 41**0.5], rtol=1e-6)


@pytest.mark.parametrize(("size", "channels"), [(1, 2), (5, 3), (5, 8)])
def test_normalization_against_direct_computation(size, channels):
    x = maps(2, 3, 4, channels)
    layer = LocalResponseNormalization(size, alpha=2.0)
    expected = [local_response(one.transpose(2, 0, 1), size, 2.0, 0.75) for one in x]
    found = np.array(layer(x)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # TensorFlow's alpha is that of one channel.
    theirs = tf.nn.local_response_normalization(x, size // 2, 1.0, 2.0 / size, 0.75)
    np.testing.assert_allclose(layer(x), theirs, rtol=1e-5, atol=1e-6)


def test_normalization_has_the_gradient_of_tensorflow():
    x, weights = tf.constant(maps(1, 2, 3, 7)), maps(1, 2, 3, 7)
    layer = LocalResponseNormalization(alpha=2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = tf.reduce_sum(layer(x) * weights)
        theirs = tf.reduce_sum(tf.nn.local_response_normalization(x, 2, 1.0, 0.4, 0.75) * weights)
    np.testing.assert_allclose(
        tape.gradient(ours, x), tape.gradient(theirs, x), rtol=1e-4, atol=1e-5
    )


def test_normalization_in_half_precision_does_not_overflow():
    layer = LocalResponseNormalization(dtype="float16")
    x = np.full((1, 1, 1, 5), 1000, np.float16)
    found = layer(x)
    assert found.dtype == "float16"
    # 1 + 1e-4/5 times 3, 4 or 5 million
    expected = 1000 / (1 + 20 * np.array([3, 4, 5, 4, 3])) ** 0.75
    np.testing.assert_allclose(np.array(found)[0, 0, 0], expected, rtol=1e-3)


def test_normalization_keeps_its_settings():
    layer = LocalResponseNormalization(3, 0.1, 0.2, 0.3)
    again = LocalResponseNormalization.from_config(layer.get_config())
    assert (again.size, again.alpha, again.beta, again.bias) == (3, 0.1, 0.2, 0.3)
    with pytest.raises(ValueError, match="size must be odd and positive, got 4"):
        LocalResponseNormalization(4)


@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"dilation_rate": 2}])
def test_groups_against_direct_computation(options):
    layer = GroupedConv2D(6, 3, groups=2, bias_initializer="normal", **options)
    x = maps(1, 9, 8, 4)
    found = np.array(layer(x))[0].transpose(2, 0, 1)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 2, 6)  # as in Keras
    rate, stride = options.get("dilation_rate", 1), options.get("strides", 1)
    # The first three filters see the first two channels alone, the others the last two.
    halves = [
        convolve(
            x[0].transpose(2, 0, 1)[2 * i : 2 * i + 2],
            kernel[..., 3 * i : 3 * i + 3].transpose(3, 2, 0, 1),
            0,
            rate,
            stride,
        )
        for i in (0, 1)
    ]
    expected = np.concatenate(halves) + bias[:, None, None]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_groups_learn_and_survive_saving(tmp_path):
    images = keras.Input((None, None, 4))
    x = GroupedConv2D(6, 3, groups=2, padding="same", name="grouped")(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(maps(2, 5, 6, 4))[:, 0])  # the first filter's
    kernel, bias = tape.gradient(loss, model.trainable_variables)
    assert np.abs(kernel[..., 0]).min() > 0 and not np.any(kernel[..., 1:])
    np.testing.assert_allclose(bias, [2, 0, 0, 0, 0, 0], rtol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert isinstance(loaded.get_layer("grouped"), GroupedConv2D)
    np.testing.assert_array_equal(loaded(maps(1, 4, 4, 4)), model(maps(1, 4, 4, 4)))


@pytest.mark.parametrize("length", [2, 3, 4, 7, 8])
def test_the_last_window_ends_where_caffes_does(length):
    x = np.abs(maps(1, length, length + 1, 2))
    found = keras.layers.MaxPooling2D(3, strides=2)(WholeWindows(3, 2)(x))
    expected = pool(x[0].transpose(2, 0, 1), 3, 2, 0)
    np.testing.assert_array_equal(np.array(found)[0].transpose(2, 0, 1), expected)
    layer = WholeWindows.from_config(WholeWindows(3, 2).get_config())
    assert (layer.size, layer.stride) == (3, 2)
