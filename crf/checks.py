"""Checks of values that need only NumPy; each error is one line that names the remedy."""

import operator
import warnings
from numbers import Real

import numpy as np

from crf.compile import kernel, read_only
from crf.threads import ThreadTeam
from crf.wording import TENSORS

_SCORES = "scores need a softmax first"
_SIGMOIDS = f"{_SCORES}, sigmoids of several classes a division by their sum"

# Machine epsilon of the 16-bit types; in wider types it is far below the tolerance.
_EPSILONS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def as_numbers(given, what, dtype=np.float64, *, booleans=True):
    """The argument as an array of numbers.

    Args:
      given: what should be an array of numbers.
      what: what it is, for the error.
      dtype: the floating type of the result, a copy; None keeps the type, and may share memory.
      booleans: whether booleans are numbers too.

    Raises:
      ValueError: with `what`, if it holds anything but numbers.
    """
    try:
        array = np.asarray(given)
        # What would be converted, but is no real number.
        if array.dtype.kind not in ("cmMOSU" if booleans else "bcmMOSU"):
            return array if dtype is None else array.astype(dtype)
    except (TypeError, ValueError):  # rows of different lengths
        raise ValueError(f"{what} must be an array of numbers") from None
    raise ValueError(f"{what} must be numbers, not {array.dtype}")


def check_count(value, what, least):
    """Return a whole number as an int; raise ValueError for others, and below `least`."""
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or count < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, not {value!r}")
    return count


def tolerance_of_sums(type_name):
    """How far a pixel's sum of probabilities may be from one, in the type that they came in.

    The sum of a 16-bit softmax differs from one by more than one rounding error.
    """
    return max(1e-3, 4 * _EPSILONS.get(type_name, 0))


def _one_sigmoid(words):
    """What to do about a single channel; a softmax over it would make every pixel class 0."""
    return f"there is a single channel; for a sigmoid p: give [1 - p, p], {words.two_classes}"


def remedy_for_sums(num_labels, words):
    """What to do about values that do not sum to one, where they are not known yet."""
    return _one_score(words) if num_labels == 1 else _SIGMOIDS


def _one_score(words):
    """What to do about a single channel of scores."""
    return f"{_one_sigmoid(words)} with p = {words.sigmoid}"


def check_prune_below(prune_below, words=TENSORS):
    """Raise ValueError unless `prune_below` is from 0 to 1."""
    if not (is_real(prune_below) and 0 <= prune_below <= 1):
        raise ValueError(
            f"{words.function}: prune_below must be a probability, not {prune_below!r}"
        )


def check_damping(damping, function):
    """Return the damping as a float; raise ValueError unless it is from 0 to below 1."""
    if not (is_real(damping) and 0 <= damping < 1):
        raise ValueError(f"{function}: damping must be from 0 to below 1, not {damping!r}")
    return float(damping)


def check_tolerance(tolerance, function):
    """Raise ValueError unless the tolerance is None or a finite number of at least 0."""
    if tolerance is not None and not (is_real(tolerance) and 0 <= tolerance < np.inf):
        raise ValueError(f"{function}: tolerance must be a number of at least 0, not {tolerance!r}")


def check_switch(value, what):
    """Raise ValueError unless the value is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{what} must be True or False, not {value!r}")


def shape_of(values):
    """The shape of an array or of nested sequences; None if these differ in length."""
    try:
        return np.shape(values)
    except ValueError:
        return None


def is_real(value):
    """Whether a value is a single number; a boolean would be another option's."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_no_pruning(prune_below, words=TENSORS):
    """Raise ValueError if labels are to be pruned, because there is a compatibility."""
    if prune_below:
        raise ValueError(
            f"{words.function}: labels can only be pruned in the Potts model; with a "
            "compatibility, give prune_below=0"
        )


def check_num_threads(num_threads, function=TENSORS.function):
    """Return the number of threads as an int, or None; raise ValueError for anything else."""
    return None if num_threads is None else check_count(num_threads, f"{function}: num_threads", 1)


def refuse_bad_weights(weights):
    """Raise ValueError if a weight is negative, NaN or infinite; None passes."""
    if weights is None:
        return
    for name, value in zip(("w1", "w2"), map(float, weights), strict=True):
        if not 0 <= value < np.inf:
            raise ValueError(
                f"dense_crf: weights must be finite and at least 0, but {name} is {value:g}"
            )


def refuse_bad_costs(compatibility):
    """Raise ValueError if the compatibility has NaN or infinite values; None passes."""
    if compatibility is not None and not np.isfinite(compatibility).all():
        raise ValueError(
            "dense_crf: the compatibility holds NaN or infinite values; check what computed it"
        )


def warn_of_one_label(num_labels, words=TENSORS):
    """Warn if there is a single label, with which nothing can be refined."""
    if num_labels == 1:
        # Not an error: a single label is a valid model.
        warnings.warn(
            f"{words.function}: every pixel gets label 0: {_one_sigmoid(words)}", stacklevel=4
        )


def check_sums(probabilities, tolerance, words=TENSORS, num_threads=None):
    """Raise ValueError unless all values are probabilities that sum to one over the last axis.

    Args:
      probabilities: (..., C) float32 array.
      tolerance: largest difference of a sum from one.
      words: `Wording` of the message.
      num_threads: number of threads; None uses all processors.
    """
    num_labels = probabilities.shape[-1]
    values = read_only(probabilities)
    with ThreadTeam(num_threads) as team:
        pixels = team.split(len(values) // num_labels)
        good = team.run(_are_probabilities, pixels, values, num_labels, np.float32(tolerance))
    if not all(good):
        raise ValueError(f"{words.function}: {_problem(probabilities, words)}")


def _problem(probabilities, words):
    """What is wrong with values that are not probabilities, and what to do."""
    num_labels, least, largest = probabilities.shape[-1], probabilities.min(), probabilities.max()
    name = words.probabilities
    if not np.isfinite(probabilities).all():
        return f"{name} hold NaN or infinite values; check what computed them"
    if least < 0:
        remedy = _one_score(words) if num_labels == 1 else _SCORES
        return f"{name} must not be negative, the smallest is {least:g}; {remedy}"
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    if num_labels == 1:
        remedy = _one_sigmoid(words) if largest <= 1 else _one_score(words)
    elif largest <= 1:
        remedy = _SIGMOIDS
    elif np.ptp(sums) < 0.02 * sums.mean():
        remedy = f"all pixels' sums are about {sums.mean():.0f}: divide by them"
    else:
        remedy = _SCORES
    return f"{name} must sum to one over the last axis, one pixel's sum is {furthest:g}; {remedy}"


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
