"""Batch normalization of fused networks in training, against Keras's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.fast.batch_norm import is_supported, train_batch_norm


def layer_of(shape, **options):
    layer = keras.layers.BatchNormalization(momentum=0.75, epsilon=0.01, **options)
    layer.build(shape)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return layer


def test_by_hand():
    layer = keras.layers.BatchNormalization(momentum=0.75, epsilon=0)
    layer.build((None, None, None, 1))
    found = train_batch_norm(layer, tf.constant([1.0, 3, 5, 7], shape=(1, 2, 2, 1)))
    # The mean is 4 and the variance (9 + 1 + 1 + 9) / 4 = 5; a quarter of each is new.
    np.testing.assert_allclose(found.numpy().ravel() * 5**0.5, [-3, -1, 1, 3], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, [1])
    np.testing.assert_allclose(layer.moving_variance, [0.75 + 5 / 4], rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 1, 1, 2), (1, 9, 1, 17)])
def test_results_gradients_and_statistics(shape, options):
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(3, 2, size=shape), tf.float32)
    upstream = tf.constant(rng.normal(size=shape), tf.float32)

    def run(normalize):
        layer = layer_of(shape, **options)
        weights = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = normalize(layer, x)
        return y, *tape.gradient(y, [x, *weights], upstream), *layer.get_weights()

    expected = run(lambda layer, x: layer(x, training=True))
    for a, b in zip(run(train_batch_norm), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.bfloat16
def test_bfloat16_keeps_statistics_in_float32():
    x = np.random.default_rng(2).normal(100, 1, size=(2, 16, 16, 3)).astype(np.float32)
    layers = [layer_of(x.shape, dtype="mixed_bfloat16") for _ in range(2)]
    rounded = tf.cast(x, tf.bfloat16)
    found, expected = train_batch_norm(layers[0], rounded), layers[1](rounded, training=True)
    assert found.dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), tf.cast(expected, tf.float32), rtol=0.02, atol=0.02
    )
    for a, b in zip(layers[0].get_weights(), layers[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "supported"),
    [
        ({}, True),
        ({"axis": 1}, False),
        ({"synchronized": True}, False),
        ({"dtype": "float64"}, False),
    ],
)
def test_what_is_supported(options, supported):
    supported = supported and not tf.config.list_physical_devices("GPU")
    assert is_supported(keras.layers.BatchNormalization(**options)) == supported
