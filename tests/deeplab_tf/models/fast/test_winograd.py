"""Winograd convolution against the direct one."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.fast.winograd import convolve_transformed, transform_kernel


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def winograd_conv2d(x, kernel, rate=1):
    return convolve_transformed(x, transform_kernel(kernel, rate), rate)


def direct(x, kernel, rate):
    """The definition, in float64: nine products of the map's shifted copies."""
    height, width = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (rate, rate), (rate, rate), (0, 0)))
    return sum(
        padded[:, i * rate : i * rate + height, j * rate : j * rate + width] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    )


def test_a_single_cell_by_hand():
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 2, 2] = 1
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
    found = winograd_conv2d(x, kernel)[0, :, :, 0]
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = np.arange(9).reshape(3, 3)[::-1, ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [1, 2, 5])
@pytest.mark.parametrize("size", [(1, 1), (9, 14), (17, 8)])
def test_equals_the_definition(size, rate):
    x, kernel = normal(0, 2, *size, 6), normal(1, 3, 3, 6, 5)
    expected = direct(x, kernel, rate)
    found = winograd_conv2d(x, kernel, rate)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_sizes_unknown_when_the_graph_is_traced():
    spec = tf.TensorSpec([None, None, None, 3])
    convolve = tf.function(lambda x: winograd_conv2d(x, kernel, 2), input_signature=[spec])
    kernel = normal(2, 3, 3, 3, 4)
    for shape in ((1, 7, 12, 3), (3, 10, 5, 3)):
        x = normal(3, *shape)
        np.testing.assert_allclose(convolve(x), direct(x, kernel, 2), atol=1e-4)


def test_rounding_errors_stay_small():
    x, kernel = normal(4, 1, 32, 32, 256), normal(5, 3, 3, 256, 128)
    exact = direct(x, kernel, 1)
    error = np.abs(np.asarray(winograd_conv2d(x, kernel)) - exact).max() / np.abs(exact).max()
    assert error < 1e-5
