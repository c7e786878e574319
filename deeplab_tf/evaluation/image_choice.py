"""Which images of a data set are worth looking at."""

from typing import NamedTuple

import numpy as np

GROUP_SIZE = 3  # images of each kind


class Group(NamedTuple):
    """Images that are shown for the same reason.

    Args:
      title: the reason.
      images: their indices, the most telling first.
    """

    title: str
    images: list


def choose_images(before, after=None, size=GROUP_SIZE):
    """Choose the best, the median and the worst images, and those that the CRF changed most.

    Args:
      before: (n,) floats, the score of each image without the CRF; NaN leaves an image out.
      after: (n,) floats, its score after the CRF; None if there is no CRF. With a CRF, these say
        which images are the best and the worst.
      size: number of images in a group; smaller for fewer than three times as many images.

    Returns:
      List of `Group` without empty ones. No image is in two of the first three; an image that the
      CRF changed most may be in one of them, too.

    Example:
      >>> choose_images(np.array([0.3, 0.9, 0.5, 0.7]))[0]
      Group(title='best', images=[1])
    """
    before = np.asarray(before)
    scores = before if after is None else np.asarray(after)
    ranked = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= 0]
    size_here = max(1, min(size, len(ranked) // 3))
    best, others = ranked[:size_here], ranked[size_here:]
    worst = others[-size_here:][::-1]
    middle = (len(ranked) - size_here) // 2
    median = [index for index in ranked[middle:][:size_here] if index not in best + worst]
    groups = [Group("best", best), Group("median", median), Group("worst", worst)]
    if after is not None:
        change = np.nan_to_num(scores - before)
        raised = np.argsort(-change, kind="stable")
        groups += [
            Group("most improved by the CRF", [i for i in raised if change[i] > 0][:size]),
            Group("most damaged by the CRF", [i for i in raised[::-1] if change[i] < 0][:size]),
        ]
    return [Group(title, [int(i) for i in images]) for title, images in groups if images]
