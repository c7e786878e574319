"""Mean field inference in the fully connected CRF, over any Gaussian filter."""

import tensorflow as tf

from crf.params import pixel_features

# Probabilities below this count as this; it bounds the unary energy.
MIN_PROBABILITY = 1e-5


def infer(probabilities, image, params, build_filter):
    """Run the CRF on one image.

    Args:
      probabilities: (H, W, C) float32.
      image: (H, W, 3) uint8, RGB.
      params: `CRFParams`.
      build_filter: function from features (N, d) to a filter from (N, C) to (N, C); called
        once for each kernel whose weight is not zero.

    Returns:
      (H, W, C) float32 that sums to one over the classes.
    """
    unary = -tf.math.log(tf.maximum(probabilities, MIN_PROBABILITY))
    flat = tf.reshape(unary, [-1, tf.shape(unary)[2]])
    kernels = [
        (weight, normalize(build_filter(features), tf.shape(flat)[0], params.normalization))
        for weight, features in zip(
            (params.w1, params.w2), pixel_features(image, params), strict=True
        )
        if weight != 0
    ]
    return tf.reshape(mean_field(flat, kernels, params.iterations), tf.shape(unary))


def mean_field(unary, kernels, iterations):
    """Mean field updates of all pixels at once, with Potts compatibility.

    Each iteration computes Q = softmax(-unary + sum_m w_m filter_m(Q)), Algorithm 1 of
    Krähenbühl and Koltun 2011, from the start Q = softmax(-unary). A pixel's message to itself
    is kept, as the published code does.

    Args:
      unary: (N, C) float32, the negative logarithm of the probabilities.
      kernels: list of (weight, filter) with filters from (N, C) to (N, C).
      iterations: number of updates.

    Returns:
      (N, C) float32 Q, which sums to one over the classes.
    """

    def update(marginals):
        logits = -unary
        for weight, apply in kernels:
            logits += weight * apply(marginals)
        return [tf.nn.softmax(logits)]

    return tf.while_loop(
        lambda marginals: tf.constant(True),
        update,
        [tf.nn.softmax(-unary)],
        maximum_iterations=iterations,
        parallel_iterations=1,
    )[0]


def normalize(apply, num_points, normalization):
    """Divide a filter by its kernel's row sums.

    Args:
      apply: filter from (N, C) to (N, C).
      num_points: N.
      normalization: "none", "before" (the values are divided), "after" (the result is) or
        "symmetric" (both, by the square root).

    Returns:
      A filter from (N, C) to (N, C).
    """
    if normalization == "none":
        return apply
    row_sums = apply(tf.ones([num_points, 1])) + 1e-20
    if normalization == "before":
        return lambda values: apply(values / row_sums)
    if normalization == "after":
        return lambda values: apply(values) / row_sums
    roots = tf.sqrt(row_sums)
    return lambda values: apply(values / roots) / roots
