"""Depthwise convolutions against a direct computation, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.atrous_layers import native_dilation_works
from deeplab_tf.models.fast.depthwise import fast_depthwise_conv2d, is_supported
from deeplab_tf.models.fast.fuse import fuse

needs_onednn = pytest.mark.skipif(
    not native_dilation_works(), reason="TensorFlow runs without oneDNN, so without these kernels"
)


def direct(x, kernel, rate, padding="same"):
    """One product for each element of the kernel, in float64."""
    height, width = kernel.shape[:2]
    reach = [(size - 1) * rate for size in (height, width)]
    if padding == "same":
        pads = [(length // 2, length // 2) for length in reach]
        x = np.pad(x, [(0, 0), *pads, (0, 0)])
    rows, columns = (x.shape[1 + axis] - reach[axis] for axis in (0, 1))
    return sum(
        x[:, i * rate : i * rate + rows, j * rate : j * rate + columns] * kernel[i, j, :, 0]
        for i in range(height)
        for j in range(width)
    )


def direct_gradients(x, kernel, upstream, rate, padding):
    """By the adjoint of `direct`: it is linear in both arguments."""
    height, width = kernel.shape[:2]
    reach = [(size - 1) * rate for size in (height, width)]
    pads = [(length // 2,) * 2 if padding == "same" else (0, 0) for length in reach]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    rows, columns = upstream.shape[1:3]
    inputs, elements = np.zeros_like(padded), np.zeros_like(kernel)
    for i in range(height):
        for j in range(width):
            window = np.s_[:, i * rate : i * rate + rows, j * rate : j * rate + columns]
            inputs[window] += upstream * kernel[i, j, :, 0]
            elements[i, j, :, 0] = (padded[window] * upstream).sum(axis=(0, 1, 2))
    (top, _), (left, _) = pads
    return inputs[:, top : top + x.shape[1], left : left + x.shape[2]], elements


def test_by_hand():
    x = tf.constant([1.0, 2, 4, 8, 16, 32], shape=(1, 1, 6, 1))
    kernel = tf.constant([1.0, 10, 100], shape=(1, 3, 1, 1))
    found = fast_depthwise_conv2d(x, kernel, rate=2)
    # The cell itself times 10, the cell two to the left, and 100 times that two to the right.
    assert found.numpy().ravel().tolist() == [410, 820, 1641, 3282, 164, 328]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(13, 17), (18, 15)])
@pytest.mark.parametrize(
    ("window", "rate"),
    [
        *[((3, 3), rate) for rate in (1, 2, 4, 7)],
        *[((5, 5), rate) for rate in (1, 2, 3, 4)],
        *[((7, 7), 1), ((7, 7), 2), ((1, 1), 2), ((3, 1), 2), ((5, 3), 2), ((3, 5), 4)],
    ],
)
def test_results_and_gradients(window, rate, size, padding):
    if any((k - 1) * rate >= length for k, length in zip(window, size, strict=True)):
        padding = "same"  # no valid window
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *size, 3)), rng.normal(size=(*window, 3, 1))
    expected = direct(x, kernel, rate, padding)
    upstream = rng.normal(size=expected.shape)
    images, weights = tf.constant(x, tf.float32), tf.constant(kernel, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([images, weights])
        found = fast_depthwise_conv2d(images, weights, rate, padding)
    gradients = tape.gradient(found, [images, weights], tf.constant(upstream, tf.float32))
    expected = expected, *direct_gradients(x, kernel, upstream, rate, padding)
    for a, b in zip((found, *gradients), expected, strict=True):
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


def test_portable_graphs_have_no_grouped_convolution():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.DepthwiseConv2D(3, dilation_rate=2)(images))
    graphs = [
        tf.function(fuse(model, portable)).get_concrete_function(tf.zeros((1, 9, 8, 3))).graph
        for portable in (False, True)
    ]
    kinds = [{operation.type for operation in graph.get_operations()} for graph in graphs]
    assert ("Conv2D" in kinds[0]) == native_dilation_works()
    assert "Conv2D" not in kinds[1] and "DepthwiseConv2dNative" in kinds[1]
    x = tf.constant(np.random.default_rng(4).normal(size=(2, 12, 9, 3)), tf.float32)
    expected = direct(x.numpy(), model.layers[1].kernel.numpy(), 2, "valid")
    np.testing.assert_allclose(fuse(model, portable=True)(x), expected, atol=1e-5)


def test_maps_of_unknown_size():
    """As in a network for images of any size."""
    rng = np.random.default_rng(1)
    kernel = tf.constant(rng.normal(size=(5, 5, 2, 1)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2])])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = fast_depthwise_conv2d(x, kernel, 4)
        return y, *tape.gradient(y, [x, kernel])

    assert gradient.get_concrete_function().structured_outputs[0].shape[3] == 2
    for shape in ((1, 9, 21, 2), (2, 12, 8, 2)):
        x = rng.normal(size=shape)
        found = gradient(tf.constant(x, tf.float32))
        expected = direct(x, kernel.numpy(), 4)
        ones = np.ones_like(expected)
        expected = expected, *direct_gradients(x, kernel.numpy().astype(float), ones, 4, "same")
        for a, b in zip(found, expected, strict=True):
            assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()


@needs_onednn
@pytest.mark.bfloat16
def test_bfloat16():
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(1, 12, 11, 4)), rng.normal(size=(5, 5, 4, 1))
    images, weights = tf.constant(x, tf.bfloat16), tf.constant(kernel, tf.bfloat16)
    for rate in (2, 4):
        with tf.GradientTape() as tape:
            tape.watch([images, weights])
            y = fast_depthwise_conv2d(images, weights, rate)
        found = y, *tape.gradient(y, [images, weights])
        expected = direct(x, kernel, rate)
        expected = expected, *direct_gradients(x, kernel, np.ones_like(expected), rate, "same")
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == tf.bfloat16
            assert np.abs(a.numpy().astype(float) - b).max() < 0.03 * np.abs(b).max()


@pytest.mark.parametrize(
    ("window", "supported"),
    [
        ({"kernel_size": 3, "dilation_rate": 2}, True),
        ({"kernel_size": 5}, True),
        ({"kernel_size": 3}, False),  # TensorFlow's own is as fast
        ({"kernel_size": 4, "dilation_rate": 2}, False),
        ({"kernel_size": 3, "dilation_rate": (1, 2)}, False),
        ({"kernel_size": 5, "strides": 2}, False),
        ({"kernel_size": 5, "depth_multiplier": 2}, False),
    ],
)
@needs_onednn
def test_what_is_supported(window, supported):
    assert is_supported(keras.layers.DepthwiseConv2D(**window)) == supported


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_fused_network(padding, multiplier):
    """Its scores and gradients are those of the layers, whether or not they are supported."""
    images = x = keras.Input((None, None, 3))
    for window in (
        {"kernel_size": 5, "strides": 2},
        {"kernel_size": 5},
        {"kernel_size": 3, "dilation_rate": 2},
    ):
        window = {**window, "padding": padding, "depth_multiplier": multiplier}
        x = keras.layers.DepthwiseConv2D(use_bias=False, **window)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = keras.Model(images, x)
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    x = tf.constant(rng.normal(size=(2, 25, 28, 3)), tf.float32)
    fused = fuse(model)

    def gradients(network):
        with tf.GradientTape() as tape:
            y = network(x, training=True)
            # Another gradient for every cell, or those of the wrong cells would do as well.
            loss = tf.reduce_sum(y * tf.cos(tf.reshape(tf.range(float(tf.size(y))), y.shape)))
        return y, *tape.gradient(loss, [v.value for v in model.trainable_variables])

    for a, b in zip(gradients(fused), gradients(model), strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()
