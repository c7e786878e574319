"""Unary energies from probabilities, from hard labels, and from scribbles."""

from numbers import Real

import numpy as np

from crf.checks import as_numbers, check_count, check_sums, tolerance_of_sums
from crf.gaussian import Kernel
from crf.params import MIN_PROBABILITY
from crf.wording import ARRAYS


def unary_from_probabilities(probabilities, least=MIN_PROBABILITY):
    """The negative logarithm of probabilities, as `refine` uses it.

    Args:
      probabilities: (..., C) floating, not negative, summing to one over C.
      least: smaller probabilities become this, which bounds the energies; above 0, below 1.

    Returns:
      float32 of the same shape.

    Raises:
      ValueError: for values that are not probabilities.

    Example:
      >>> infer(unary_from_probabilities(probabilities), kernels)
    """
    where = "unary_from_probabilities"
    given = as_numbers(probabilities, f"{where}: probabilities", np.float32)
    if given.ndim < 2 or not given.size:
        raise ValueError(f"{where}: probabilities must be (..., C), but are {given.shape}")
    # Loose enough for a softmax in bfloat16, which may have been converted since.
    check_sums(given, tolerance_of_sums("bfloat16"), ARRAYS._replace(function=where))
    if not (isinstance(least, Real) and 0 < least < 1):
        raise ValueError(f"{where}: least must be above 0 and below 1, not {least!r}")
    return -np.log(np.maximum(given, np.float32(least)))


def unary_from_labels(labels, num_labels, confidence=0.7, unsure=255):
    """Unary energies from one label for each point, some of which are unknown.

    A point's own label gets the probability `confidence`, and the others share the rest equally;
    where the label is unknown, all labels are equally probable.

    Args:
      labels: integers of any shape, such as (H, W): a label from 0 to C - 1, or an unsure value.
      num_labels: number of labels, C, at least 2.
      confidence: probability that a label is right: one number, one for each label, or one for
        each point; above 0, below 1. With 1 / C the labels say nothing.
      unsure: value, or several, of points whose label is unknown, such as the void of a border;
        None if there are none.

    Returns:
      float32 (..., C).

    Raises:
      ValueError: naming the argument that is wrong, and the remedy.

    Example:
      >>> unary = unary_from_labels(drawn, num_labels=21, confidence=0.9, unsure=255)
      >>> refined = infer(unary, image_kernels(image)).marginals.argmax(axis=-1)
    """
    where = "unary_from_labels"
    num_labels = check_count(num_labels, f"{where}: num_labels", 2)
    labels, known = _checked_labels(labels, num_labels, unsure, where, "unsure")
    return _energies(labels, known, num_labels, confidence, where)


def unary_from_scribbles(
    scribbles, num_labels, features=None, confidence=0.99, unlabeled=255, doubt=1.0
):
    """Unary energies from a few labeled points, such as lines that a person drew.

    Labeled points get energies as `unary_from_labels` gives them. Without features all labels are
    equally probable at the others, so only the CRF's kernels spread the labels, which takes many
    iterations. With features, a point is compared with all labeled points: n_l is the number of
    those of label l, each counted by its similarity exp(-|f_i - f_j|² / 2), and

        probability of label l = (n_l + doubt) / (sum over labels of n + C doubt).

    Labels count alike, however many points they were drawn on.

    Args:
      scribbles: integers of any shape, such as (H, W): labels from 0 to C - 1, or `unlabeled`.
      num_labels: number of labels, C, at least 2.
      features: (N, d) for these points in row-major order, divided by standard deviations, as
        `image_features` gives them; None compares nothing.
      confidence: probability of the labels that were drawn; above 0, below 1.
      unlabeled: the value of points without a label.
      doubt: how many fully similar points it takes to trust a comparison; above 0.

    Returns:
      float32 (..., C).

    Raises:
      ValueError: naming the argument that is wrong, and the remedy.

    Example:
      >>> features = image_features(image, sigma_space=100, sigma_values=10)
      >>> unary = unary_from_scribbles(lines, num_labels=3, features=features)
      >>> labels = infer(unary, image_kernels(image)).marginals.argmax(axis=-1)
    """
    where = "unary_from_scribbles"
    num_labels = check_count(num_labels, f"{where}: num_labels", 2)
    labels, known = _checked_labels(scribbles, num_labels, unlabeled, where, "unlabeled")
    if not known.any():
        raise ValueError(f"{where}: no point has a label; all have the value {unlabeled}")
    energies = _energies(labels, known, num_labels, confidence, where)
    if features is None:
        return energies
    if not (isinstance(doubt, Real) and 0 < doubt < np.inf):
        raise ValueError(f"{where}: doubt must be a finite number above 0, not {doubt!r}")
    kernel = Kernel(features, normalization="none")
    if kernel.num_points != labels.size:
        raise ValueError(
            f"{where}: there are features of {kernel.num_points} points, but scribbles on "
            f"{labels.size}"
        )
    drawn = (known[..., None] & (labels[..., None] == np.arange(num_labels))).reshape(
        -1, num_labels
    )
    counts = drawn.sum(axis=0)
    # As if every label that was drawn at all had been drawn on equally many points.
    share = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    similar = kernel.filter(drawn) * share + doubt
    similar = (similar / similar.sum(axis=1, keepdims=True)).reshape(energies.shape)
    energies[~known] = -np.log(similar[~known])
    return energies


def _checked_labels(labels, num_labels, unknown, where, name):
    """The labels as an integer array, and which of them are known."""
    try:
        labels = np.asarray(labels)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{where}: labels must be an array of integers") from None
    if labels.dtype.kind not in "iub" or not labels.size:
        raise ValueError(
            f"{where}: labels must be an array of integers, but are {labels.dtype} {labels.shape}"
        )
    labels = labels.astype(np.int64)
    try:
        known = ~np.isin(labels, [] if unknown is None else unknown)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{where}: {name} must be a value, or several") from None
    outside = known & ((labels < 0) | (labels >= num_labels))
    if outside.any():
        value = labels[outside].flat[0]
        raise ValueError(
            f"{where}: label {value} is not from 0 to {num_labels - 1}; if it means that the label "
            f"is unknown, give {name}={value}"
        )
    return labels, known


def _energies(labels, known, num_labels, confidence, where):
    """Energies (..., C) of labels that are right with the given confidence, where known."""
    right = as_numbers(confidence, f"{where}: confidence")
    _check_probability(right, f"{where}: confidence")
    if right.shape == (num_labels,) and right.shape != labels.shape:
        right = right[np.where(known, labels, 0)]
    try:
        right = np.broadcast_to(right, labels.shape)
    except ValueError:
        raise ValueError(
            f"{where}: confidence must be one number, {num_labels} for the labels, or "
            f"{labels.shape} for the points, but is {right.shape}"
        ) from None
    others = np.where(known, (1 - right) / (num_labels - 1), 1 / num_labels)
    energies = np.repeat(-np.log(others)[..., None], num_labels, axis=-1).astype(np.float32)
    energies[known, labels[known]] = -np.log(right[known])
    return energies


def _check_probability(values, what):
    if not ((np.asarray(values) > 0) & (np.asarray(values) < 1)).all():
        raise ValueError(f"{what} must be above 0 and below 1, not {values!r}")
