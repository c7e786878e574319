"""Unary energies and pairwise features with the names and arguments of pydensecrf.utils."""

import logging
import operator
from numbers import Number, Real

import numpy as np

from crf.checks import as_numbers, shape_of
from crf.pydensecrf.arguments import as_count, as_deviations

_LOGGER = logging.getLogger("crf.pydensecrf")


def unary_from_labels(labels, n_labels, gt_prob, zero_unsure=True):
    """Unary energies of hard labels that are right with a given probability.

    The label of a point gets the probability `gt_prob`; the others share the rest equally.

    Args:
      labels: integers of any shape with N elements: with `zero_unsure` 1 to `n_labels`, and 0 for
        unsure; without it 0 to `n_labels` - 1.
      n_labels: number of labels, at least 2; does not count the 0 of `zero_unsure`.
      gt_prob: probability that a label is right, between 0 and 1.
      zero_unsure: whether the points of label 0 get the same energy for every label.

    Returns:
      float32 (n_labels, N).

    Raises:
      ValueError: for labels that are no integers or out of range, or another bad argument.

    Example:
      >>> unary_from_labels(np.array([[0, 1], [2, 2]]), n_labels=2, gt_prob=0.7).shape
      (2, 4)
    """
    if not (isinstance(gt_prob, Real) and 0 < gt_prob < 1):
        raise ValueError(f"pydensecrf: gt_prob must be between 0 and 1, not {gt_prob!r}")
    n_labels = as_count(n_labels, "n_labels", 2)
    try:
        labels = np.ravel(labels)
    except ValueError:  # rows of different lengths
        raise ValueError("pydensecrf: labels must be an array of integers") from None
    _check_labels(labels, n_labels, zero_unsure)
    unary = np.full((n_labels, labels.size), -np.log((1 - gt_prob) / (n_labels - 1)), np.float32)
    (sure,) = np.nonzero(labels) if zero_unsure else (np.arange(labels.size),)
    # As int64, because an unsigned 0 less one would be large.
    unary[labels[sure].astype(np.int64) - bool(zero_unsure), sure] = -np.log(gt_prob)
    if zero_unsure:
        unary[:, labels == 0] = -np.log(1 / n_labels)
    return unary


def _check_labels(labels, n_labels, zero_unsure):
    """Raise ValueError unless the labels are integers in range."""
    if labels.dtype.kind not in "iub":
        raise ValueError(
            f"pydensecrf: labels must be integers, not {labels.dtype.name}; give "
            "labels.astype(int), if all are whole numbers"
        )
    last = n_labels - (not zero_unsure)
    if labels.size and not (labels.min() >= 0 and labels.max() <= last):
        remedy = "" if zero_unsure else "; with zero_unsure=True, 0 is unsure and labels begin at 1"
        raise ValueError(
            f"pydensecrf: with n_labels={n_labels}, labels must be 0 to {last}, but are "
            f"{labels.min()} to {labels.max()}{remedy}; void pixels must become 0, unsure"
        )


def compute_unary(labels, M, GT_PROB=0.5):
    """Deprecated like in pydensecrf: `unary_from_labels` with 0 for unsure; logs a warning.

    Args:
      labels: its `labels`.
      M: its `n_labels`.
      GT_PROB: its `gt_prob`.

    Returns:
      float32 (M, N), contiguous.
    """
    _LOGGER.warning("compute_unary is deprecated; use unary_from_labels")
    return unary_from_labels(labels, M, GT_PROB)


def unary_from_softmax(sm, scale=None, clip=1e-5):
    """Unary energies of a network's probabilities: their negative logarithm.

    Args:
      sm: probabilities (C, ...), the labels first; N points in all other dimensions.
      scale: how far the probabilities are trusted, above 0 to 1: they are multiplied by it, and
        the rest is shared equally by all labels. None is 1.
      clip: smaller probabilities become this one; None keeps them, and 0 becomes infinite energy.

    Returns:
      float32 (C, N), contiguous.

    Raises:
      ValueError: for a scale or clip out of range.

    Example:
      >>> unary_from_softmax(probabilities.transpose(2, 0, 1))  # from (H, W, C)
    """
    sm = as_numbers(sm, "pydensecrf: sm", None)
    if not sm.ndim or not sm.size:
        raise ValueError(f"pydensecrf: sm must be (C, ...), the labels first, not {sm.shape}")
    if scale is not None:
        if not (isinstance(scale, Real) and 0 < scale <= 1):
            raise ValueError(f"pydensecrf: scale must be above 0 and at most 1, not {scale!r}")
        sm = np.add(scale * sm, (1 - scale) / len(sm), dtype=np.float64)
    if clip is not None:
        if not (isinstance(clip, Real) and 0 <= clip <= 1):
            raise ValueError(
                f"pydensecrf: clip must be a probability, or None to keep all, not {clip!r}"
            )
        sm = np.clip(sm, clip, 1)
    return np.ascontiguousarray(-np.log(sm).reshape(len(sm), -1), np.float32)


