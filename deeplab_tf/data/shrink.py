"""Large images, and their labels, at a reduced size."""

import cv2

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


def shrink_label(label, max_side):
    """Reduce a label map as `shrink` reduces its image; each pixel keeps the class at its center.

    Args:
      label: (H, W) uint8.
      max_side: in pixels; None: no limit.

    Returns:
      (h, w) uint8; the label itself if it is small enough.
    """
    if max_side is None:
        return label
    height, width = limited_size(*label.shape, max_side)
    if (height, width) == label.shape:
        return label
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
