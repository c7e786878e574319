"""The loop over border pixels of `boundary.py`, compiled by Numba."""

from crf.compile import kernel
from deeplab_tf.labels import VOID


@kernel
def count_matches(contours, others, steps, counts):
    """Count the pixels of contours, and those with a pixel of their class in others nearby.

    Args:
      contours: (H, W) uint8 classes, 255 = none.
      others: (H, W) uint8 classes, 255 = none.
      steps: (n, 2) int64, rows down and columns to the right to where to look, the nearest first.
      counts: (2, 256) int64, to which are added, for each class, the number of all pixels and that
        of those with a match.
    """
    height, width = contours.shape
    for i in range(height):
        for j in range(width):
            index = contours[i, j]
            if index == VOID:
                continue
            counts[0, index] += 1
            for n in range(len(steps)):
                row, column = i + steps[n, 0], j + steps[n, 1]
                if 0 <= row < height and 0 <= column < width and others[row, column] == index:
                    counts[1, index] += 1
                    break
