"""What the values of label files show: values of no class, masks, gray shades of colors."""

from collections import Counter

import numpy as np

from deeplab_tf.data.checks.findings import some
from deeplab_tf.labels import VOID

MASK_VALUES = {0, 128, 255}


def count_values(label):
    """The number of pixels of each value in a label (H, W) uint8: dict from value to count."""
    counts = np.bincount(label.ravel(), minlength=VOID + 1)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def sum_counts(counts):
    """Add up many dicts from value to number of pixels, into a `Counter`."""
    total = Counter()
    for pixels in counts:
        total.update(pixels)
    return total


def wrong_values(values, num_values):
    """Find values that no class has in one label.

    Args:
      values: the values that the label holds.
      num_values: number of values that have a meaning; others than these and 255 are wrong.

    Yields:
      (kind, what, remedy) of each problem.
    """
    wrong = [value for value in values if num_values <= value < VOID]
    classes = f"{num_values} classes: 0..{num_values - 1}, {VOID} = void"
    if wrong == [128] and set(values) <= MASK_VALUES:
        what = f"label values {some(values)}, as in masks, but {classes}"
        yield "label_mask", what, "write the class's index instead of the object's value"
    elif wrong:
        what = f"label values {some(wrong)} of no class ({classes})"
        yield "label_value", what, value_remedy(values, num_values)


def value_remedy(values, num_values, colors=None):
    """What to do about label values that no class has.

    Args:
      values: all values that the labels hold.
      num_values: number of values that have a meaning.
      colors: (n, 3) RGB colors of the classes; None does not look for gray shades.

    Returns:
      The end of a message.
    """
    values = set(values) - {VOID}
    objects = values - {0}
    if max(values) == num_values and 0 not in values:
        return (
            "the labels seem to count from 1: add 'unlabeled void' as the first line of"
            f" classes.txt, or subtract 1 from each value but {VOID}"
        )
    if colors is not None and len(objects) > 1 and objects <= gray_shades(colors):
        return (
            "these are the gray shades of the classes' colors: a color picture was saved as "
            "gray; write the class indices instead"
        )
    return (
        f"if the values 0..{max(values)} are meant and not only 0..{num_values - 1}, give each its"
        " line in classes.txt, as 'NAME void' if it is to be ignored; otherwise fix the label"
    )


def gray_shades(colors):
    """The gray levels that colors become if a color picture is converted to gray.

    Args:
      colors: (n, 3) RGB colors 0..255.

    Returns:
      A set of levels, including those that other programs may round to, but without black's.
    """
    levels = np.reshape(colors, (-1, 3)) @ np.array([0.299, 0.587, 0.114])
    shades = {int(level) + step for level in levels for step in (0, 1)}
    return shades - {0, 1}
