"""The convolution of fused networks and its gradients against TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.atrous_layers import AtrousConv2D, native_dilation_works
from deeplab_tf.models.fast import convolution as fast_convolution
from deeplab_tf.models.fast.convolution import fast_conv2d, is_supported


def normal(seed, *shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def reference(x, kernel, rate):
    """Nine shifted products, whose gradients TensorFlow finds."""
    height, width = x.shape[1:3]
    rows, columns = (size // 2 * rate for size in kernel.shape[:2])
    padded = tf.pad(x, [[0, 0], [rows, rows], [columns, columns], [0, 0]])
    return sum(
        padded[:, i * rate : i * rate + height, j * rate : j * rate + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def value_and_gradients(convolve, x, kernel):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = convolve(x, kernel)
        # Another gradient for every cell, or those of the wrong cells would do as well.
        loss = tf.reduce_sum(y * tf.cos(tf.reshape(tf.range(float(tf.size(y))), y.shape)))
    return [y, *tape.gradient(loss, [x, kernel])]


# Few channels and many; a window that is larger than the map; kernels that are not 3x3.
CASES = [
    ((2, 9, 7, 3), (3, 3, 4), 1),
    ((2, 9, 7, 3), (3, 3, 4), 2),
    ((2, 9, 7, 3), (3, 3, 4), 6),
    ((1, 12, 9, 130), (3, 3, 128), 3),
    ((1, 6, 5, 130), (3, 3, 128), 12),
    ((1, 9, 30, 2), (5, 3, 3), 4),
    ((2, 4, 4, 3), (1, 1, 5), 1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_definition_with_its_gradients(case):
    shape, (height, width, filters), rate = case
    x, kernel = normal(0, *shape), normal(1, height, width, shape[-1], filters)
    expected = value_and_gradients(lambda x, k: reference(x, k, rate), x, kernel)
    np.testing.assert_allclose(fast_conv2d(x, kernel, rate), expected[0], atol=2e-3)
    if rate > 1 and not native_dilation_works("float32"):
        pytest.skip("TensorFlow has no gradient of dilated convolutions without oneDNN")
    found = value_and_gradients(lambda x, k: fast_conv2d(x, k, rate, True), x, kernel)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_gradients_for_sizes_unknown_when_the_graph_is_traced():
    x, kernel = normal(0, 1, 9, 8, 3), normal(1, 3, 3, 3, 2)
    spec = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec(kernel.shape)]

    @tf.function(input_signature=spec)
    def gradient(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = tf.reduce_sum(fast_conv2d(x, kernel, 6, True) ** 2)
        return tape.gradient(loss, kernel)

    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(reference(x, kernel, 6) ** 2)
    np.testing.assert_allclose(gradient(x, kernel), tape.gradient(loss, kernel), rtol=1e-4)


def test_what_is_supported(monkeypatch):
    monkeypatch.setattr(fast_convolution, "native_dilation_works", lambda dtype: True)

    def layer(**arguments):
        return keras.layers.Conv2D(
            **{"filters": 4, "kernel_size": 3, "padding": "same"} | arguments
        )

    assert is_supported(layer())
    assert is_supported(AtrousConv2D(4, 3, padding="same", dilation_rate=2))
    for other in (
        {"kernel_size": 2},
        {"strides": 2},
        {"padding": "valid"},
        {"groups": 2},
        {"dilation_rate": (1, 2)},
    ):
        assert not is_supported(layer(**other))


def test_dilation_is_not_supported_without_its_native_gradient(monkeypatch):
    monkeypatch.setattr(fast_convolution, "native_dilation_works", lambda dtype: False)
    assert not is_supported(AtrousConv2D(4, 3, padding="same", dilation_rate=2))
    assert is_supported(AtrousConv2D(4, 3, padding="same"))
