"""The Gaussian filter by its definition, over all pairs of points: the lattice's oracle."""

import tensorflow as tf

# Rows of the kernel matrix held at a time: 256 rows over 20,000 points take 40 MB in float64.
BLOCK = 256


def exact_filter(features):
    """The Gaussian filter over points with the given features, by summing over all pairs.

    Takes time in proportion to N²; meant for images of at most some 20,000 pixels.

    Args:
      features: (N, d) float32 or float64, scaled so that the kernel is exp(-|f_i - f_j|² / 2).

    Returns:
      `ExactFilter`, a function from values (N, C) to filtered values (N, C), both of the
      features' type.
    """
    return ExactFilter(features)


class ExactFilter:
    """Sums over all points' values, each weighted by exp(-|f_i - f_j|² / 2).

    Args:
      features: (N, d) floating.
    """

    def __init__(self, features):
        rows, self._columns = _exponent_factors(tf.cast(features, tf.float64))
        self._blocks = _blocks(rows)

    def __call__(self, values):
        """Filter values (N, C) of the features' type."""
        # The kernel is symmetric, so that its filter is its own gradient; without this, the
        # whole N x N matrix would be kept for it.
        return tf.custom_gradient(lambda values: (self._run(values), self))(values)

    def scaled(self, inner, outer):
        """The filter that multiplies the values by `inner`, and its result by `outer`, (N, 1)."""
        return lambda values: outer * self(inner * values)

    def _run(self, values):
        def filter_rows(block):
            exponent = tf.matmul(block, self._columns, transpose_b=True)
            return tf.matmul(tf.exp(tf.cast(exponent, values.dtype)), values)

        signature = tf.TensorSpec([BLOCK, values.shape[1]], values.dtype)
        filtered = tf.map_fn(
            filter_rows, self._blocks, fn_output_signature=signature, parallel_iterations=1
        )
        filtered = tf.reshape(filtered, [-1, tf.shape(values)[1]])
        return filtered[: tf.shape(values)[0]]


def _exponent_factors(points):
    """Rows and columns (N, d + 2) whose product is -|f_i - f_j|² / 2.

    In float64, because f_i.f_j - |f_i|² / 2 - |f_j|² / 2 cancels badly in float32.
    """
    halves = -0.5 * tf.reduce_sum(points**2, axis=1, keepdims=True)
    ones = tf.ones_like(halves)
    return tf.concat([points, halves, ones], axis=1), tf.concat([points, ones, halves], axis=1)


def _blocks(points):
    """Points (N, d) as (ceil(N / BLOCK), BLOCK, d), filled up with zeros."""
    missing = -tf.shape(points)[0] % BLOCK
    return tf.reshape(tf.pad(points, [[0, missing], [0, 0]]), [-1, BLOCK, points.shape[1]])
