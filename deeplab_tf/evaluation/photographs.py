"""Large photographs: scored at a reduced size, labeled at full size."""

import cv2
import numpy as np

from deeplab_tf.errors import InputError


def limited_size(height, width, max_side):
    """Height and width with at most `max_side` pixels on the longer side, in nearly equal ratio.

    Example:
      >>> limited_size(3000, 4000, 1500)
      (1125, 1500)
    """
    longest = max(height, width)
    if longest <= max_side:
        return height, width
    return tuple(max(1, round(length * max_side / longest)) for length in (height, width))


def shrink(image, max_side):
    """Reduce an image whose longer side has more than `max_side` pixels, by averaging.

    Args:
      image: (H, W, 3) uint8.
      max_side: in pixels; None: no limit.

    Returns:
      (h, w, 3) uint8; the image itself if it is small enough.

    Raises:
      InputError: if `max_side` is below 1.
    """
    if max_side is None:
        return image
    if max_side < 1:
        raise InputError(f"max_side {max_side}; give a size in pixels, or None")
    height, width = limited_size(*image.shape[:2], max_side)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


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
