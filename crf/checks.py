"""Checks of what the CRF is given; each error is one line that names the remedy."""

import operator
import warnings

import numpy as np
import tensorflow as tf

from crf.compile import kernel, read_only
from crf.image_checks import channel_remedy, type_remedy
from crf.threads import ThreadTeam

# Machine epsilon of the 16-bit types; in wider types it is far below the tolerance.
_EPSILONS = {tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}

_SCORES = "scores need a softmax first"
_SIGMOIDS = f"{_SCORES}, sigmoids of several classes a division by their sum"
# A softmax over a single channel would make every pixel class 0.
_ONE_SIGMOID = (
    "there is a single channel; for a sigmoid p: give [1 - p, p], tf.concat([1 - p, p], axis=-1)"
)
_ONE_SCORE = f"{_ONE_SIGMOID} with p = tf.sigmoid(scores)"


def check_prune_below(prune_below):
    """Raise ValueError unless `prune_below` is from 0 to 1."""
    if not 0 <= prune_below <= 1:
        raise ValueError(f"dense_crf: prune_below must be a probability, not {prune_below!r}")


def check_num_threads(num_threads):
    """Return the number of threads as an int, or None; raise ValueError for anything else."""
    if num_threads is None:
        return None
    try:
        count = 0 if isinstance(num_threads, bool) else operator.index(num_threads)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(
            f"dense_crf: num_threads must be a whole number of at least 1, not {num_threads!r}"
        )
    return count


def check_types_and_shapes(probabilities, images):
    """Check types, and shapes as far as they are known when a graph is traced.

    Args:
      probabilities: tensor that must be floating (B, H, W, C).
      images: tensor that must be uint8 (B, H, W, 3).

    Raises:
      ValueError: for a wrong type or shape; names the remedy.
    """
    if not probabilities.dtype.is_floating:
        raise ValueError(
            f"dense_crf: probabilities must be floating, not {probabilities.dtype.name}"
        )
    if images.dtype != tf.uint8:
        raise ValueError(
            f"dense_crf: images must be uint8 RGB with values 0 to 255, not {images.dtype.name}: "
            f"{type_remedy(images)}"
        )
    shapes = f"probabilities are {probabilities.shape} and images {images.shape}"
    if probabilities.shape.rank != 4 or images.shape.rank != 4:
        raise ValueError(f"dense_crf: needs (B, H, W, C) and (B, H, W, 3), but {shapes}")
    if images.shape[3] != 3:
        remedy = channel_remedy(images.shape[3])
        raise ValueError(f"dense_crf: images must have 3 channels, but {shapes}{remedy}")
    if not probabilities.shape[:3].is_compatible_with(images.shape[:3]):
        raise ValueError(f"dense_crf: batch, height and width must agree, but {shapes}")
    if 0 in [*probabilities.shape, *images.shape]:
        raise ValueError(f"dense_crf: the input is empty: {shapes}")


def check_weights(weights):
    """Convert the two kernel weights to float32 scalars.

    Raises:
      ValueError: unless they are two scalars; when executing eagerly, also if one is negative,
        NaN or infinite.
    """
    try:
        weights = [tf.cast(weight, tf.float32) for weight in weights]
    except TypeError:
        weights = []
    if len(weights) != 2 or not all(weight.shape.is_compatible_with([]) for weight in weights):
        raise ValueError("dense_crf: weights must be two scalars, to use in place of w1 and w2")
    if tf.executing_eagerly():
        refuse_bad_weights(weights)
    return weights


def refuse_bad_weights(weights):
    """Raise ValueError if a weight is negative, NaN or infinite; None passes."""
    if weights is None:
        return
    for name, value in zip(("w1", "w2"), map(float, weights), strict=True):
        if not 0 <= value < np.inf:
            raise ValueError(
                f"dense_crf: weights must be finite and at least 0, but {name} is {value:g}"
            )


def check_compatibility(compatibility, probabilities, prune_below):
    """Convert the compatibility to a float32 tensor.

    Args:
      compatibility: (C, C) numbers.
      probabilities: (B, H, W, C) tensor.
      prune_below: as for `dense_crf`.

    Raises:
      ValueError: if it is not C x C (in a graph with unknown C, `tf.errors.InvalidArgumentError`
        when it runs), if `prune_below` is not 0, or, when executing eagerly, if it holds NaN or
        infinite values.
    """
    if prune_below:
        raise ValueError(
            "dense_crf: labels can only be pruned in the Potts model; with a compatibility, give "
            "prune_below=0"
        )
    compatibility = tf.cast(compatibility, tf.float32)
    labels = probabilities.shape[-1]
    if not compatibility.shape.is_compatible_with([labels, labels]):
        raise ValueError(
            f"dense_crf: the compatibility is {compatibility.shape}, but there are {labels} labels"
            "; give one row and one column for each label"
        )
    if tf.executing_eagerly():
        refuse_bad_costs(compatibility)
    message = "dense_crf: the compatibility must have one row and one column for each label"
    wanted = tf.repeat(tf.shape(probabilities)[-1], 2)
    with tf.control_dependencies(
        [tf.debugging.assert_equal(tf.shape(compatibility), wanted, message)]
    ):
        return tf.identity(compatibility)