def softmax_to_unary(sm, GT_PROB=1):
    """Deprecated like in pydensecrf: `unary_from_softmax` that clips nothing; logs a warning.

    Args:
      sm: its `sm`.
      GT_PROB: its `scale`.

    Returns:
      float32 (C, N), contiguous.
    """
    _LOGGER.warning("softmax_to_unary is deprecated; use unary_from_softmax")
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims, shape):
    """Features of a kernel over positions on a grid of any rank.

    Args:
      sdims: standard deviation for each dimension, in grid steps, in the order of `shape`.
      shape: sizes of the grid with N points.

    Returns:
      float32 (len(shape), N) for `DenseCRF.addPairwiseEnergy`: positions divided by `sdims`.

    Raises:
      ValueError: unless there is one standard deviation above 0 for each dimension.

    Example:
      >>> create_pairwise_gaussian(sdims=(3, 3, 1), shape=(64, 64, 20)).shape
      (3, 81920)
    """
    try:
        shape = tuple(map(operator.index, shape))
    except TypeError:
        raise TypeError(f"pydensecrf: shape must be whole numbers, not {shape!r}") from None
    sdims = _one_for_each(sdims, "sdims", len(shape), "dimension of the grid")
    mesh = np.indices(shape, np.float32)
    mesh /= sdims.reshape(-1, *[1] * len(shape))
    return mesh.reshape(len(shape), -1)


def create_pairwise_bilateral(sdims, schan, img, chdim=-1):
    """Features of a kernel over positions and image values on a grid of any rank.

    Args:
      sdims: standard deviation for each dimension of the grid, in grid steps.
      schan: standard deviation of the values: one number for all channels, or one for each.
      img: image or volume with N points, and a dimension of K channels or none.
      chdim: which dimension the channels are; -1 for an image without one.

    Returns:
      float32 (d + K, N) for `DenseCRF.addPairwiseEnergy`: the d positions divided by `sdims`,
      then the channels divided by `schan`. K is 1 without channels.

    Raises:
      ValueError: for standard deviations of the wrong number, or not above 0.

    Example:
      >>> create_pairwise_bilateral(sdims=(10, 10), schan=0.1, img=gray_image).shape
      (3, 120000)
    """
    try:
        # Like in pydensecrf, -1 means "none", and not the last dimension.
        chdim = operator.index(chdim)
        channels = np.asarray(img)[None] if chdim == -1 else np.moveaxis(np.asarray(img), chdim, 0)
    except (TypeError, ValueError):  # also rows of different lengths
        raise ValueError(
            f"pydensecrf: img must be an array, and chdim one of its dimensions, not {chdim!r}"
        ) from None
    if not isinstance(schan, Number):
        schan = _one_for_each(schan, "schan", len(channels), "channel (a number is for all)")
    schan = as_deviations(schan, "schan", len(channels))
    if chdim == -1 and shape_of(sdims) == (channels.ndim - 2,):
        raise ValueError(
            f"pydensecrf: sdims must be {channels.ndim - 1} numbers, because chdim=-1 means no "
            f"channels; if the last dimension of img holds them, give chdim={channels.ndim - 2}"
        )
    positions = create_pairwise_gaussian(sdims, channels.shape[1:])
    values = channels.reshape(len(channels), -1).astype(np.float32)
    values /= schan[:, None]
    return np.concatenate([positions, values])


def _one_for_each(deviations, name, count, what):
    """The standard deviations as float32 (count,)."""
    if shape_of(deviations) != (count,):
        raise ValueError(
            f"pydensecrf: {name} must be {count} numbers, one for each {what}, not {deviations!r}"
        )
    return as_deviations(deviations, name, count)
