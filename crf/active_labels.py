"""Pruning in TensorFlow: labels that are improbable everywhere in an image exchange no messages.

crf/cpu/pruning.py does the same for the numba engine.
"""

import tensorflow as tf

# Prior of a label that is not there: too improbable to change a sum, and its logarithm is finite.
_ABSENT = 1e-30


def find_active_labels(probabilities, prune_below):
    """Find the labels that exchange messages.

    Args:
      probabilities: (H, W, C) floating.
      prune_below: a label is active unless its probability is below this at every pixel.

    Returns:
      bool (C,); None, for all labels, if `prune_below` is 0.
    """
    if not prune_below:
        return None
    return tf.stop_gradient(tf.reduce_max(probabilities, axis=[0, 1])) >= prune_below


def infer_active(prior, active, infer):
    """Run inference on the active labels and, as one more label, the sum of all others.

    The others share the result of their label in proportion to their prior.

    Args:
      prior: (N, C) floating, above 0.
      active: bool (C,).
      infer: function from the prior (N, K + 1) of K active labels and the sum of the others, which
        exchanges no messages, to marginals (N, K + 1).

    Returns:
      (N, C) marginals.
    """
    ones = tf.cast(active, tf.int32)
    # The row of each label, (C,); that of the sum for the others.
    rows = tf.where(active, tf.cumsum(ones) - 1, tf.reduce_sum(ones))
    # With a row for each label, choosing labels copies whole rows, which is several times as fast.
    planes, is_active = tf.transpose(prior), active[:, None]
    pruned = tf.where(is_active, tf.constant(0, prior.dtype), planes)
    total = tf.reduce_sum(pruned, axis=0)
    total = tf.where(tf.reduce_all(active), tf.constant(_ABSENT, prior.dtype), total)
    kept = tf.gather(planes, tf.where(active)[:, 0])
    merged = tf.transpose(tf.concat([kept, total[None]], axis=0))
    marginals = tf.transpose(infer(merged))
    shares = pruned * (marginals[-1] / total)
    return tf.transpose(tf.where(is_active, tf.gather(marginals, rows), shares))


def only_active(run, active):
    """A filter of which the labels that are not active receive nothing.

    Args:
      run: filter from (N, C) to (N, C).
      active: bool (C,).
    """
    return lambda values: tf.where(active, run(values), 0)
