"""Large photographs, scored at a reduced size: their probabilities at full size."""

import cv2
import numpy as np


def enlarge(probabilities, size):
    """Interpolate probabilities of a reduced image bilinearly to the size of the image.

    Args:
      probabilities: (h, w, C) float32.
      size: (height, width) of the result; if it is (h, w), the probabilities are returned.

    Returns:
      (height, width, C) float32.
    """
    if probabilities.shape[:2] == tuple(size):
        return probabilities
    enlarged = np.empty((*size, probabilities.shape[2]), np.float32)
    for index, plane in enumerate(enlarged_planes(probabilities, size)):
        enlarged[..., index] = plane
    return enlarged


def enlarged_planes(probabilities, size):
    """Yield the planes of `enlarge`, (height, width) float32: together they may take gigabytes."""
    # As in `shrink`, the corners of the pictures coincide, not the centers of their corner pixels.
    height, width = size
    for plane in np.moveaxis(probabilities, -1, 0):
        plane = np.ascontiguousarray(plane)
        yield cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
