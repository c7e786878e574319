"""Mean field inference in the fully connected CRF, over any Gaussian filter."""

import tensorflow as tf

from crf.params import pixel_features

# Probabilities below this count as this; it bounds the unary energy.
MIN_PROBABILITY = 1e-5


def infer(probabilities, image, params, build_filter, weights=None, compatibility=None):
    """Run the CRF on one image; differentiable in probabilities, weights and compatibility.

    Args:
      probabilities: (H, W, C) float32 or float64, which is what everything is computed in.
      image: (H, W, 3) uint8, RGB.
      params: `CRFParams`.
      build_filter: function from features (N, d) to a filter from (N, C) to (N, C), as
        `normalize` takes it; called once for each kernel, but not for one whose weight in the
        params is zero.
      weights: two scalar tensors in place of the params' w1 and w2.
      compatibility: (C, C) tensor in place of the params' own.

    Returns:
      (H, W, C) of the probabilities' type that sums to one over the classes.

    Raises:
      ValueError: for a compatibility that is not C x C (`tf.errors.InvalidArgumentError` when
        it runs, in a graph that does not know C).
    """
    dtype = probabilities.dtype
    unary = -tf.math.log(tf.maximum(probabilities, tf.constant(MIN_PROBABILITY, dtype)))
    flat = tf.reshape(unary, [-1, tf.shape(unary)[2]])
    given = (params.w1, params.w2) if weights is None else weights
    kernels = [
        (
            tf.cast(weight, dtype),
            normalize(build_filter(features), tf.ones_like(flat[:, :1]), params.normalization),
        )
        for weight, features in zip(given, pixel_features(image, params, dtype), strict=True)
        if weights is not None or weight != 0
    ]
    if compatibility is None:
        compatibility = params.compatibility
    if compatibility is not None:
        compatibility = check_compatibility(tf.cast(compatibility, dtype), unary)
    marginals = mean_field(flat, kernels, params.iterations, compatibility)
    return tf.reshape(marginals, tf.shape(unary))


def check_compatibility(compatibility, probabilities):
    """Give a compatibility back that fits the labels of the probabilities (..., C).

    Raises:
      ValueError: where it is not C x C (`tf.errors.InvalidArgumentError` when it runs, in a
        graph that does not know C).
    """
    labels = probabilities.shape[-1]
    compatibility = tf.convert_to_tensor(compatibility)
    if not compatibility.shape.is_compatible_with([labels, labels]):
        raise ValueError(
            f"CRF: the compatibility is {compatibility.shape}, but there are {labels} labels"
        )
    message = "CRF: the compatibility must have one row and one column for each label"
    wanted = tf.repeat(tf.shape(probabilities)[-1], 2)
    with tf.control_dependencies(
        [tf.debugging.assert_equal(tf.shape(compatibility), wanted, message)]
    ):
        return tf.identity(compatibility)


def mean_field(unary, kernels, iterations, compatibility=None):
    """Mean field updates of all pixels at once.

    Each iteration computes, from the start Q = softmax(-unary),

        Q_l = softmax_l(-unary_l - sum_k compatibility_lk sum_m w_m filter_m(Q_k)),

    Algorithm 1 of Krähenbühl and Koltun 2011. A pixel's message to itself is kept, as the
    published code does.

    Args:
      unary: (N, C) floating, the negative logarithm of the probabilities.
      kernels: list of (weight, filter) with filters from (N, C) to (N, C).
      iterations: number of updates.
      compatibility: (C, C) tensor, the cost of each label (row) next to each (column); None is
        the Potts model.

    Returns:
      (N, C) Q of the same type, which sums to one over the classes.
    """

    scores = -unary

    def update(marginals):
        messages = [weight * apply(marginals) for weight, apply in kernels]
        if compatibility is None:
            # Potts costs are one less than the identity, and what they add for all labels of a
            # pixel alike the softmax takes away.
            return [tf.nn.softmax(tf.add_n([scores, *messages]))]
        total = tf.add_n([tf.zeros_like(unary), *messages])
        return [tf.nn.softmax(scores - tf.matmul(total, compatibility, transpose_b=True))]

    return tf.while_loop(
        lambda marginals: tf.constant(True),
        update,
        [tf.nn.softmax(scores)],
        maximum_iterations=iterations,
        parallel_iterations=1,
    )[0]


def normalize(apply, ones, normalization):
    """Divide a filter by its kernel's row sums.

    Args:
      apply: filter from (N, C) to (N, C); its method `scaled` takes what values are multiplied
        by before it and after it, both (N, 1), and gives the filter that does all of it.
      ones: (N, 1) of ones, of the values' type.
      normalization: "none", "before" (the values are divided), "after" (the result is) or
        "symmetric" (both, by the square root).

    Returns:
      A filter from (N, C) to (N, C).
    """
    if normalization == "none":
        return apply
    row_sums = apply(ones) + 1e-20
    if normalization == "before":
        return apply.scaled(1 / row_sums, ones)
    if normalization == "after":
        return apply.scaled(ones, 1 / row_sums)
    roots = tf.sqrt(1 / row_sums)
    return apply.scaled(roots, roots)
