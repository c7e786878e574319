"""Mean field inference in the fully connected CRF with TensorFlow, for any Gaussian filter."""

import tensorflow as tf

from crf.active_labels import infer_active, only_active
from crf.params import MIN_PROBABILITY


def mean_field(
    probabilities,
    image,
    params,
    build_filter,
    weights=None,
    compatibility=None,
    active=None,
    static_shapes=False,
    origin=(0, 0),
):
    """Refine one image; differentiable in probabilities, weights and compatibility.

    Args:
      probabilities: (H, W, C) float32 or float64; everything is computed in this type.
      image: (H, W, 3) uint8, RGB.
      params: `CRFParams`, or an object with its attributes whose sigmas and iterations are tensors.
      build_filter: function from features (N, d) to a filter, which maps (N, C) to (N, C) and has
        the method `scaled` that `_normalized_filter` needs. Called once for each kernel, but not
        for a kernel whose weight in the params is zero.
      weights: two scalar tensors in place of the params' w1 and w2.
      compatibility: (C, C) tensor in place of the params' own.
      active: bool (C,), the labels that exchange messages, for the Potts model only; None: all.
      static_shapes: whether no shape may depend on `active`; the messages of all labels are then
        computed, and those that are not to be exchanged are dropped, which gives the same result.
      origin: (row, column) of the image's first pixel in a larger image, of which it is a part.

    Returns:
      (H, W, C) of the probabilities' type that sums to one over the classes.
    """
    dtype = probabilities.dtype
    prior = tf.maximum(probabilities, tf.constant(MIN_PROBABILITY, dtype))
    prior = tf.reshape(prior, [-1, tf.shape(probabilities)[2]])
    kernels = []
    for weight, features in zip(
        (params.w1, params.w2) if weights is None else weights,
        _pixel_features(image, params, dtype, origin),
        strict=True,
    ):
        # A weight tensor needs its kernel even while it is zero, for its gradient.
        if weights is not None or weight != 0:
            ones = tf.ones_like(prior[:, :1])
            kernel = _normalized_filter(build_filter(features), ones, params.normalization)
            kernels.append((tf.cast(weight, dtype), kernel))
    if compatibility is None:
        compatibility = params.compatibility
    if compatibility is not None:
        compatibility = tf.cast(compatibility, dtype)
    if active is not None and not static_shapes:

        def infer(merged):
            return _run_updates(
                -tf.math.log(merged), kernels, params.iterations, last_is_pruned=True
            )

        marginals = infer_active(prior, active, infer)
    else:
        if active is not None:
            kernels = [(weight, only_active(kernel, active)) for weight, kernel in kernels]
        marginals = _run_updates(-tf.math.log(prior), kernels, params.iterations, compatibility)
    return tf.reshape(marginals, tf.shape(probabilities))


def _pixel_features(image, params, dtype=tf.float32, origin=(0, 0)):
    """The features that the two kernels compare, divided by the kernels' standard deviations.

    With them each kernel is exp(-|f_i - f_j|² / 2).

    Args:
      image: (H, W, 3) uint8 tensor, RGB.
      params: `CRFParams`.
      dtype: type of the features.
      origin: (row, column) of the first pixel.

    Returns:
      Two tensors of that type, one row per pixel in row-major order: bilateral features (H W, 5)
      in the order x, y, red, green, blue, and spatial features (H W, 2) in the order x, y.
    """

    def divide(values, sigma):
        # In float32 the optimizer of graphs would multiply by 1 / sigma instead, which gives
        # another last bit, and that may be another simplex (see crf/elevation.py). In float64 both
        # give the same after rounding.
        sigma = tf.cast(tf.convert_to_tensor(sigma, dtype), tf.float64)
        return tf.cast(tf.cast(values, tf.float64) / sigma, dtype)

    height, width = tf.unstack(tf.shape(image)[:2])
    rows, columns = tf.range(height) + origin[0], tf.range(width) + origin[1]
    y, x = tf.meshgrid(rows, columns, indexing="ij")
    position = tf.reshape(tf.stack([x, y], axis=-1), [-1, 2])
    color = divide(tf.reshape(image, [-1, 3]), params.sigma_beta)
    bilateral = tf.concat([divide(position, params.sigma_alpha), color], axis=1)
    return bilateral, divide(position, params.sigma_gamma)


def _normalized_filter(run, ones, normalization):
    """Divide a filter by its kernel's row sums.

    Args:
      run: filter from (N, C) to (N, C). Its method `scaled(before, after)` gives the filter that
        multiplies its input and its output by these factors, both (N, 1).
      ones: (N, 1) of ones, of the values' type.
      normalization: "none", "before" (the input is divided), "after" (the output is divided) or
        "symmetric" (both, by the square root).

    Returns:
      A filter from (N, C) to (N, C).
    """
    if normalization == "none":
        return run
    row_sums = run(ones) + 1e-20  # never divide by zero
    if normalization == "before":
        return run.scaled(1 / row_sums, ones)
    if normalization == "after":
        return run.scaled(ones, 1 / row_sums)
    roots = tf.sqrt(1 / row_sums)
    return run.scaled(roots, roots)


def _run_updates(unary, kernels, iterations, compatibility=None, last_is_pruned=False):
    """Mean field updates of all pixels in parallel.

    Starts from Q = softmax(-unary); each iteration computes

        Q_l = softmax_l(-unary_l - sum_k compatibility_lk sum_m w_m filter_m(Q_k)),

    Algorithm 1 of Krähenbühl and Koltun 2011. A pixel's message to itself is kept, as in the
    published code.

    Args:
      unary: (N, C) floating, the negative logarithm of the probabilities.
      kernels: list of (weight, filter) with filters from (N, C) to (N, C).
      iterations: number of updates.
      compatibility: (C, C) tensor, the cost of each label (row) next to each label (column);
        None is the Potts model.
      last_is_pruned: whether the last label exchanges no messages; for the Potts model only. The
        filters then run on the other C - 1 labels.

    Returns:
      (N, C) Q of the same type, which sums to one over the classes.
    """
    scores = -unary

    def update(marginals):
        if last_is_pruned:
            messages = [weight * run(marginals[:, :-1]) for weight, run in kernels]
            updated = tf.add_n([scores[:, :-1], *messages])
            return [tf.nn.softmax(tf.concat([updated, scores[:, -1:]], axis=1))]
        messages = [weight * run(marginals) for weight, run in kernels]
        if compatibility is None:
            # The Potts costs are one minus the identity, and the softmax ignores the one: a term
            # that all labels of a pixel share.
            return [tf.nn.softmax(tf.add_n([scores, *messages]))]
        total = tf.add_n([tf.zeros_like(unary), *messages])
        return [tf.nn.softmax(scores - tf.matmul(total, compatibility, transpose_b=True))]

    return tf.while_loop(
        lambda marginals: tf.constant(True),  # only maximum_iterations ends the loop
        update,
        [tf.nn.softmax(scores)],
        maximum_iterations=iterations,
        parallel_iterations=1,
    )[0]
