"""Checks of values that need only NumPy; each error is one line that names the remedy."""

import operator
import warnings

import numpy as np

from crf.compile import kernel, read_only
from crf.threads import ThreadTeam
from crf.wording import TENSORS

_SCORES = "scores need a softmax first"
_SIGMOIDS = f"{_SCORES}, sigmoids of several classes a division by their sum"


def one_sigmoid(words):
    """What to do about a single channel; a softmax over it would make every pixel class 0."""
    return f"there is a single channel; for a sigmoid p: give [1 - p, p], {words.two_classes}"


def remedy_for_sums(num_labels, words):
    """What to do about values that do not sum to one, where they are not known yet."""
    return one_score(words) if num_labels == 1 else _SIGMOIDS


def one_score(words):
    """What to do about a single channel of scores."""
    return f"{one_sigmoid(words)} with p = {words.sigmoid}"


def check_prune_below(prune_below, words=TENSORS):
    """Raise ValueError unless `prune_below` is from 0 to 1."""
    if not 0 <= prune_below <= 1:
        raise ValueError(
            f"{words.function}: prune_below must be a probability, not {prune_below!r}"
        )


def check_no_compatibility(prune_below, words=TENSORS):
    """Raise ValueError if labels are to be pruned, because there is a compatibility."""
    if prune_below:
        raise ValueError(
            f"{words.function}: labels can only be pruned in the Potts model; with a "
            "compatibility, give prune_below=0"
        )


def check_num_threads(num_threads, function=TENSORS.function):
    """Return the number of threads as an int, or None; raise ValueError for anything else."""
    if num_threads is None:
        return None
    try:
        count = 0 if isinstance(num_threads, bool) else operator.index(num_threads)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(
            f"{function}: num_threads must be a whole number of at least 1, not {num_threads!r}"
        )
    return count


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
            f"{words.function}: every pixel gets label 0: {one_sigmoid(words)}", stacklevel=4
        )


def check_sums(probabilities, tolerance, words=TENSORS):
    """Raise ValueError unless all values are probabilities that sum to one over the last axis.

    Args:
      probabilities: (..., C) float32 array.
      tolerance: largest difference of a sum from one.
      words: `Wording` of the message.
    """
    num_labels = probabilities.shape[-1]
    values = read_only(probabilities)
    with ThreadTeam() as team:
        pixels = team.split(len(values) // num_labels)
        good = team.run(_are_probabilities, pixels, values, num_labels, np.float32(tolerance))
    if not all(good):
        raise ValueError(f"{words.function}: {_problem(probabilities, words)}")


def _problem(probabilities, words):
    """What is wrong with values that are not probabilities, and what to do."""
    num_labels, least, largest = probabilities.shape[-1], probabilities.min(), probabilities.max()
    if not np.isfinite(probabilities).all():
        return "probabilities hold NaN or infinite values; check what computed them"
    if least < 0:
        remedy = one_score(words) if num_labels == 1 else _SCORES
        return f"probabilities must not be negative, the smallest is {least:g}; {remedy}"
    sums = probabilities.sum(axis=-1, dtype=np.float64)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    if num_labels == 1:
        remedy = one_sigmoid(words) if largest <= 1 else one_score(words)
    elif largest <= 1:
        remedy = _SIGMOIDS
    elif np.ptp(sums) < 0.02 * sums.mean():
        remedy = f"all pixels' sums are about {sums.mean():.0f}: divide by them"
    else:
        remedy = _SCORES
    return (
        "probabilities must sum to one over the last axis, one pixel's sum is "
        f"{furthest:g}; {remedy}"
    )


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
