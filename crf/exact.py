"""The Gaussian filter computed exactly, over all pairs of points; the reference for the lattice."""

import tensorflow as tf

# Rows of the kernel matrix in memory at once: 256 rows over 20,000 points take 40 MB in float64.
_BLOCK = 256


class ExactFilter:
    """Gaussian filter that sums over all pairs of points.

    A function from values (N, C) to filtered values (N, C), both of the features' type: each
    result is the sum over all points' values, weighted by exp(-|f_i - f_j|² / 2). Its time
    grows with N²; meant for images of up to about 20,000 pixels.

    Args:
      features: (N, d) float32 or float64, already divided by the kernel's standard deviations.
    """

    def __init__(self, features):
        rows, self._columns = _exponent_factors(tf.cast(features, tf.float64))
        missing = -tf.shape(rows)[0] % _BLOCK
        padded = tf.pad(rows, [[0, missing], [0, 0]])
        self._blocks = tf.reshape(padded, [-1, _BLOCK, rows.shape[1]])

    def __call__(self, values):
        """Filter values (N, C) of the features' type."""
        # The kernel is symmetric, so the filter is its own gradient. Automatic differentiation
        # would keep the whole N x N matrix.
        return tf.custom_gradient(lambda values: (self._run(values), self))(values)

    def scaled(self, before, after):
        """A filter that multiplies its input by `before` and its output by `after`, (N, 1)."""
        return lambda values: after * self(before * values)

    def _run(self, values):
        def filter_rows(block):
            exponent = tf.matmul(block, self._columns, transpose_b=True)
            return tf.matmul(tf.exp(tf.cast(exponent, values.dtype)), values)

        signature = tf.TensorSpec([_BLOCK, values.shape[1]], values.dtype)
        filtered = tf.map_fn(
            filter_rows, self._blocks, fn_output_signature=signature, parallel_iterations=1
        )
        filtered = tf.reshape(filtered, [-1, tf.shape(values)[1]])
        return filtered[: tf.shape(values)[0]]


def _exponent_factors(points):
    """Two matrices (N, d + 2), rows and columns, whose product is -|f_i - f_j|² / 2.

    In float64, because f_i.f_j - |f_i|² / 2 - |f_j|² / 2 suffers from cancellation in float32.
    """
    halves = -0.5 * tf.reduce_sum(points**2, axis=1, keepdims=True)
    ones = tf.ones_like(halves)
    return tf.concat([points, halves, ones], axis=1), tf.concat([points, ones, halves], axis=1)
