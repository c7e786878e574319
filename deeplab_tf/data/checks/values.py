"""What label values of no class tell of the mistake that made them."""

import numpy as np

from deeplab_tf.labels import VOID


def grey_shades(colors):
    """The grey levels that colours turn into when a colour picture is made grey.

    Args:
      colors: (n, 3) RGB colours 0..255.

    Returns:
      A set of levels, with the neighbours that other programs' rounding may give; without black's.
    """
    levels = np.reshape(colors, (-1, 3)) @ np.array([0.299, 0.587, 0.114])
    shades = {int(level) + step for level in levels for step in (0, 1)}
    return shades - {0, 1}


def value_remedy(values, num_classes, colors=None):
    """What to do about values that are neither below `num_classes` nor 255.

    Args:
      values: all values that the labels hold.
      num_classes: number of classes.
      colors: the colours of the classes, (num_classes, 3) RGB; None looks for no grey shades.

    Returns:
      The end of a message.
    """
    values = set(values) - {VOID}
    objects = values - {0}
    if max(values) == num_classes and 0 not in values:
        return f"the labels seem to count from 1: take 1 off each value but {VOID}"
    if colors is not None and len(objects) > 1 and objects <= grey_shades(colors):
        return (
            "these are the grey shades of the classes' colors: a color picture was saved as "
            "grey; write the class indices instead"
        )
    return (
        f"if there are {max(values) + 1} classes and not {num_classes}, name them all in "
        "classes.txt; otherwise mend the label"
    )