def refuse_bad_costs(compatibility):
    """Raise ValueError if the compatibility has NaN or infinite values; None passes."""
    if compatibility is not None and not np.isfinite(compatibility).all():
        raise ValueError(
            "dense_crf: the compatibility holds NaN or infinite values; check what computed it"
        )


def check_probabilities(probabilities, images):
    """Convert the probabilities to float32 and check their values.

    Inside a graph, the check becomes part of the graph and happens when it runs.

    Args:
      probabilities: (B, H, W, C) floating tensor.
      images: (B, H, W, 3) uint8 tensor.

    Raises:
      ValueError: for a wrong value or sum. Inside a graph, `tf.errors.InvalidArgumentError`, also
        if the sizes of probabilities and images differ.
    """
    # The sum of a 16-bit softmax differs from one by more than one rounding error.
    tolerance = max(1e-3, 4 * _EPSILONS.get(probabilities.dtype, 0))
    probabilities = tf.cast(probabilities, tf.float32)
    if tf.executing_eagerly():
        _check_values(np.asarray(probabilities), tolerance)
        checks = []
    else:
        checks = _graph_checks(probabilities, images, tolerance)
    if probabilities.shape[-1] == 1:
        # Not an error: a single label is a valid model, although nothing can be refined.
        warnings.warn(f"dense_crf: every pixel gets label 0: {_ONE_SIGMOID}", stacklevel=3)
    with tf.control_dependencies(checks):
        return tf.identity(probabilities)


def _check_values(probabilities, tolerance):
    num_labels = probabilities.shape[-1]
    values = read_only(probabilities)
    with ThreadTeam() as team:
        pixels = team.split(len(values) // num_labels)
        good = team.run(_are_probabilities, pixels, values, num_labels, np.float32(tolerance))
    if all(good):
        return
    if not np.isfinite(values).all():
        raise ValueError(
            "dense_crf: probabilities hold NaN or infinite values; check what computed them"
        )
    if values.min() < 0:
        raise ValueError(
            f"dense_crf: probabilities must not be negative, the smallest is {values.min():g}; "
            f"{_ONE_SCORE if num_labels == 1 else _SCORES}"
        )
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    raise ValueError(
        f"dense_crf: probabilities must sum to one over the last axis, one pixel's sum is "
        f"{furthest:g}; {_remedy_for_sums(num_labels, values.max(), sums)}"
    )


def _remedy_for_sums(num_labels, largest, sums):
    """What to do about values of at least 0 that do not sum to one."""
    if num_labels == 1:
        return _ONE_SIGMOID if largest <= 1 else _ONE_SCORE
    if largest <= 1:
        return _SIGMOIDS
    if np.ptp(sums) < 0.02 * sums.mean():
        return f"all pixels' sums are about {sums.mean():.0f}: divide by them"
    return _SCORES


# The compiler may reorder the sums, so that it can use vectors; NaN must remain NaN.
@kernel(fastmath={"reassoc", "nsz", "contract"})
def _are_probabilities(low, high, values, num_labels, tolerance):
    """Whether pixels low to high hold probabilities that sum to one; False for NaN."""
    good = True
    for pixel in range(low, high):
        total, least = np.float32(0), np.float32(0)
        for value in values[pixel * num_labels : (pixel + 1) * num_labels]:
            total += value
            least = min(least, value)
        good &= abs(total - np.float32(1)) <= tolerance and least >= np.float32(0)
    return good


def _graph_checks(probabilities, images, tolerance):
    """Assertions on sizes and values that are known only when the graph runs."""
    least = tf.reduce_min(probabilities)
    error = tf.reduce_max(tf.abs(tf.reduce_sum(probabilities, axis=-1) - 1))
    remedy = _ONE_SCORE if probabilities.shape[-1] == 1 else _SIGMOIDS
    # Comparisons with NaN are False, so NaN fails.
    good = tf.logical_and(least >= 0, error <= tolerance)
    return [
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(probabilities) > 0),
            ["dense_crf: the input is empty: probabilities are", tf.shape(probabilities)],
        ),
        tf.debugging.assert_equal(
            tf.shape(probabilities)[:3],
            tf.shape(images)[:3],
            "dense_crf: probabilities and images differ in size",
        ),
        tf.debugging.Assert(
            good,
            [
                "dense_crf: probabilities must be finite, not negative, and sum to one over "
                f"the last axis; {remedy}. Smallest value and largest |sum - 1|:",
                least,
                error,
            ],
        ),
    ]
