"""Labels that were resized with interpolation, which creates indices of classes that are not there.

Between an area of class 2 and one of class 5, such a label has a thin line of 3 and 4. Almost every
pixel of a class created in this way has a lower and a higher index next to it; of a class that is
really there, only the few pixels do where three classes meet.
"""

import cv2
import numpy as np

from deeplab_tf.data.checks.findings import ERROR, WARNING, problem, some
from deeplab_tf.data.checks.label_values import count_values
from deeplab_tf.labels import VOID

MADE_SHARE = 0.9  # of a class's pixels in one label
FEWEST_PIXELS = 20  # of a class in one label: fewer prove nothing

# Share of the labels with such a class above which it is an error. In three real data sets no label
# has one; resized with interpolation, a third and more have.
ERROR_SHARE = 0.1

_REMEDY = (
    "resize the labels to the nearest index; if that class is really so thin,"
    " --allow_data=label_interpolated accepts it"
)

_NEIGHBORS = np.ones((3, 3), np.uint8)


def between_pixels(label):
    """Count the pixels with a lower and a higher value among their 8 neighbors.

    Void, 255, has no place in the order of the indices and so does not count as higher.

    Args:
      label: (H, W) uint8.

    Returns:
      dict from value to the number of such pixels.

    Example:
      >>> between_pixels(np.uint8([[0, 0, 3, 5, 5]]))
      {3: 1}
    """
    highest = cv2.dilate(np.where(label == VOID, np.uint8(0), label), _NEIGHBORS)
    lowest = cv2.erode(label, _NEIGHBORS)
    return count_values(label[(lowest < label) & (label < highest)])


def interpolated_labels(labels, label_set, encoding):
    """Find labels in which almost all pixels of a class lie between a lower and a higher index.

    Args:
      labels: list of (file, `Inspection`) of all splits.
      label_set: `LabelSet`.
      encoding: `LabelEncoding` of the labels; values that it ignores are no classes.

    Returns:
      A list of `Finding`, one for each such label: warnings if they are few.
    """
    made = {file: _made_values(inspection, encoding) for file, inspection in labels}
    made = {file: values for file, values in made.items() if values}
    severity = ERROR if len(made) > ERROR_SHARE * len(labels) else WARNING
    return [
        problem(
            "label_interpolated", file, _describe(values, label_set, encoding), _REMEDY, severity
        )
        for file, values in made.items()
    ]


def _made_values(inspection, encoding):
    return [
        value
        for value, count in inspection.between.items()
        if count >= max(FEWEST_PIXELS, MADE_SHARE * inspection.values[value])
        and value < encoding.num_values
        and encoding.classes[value] != VOID
    ]


def _describe(values, label_set, encoding):
    names = some(repr(label_set.names[encoding.classes[value]]) for value in values)
    return (
        f"nearly all pixels of {names} lie between a lower and a higher index, as in a label that"
        " was resized with interpolation"
    )
