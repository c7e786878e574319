"""Checks of the tensors that the CRF is given, eagerly and in graphs."""

import sys

import numpy as np
import tensorflow as tf

from crf.checks import (
    check_no_pruning,
    check_sums,
    refuse_bad_costs,
    refuse_bad_weights,
    remedy_for_sums,
    tolerance_of_sums,
    warn_of_one_label,
)
from crf.image_checks import channel_remedy, type_remedy, warn_of_zeros_and_ones, zeros_and_ones
from crf.wording import TENSORS


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
            f"{_type_remedy(images)}"
        )
    shapes = f"probabilities are {probabilities.shape} and images {images.shape}"
    if probabilities.shape.rank != 4 or images.shape.rank != 4:
        raise ValueError(f"dense_crf: needs (B, H, W, C) and (B, H, W, 3), but {shapes}")
    if images.shape[3] != 3:
        remedy = channel_remedy(images.shape[3], TENSORS)
        raise ValueError(f"dense_crf: images must have 3 channels, but {shapes}{remedy}")
    if not probabilities.shape[:3].is_compatible_with(images.shape[:3]):
        raise ValueError(f"dense_crf: batch, height and width must agree, but {shapes}")
    if 0 in [*probabilities.shape, *images.shape]:
        raise ValueError(f"dense_crf: the input is empty: {shapes}")


def _type_remedy(images):
    """What to do about images of another type; in a graph their values are usually unknown."""
    dtype = images.dtype
    is_number = dtype.is_floating or dtype.is_integer or dtype.is_bool
    values = tf.get_static_value(images) if is_number else None
    return type_remedy(values, dtype.is_floating, TENSORS)


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
    check_no_pruning(prune_below)
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


def check_probabilities(probabilities, images, num_threads=None):
    """Convert the probabilities to float32 and check their values.

    Inside a graph, the check becomes part of the graph and happens when it runs.

    Args:
      probabilities: (B, H, W, C) floating tensor.
      images: (B, H, W, 3) uint8 tensor.
      num_threads: number of threads for the check, outside of a graph; None uses all processors.

    Raises:
      ValueError: for a wrong value or sum. Inside a graph, `tf.errors.InvalidArgumentError`, also
        if the sizes of probabilities and images differ.
    """
    tolerance = tolerance_of_sums(probabilities.dtype.name)
    probabilities = tf.cast(probabilities, tf.float32)
    if tf.executing_eagerly():
        check_sums(np.asarray(probabilities), tolerance, num_threads=num_threads)
        checks = []
    else:
        checks = _graph_checks(probabilities, images, tolerance)
    warn_of_one_label(probabilities.shape[-1])
    with tf.control_dependencies(checks):
        return tf.identity(probabilities)


def _graph_checks(probabilities, images, tolerance):
    """Assertions on sizes and values that are known only when the graph runs."""
    least = tf.reduce_min(probabilities)
    error = tf.reduce_max(tf.abs(tf.reduce_sum(probabilities, axis=-1) - 1))
    remedy = remedy_for_sums(probabilities.shape[-1], TENSORS)
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


def check_for_zeros_and_ones(images):
    """Warn if uint8 images hold only the values 0 and 1, and both of them.

    Inside a graph, the warning is printed when it runs.

    Args:
      images: (B, H, W, 3) uint8 tensor.

    Returns:
      The images. In a graph, computing them prints the warning.
    """
    if tf.executing_eagerly():
        warn_of_zeros_and_ones(np.asarray(images), TENSORS)
        return images

    def print_warning():
        message = tf.print(zeros_and_ones(TENSORS), output_stream=sys.stderr)
        with tf.control_dependencies([message]):
            return tf.constant(True)

    suspect = tf.logical_and(tf.reduce_max(images) == 1, tf.reduce_min(images) == 0)
    with tf.control_dependencies([tf.cond(suspect, print_warning, lambda: tf.constant(False))]):
        return tf.identity(images)


def with_shape_of(tensor, other):
    """The tensor with the static shape of another one; in eager mode it has that already.

    There, `tf.ensure_shape` would leave 34 kB behind for every new shape: TensorFlow keeps a kernel
    for each value of the attributes of an operation.
    """
    return tensor if tf.executing_eagerly() else tf.ensure_shape(tensor, other.shape)
