"""What the CRF refuses, each with one line that names the remedy."""

import numpy as np
import tensorflow as tf

from crf.cpu.kernels import survey
from crf.cpu.mean_field import read_only
from crf.threads import Crew

# Distance from one to the next number. That of the wider types is far below any tolerance.
_HALF_EPSILONS = {tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}

_SCORES = "scores need a softmax first"


def check_types(probabilities, images):
    """Refuse tensors of other types than probabilities and 8-bit images have.

    Raises:
      ValueError: naming the type and the remedy.
    """
    if not probabilities.dtype.is_floating:
        raise ValueError(
            f"dense_crf: probabilities must be floating, not {probabilities.dtype.name}"
        )
    if images.dtype != tf.uint8:
        raise ValueError(
            f"dense_crf: images must be uint8 RGB with values 0 to 255, not "
            f"{images.dtype.name}; convert them with tf.cast(images, tf.uint8)"
        )


def check_shapes(probabilities, images):
    """Refuse shapes other than (B, H, W, C) and (B, H, W, 3), as far as they are known.

    Raises:
      ValueError: naming both shapes.
    """
    shapes = f"probabilities are {probabilities.shape} and images {images.shape}"
    if probabilities.shape.rank != 4 or images.shape.rank != 4:
        raise ValueError(f"dense_crf: needs (B, H, W, C) and (B, H, W, 3), but {shapes}")
    if images.shape[3] != 3:
        raise ValueError(f"dense_crf: images must have 3 channels, but {shapes}")
    if not probabilities.shape[:3].is_compatible_with(images.shape[:3]):
        raise ValueError(f"dense_crf: batch, height and width must agree, but {shapes}")
    if 0 in [*probabilities.shape, *images.shape]:
        raise ValueError(f"dense_crf: nothing to do, {shapes}")


def sum_tolerance(dtype):
    """How far the sum of a pixel's probabilities may be from one.

    Args:
      dtype: the floating `tf.DType` they were computed in; a softmax in half precision misses
        one by more than its rounding of a single number.

    Returns:
      Float, 0.001 or four times the dtype's rounding, whichever is more.
    """
    return max(1e-3, 4 * _HALF_EPSILONS.get(dtype, 0))


def check_values(probabilities, tolerance):
    """Refuse values that are no probabilities.

    Args:
      probabilities: (B, H, W, C) float32 array.
      tolerance: of their sums, as `sum_tolerance` gives it.

    Raises:
      ValueError: naming a value or a sum that is wrong.
    """
    num_classes = probabilities.shape[-1]
    values = read_only(probabilities)
    with Crew() as crew:
        pixels = crew.shares(len(values) // num_classes)
        good = crew.run(survey, pixels, values, num_classes, np.float32(tolerance))
    if all(good):
        return
    if not np.isfinite(values).all():
        raise ValueError(
            "dense_crf: probabilities hold NaN or infinite values; look at what made them"
        )
    if values.min() < 0:
        raise ValueError(
            f"dense_crf: probabilities must not be negative, the least is {values.min():g}; "
            f"{_SCORES}"
        )
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    raise ValueError(
        f"dense_crf: probabilities must sum to one over the last axis, one pixel's sum is "
        f"{furthest:g}; {_SCORES}"
    )


def graph_checks(probabilities, images, tolerance):
    """Control inputs that stop a graph on sizes or values which are only known when it runs.

    Args:
      probabilities: (B, H, W, C) float32 tensor.
      images: (B, H, W, 3) uint8 tensor.
      tolerance: of the sums, as `sum_tolerance` gives it.

    Returns:
      List of operations, which fail with `tf.errors.InvalidArgumentError`.
    """
    least = tf.reduce_min(probabilities)
    error = tf.reduce_max(tf.abs(tf.reduce_sum(probabilities, axis=-1) - 1))
    # Written so that NaN fails.
    good = tf.logical_and(least >= 0, error <= tolerance)
    return [
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(probabilities) > 0),
            ["dense_crf: nothing to do, probabilities are of the size", tf.shape(probabilities)],
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
                f"the last axis; {_SCORES}. The least, and the largest error of a sum:",
                least,
                error,
            ],
        ),
    ]
