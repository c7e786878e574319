"""Strips of an image that is too large to be refined at once."""

import math
from itertools import pairwise
from typing import NamedTuple

from crf.checks import check_count, is_real
from crf.memory import inference_bytes
from crf.wording import ARRAYS

OVERLAP_SIGMAS = 2
"""Overlap of a strip with the image around it, in standard deviations of the widest kernel."""


class Strip(NamedTuple):
    """A strip of an image, as slices of its rows and columns.

    Args:
      seen: (rows, columns) that are refined together.
      kept: (rows, columns) whose result is kept; those of all strips cover the image once.
    """

    seen: tuple
    kept: tuple

    @property
    def kept_of_seen(self):
        """The kept part as slices of what is seen."""
        return tuple(
            slice(kept.start - seen.start, kept.stop - seen.start)
            for kept, seen in zip(self.kept, self.seen, strict=True)
        )


def check_strip_options(max_memory, overlap, function=ARRAYS.function):
    """Return the overlap as an int, or None; raise ValueError for values that cannot be used."""
    if max_memory is None:
        if overlap is not None:
            raise ValueError(f"{function}: overlap has no effect without max_memory; give both")
        return None
    if not (is_real(max_memory) and 0 < max_memory < math.inf):
        raise ValueError(
            f"{function}: max_memory must be a number of bytes above 0, not {max_memory!r}"
        )
    return None if overlap is None else check_count(overlap, f"{function}: overlap", 0)


def plan_strips(shape, params, max_memory, overlap=None, function=ARRAYS.function, factor=1):
    """Divide an image into strips across its longer side.

    Args:
      shape: (H, W, C) of the probabilities.
      params: `CRFParams`, whose widest kernel gives the overlap if there is none.
      max_memory: bytes that a strip may take, with the copies that are made of its part.
      overlap: pixels that a strip sees beyond each end of what is kept of it.
      function: what the user called, for the error.
      factor: as for `strip_bytes`.

    Returns:
      List of `Strip`; a single one if the whole image needs no more than `max_memory`.

    Raises:
      ValueError: naming the memory that is needed, if it is too little.
    """
    height, width, labels = shape
    longer, shorter = max(height, width), min(height, width)
    line_bytes = strip_bytes(1, shorter, labels, factor)
    overlap = default_overlap(params) if overlap is None else overlap
    lines = min(longer, int(max_memory // line_bytes))
    kept = longer if lines == longer else lines - 2 * overlap
    if kept < least_kept(overlap):
        needed = line_bytes * min(longer, 2 * overlap + least_kept(overlap))
        raise ValueError(
            f"{function}: max_memory is {max_memory / 1e9:.3g} GB, but strips of {shorter} pixels "
            f"by {labels} labels with an overlap of {overlap} pixels take at least "
            f"{math.ceil(needed / 1e6) / 1e3} GB; give more, or a smaller overlap, which makes "
            "larger errors"
        )
    count = -(-longer // kept)
    bounds = [longer * part // count for part in range(count + 1)]
    return [_strip(*ends, overlap, height, width) for ends in pairwise(bounds)]


def default_overlap(params):
    """Pixels that a strip sees beyond each end of what is kept of it, if nothing is given."""
    sigmas = (params.w1, params.sigma_alpha), (params.w2, params.sigma_gamma)
    return math.ceil(OVERLAP_SIGMAS * max((sigma for weight, sigma in sigmas if weight), default=0))


def least_kept(overlap):
    """Lines that are kept of a strip at the least: a fifth of those that are worked on."""
    return max(1, overlap // 2)


def strip_bytes(height, width, labels, factor=1):
    """Estimate of the memory of a strip: what refining it takes, its probabilities and result.

    Args:
      height, width, labels: of the strip; numbers, or integer tensors.
      factor: what the engine takes, in what the numba engine takes; for the lattice engine
        `crf.memory.GRAPH_FACTOR`.
    """
    return factor * inference_bytes(height, width, labels) + 8 * height * width * labels


def _strip(first, last, overlap, height, width):
    """The strip that keeps lines first to last."""
    kept = slice(first, last)
    seen = slice(max(0, first - overlap), min(max(height, width), last + overlap))
    if height >= width:
        across = slice(0, width)
        return Strip((seen, across), (kept, across))
    across = slice(0, height)
    return Strip((across, seen), (across, kept))
