"""Turning images by the EXIF tag that says which way up they are.

A phone stores a photo as its sensor saw it, and a tag says how to turn it. Viewers follow the tag,
people draw labels on what viewers show, and so every image is turned when it is read.
"""

import struct

import cv2
import numpy as np

from deeplab_tf.data.tiff_tags import ORDERS, ORIENTATION, entries

EXIF_START = b"Exif\0\0"
MAX_CHANNELS = 4  # OpenCV turns images of at most this many channels

# For each orientation: whether rows become columns, and whether the rows and the columns of the
# result are then reversed.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def read_orientation(exif):
    """The orientation in EXIF data.

    Args:
      exif: bytes of the EXIF data, or of a whole TIFF file.

    Returns:
      1..8; 1, which is upright, if there is none or the data is damaged, as in viewers.
    """
    found = _find(exif)
    value = struct.unpack_from(found[0], exif, found[1])[0] if found else 1
    return value if value in TURNS else 1


def set_upright(exif):
    """EXIF data, bytes, or a whole TIFF file, with the orientation changed to 1, upright."""
    if read_orientation(exif) == 1:
        return exif
    changed = bytearray(exif)
    form, place = _find(exif)
    struct.pack_into(form, changed, place, 1)
    return bytes(changed)


def turn(pixels, orientation):
    """Turn an image upright: rotate or mirror it as its EXIF orientation says.

    Args:
      pixels: (H, W) or (H, W, C) uint8 array, as stored.
      orientation: 1..8.

    Returns:
      Array of the same type, of size (H, W) or (W, H); the same one if there is nothing to do.
    """
    if orientation == 1:
        return pixels
    exchange, *reverse = TURNS[orientation]
    if pixels.ndim == 3 and pixels.shape[2] > MAX_CHANNELS:
        turned = pixels.swapaxes(0, 1) if exchange else pixels
        steps = tuple(slice(None, None, -1 if is_reversed else 1) for is_reversed in reverse)
        return np.ascontiguousarray(turned[steps])
    # OpenCV takes a seventh of NumPy's time.
    turned = cv2.transpose(pixels) if exchange else pixels
    if any(reverse):
        rows, columns = reverse
        turned = cv2.flip(turned, -1 if rows and columns else 0 if rows else 1)
    return turned.reshape(*turned.shape[:2], *pixels.shape[2:])  # OpenCV drops an axis of length 1


def turned_size(size, orientation):
    """The size (a, b) of an image after turning; its height and width, or the reverse."""
    return size[::-1] if TURNS[orientation][0] else size


def stored_box(box, size, orientation):
    """Where a part of a turned image is in the stored one.

    Args:
      box: (top, left, bottom, right) in the turned image; bottom and right are not included.
      size: (height, width) of the turned image.
      orientation: 1..8.

    Returns:
      (top, left, bottom, right) in the stored image.

    Example:
      >>> stored_box((0, 1, 2, 3), (4, 9), 2)  # left and right are swapped
      (0, 6, 2, 8)
    """
    exchange, *reverse = TURNS[orientation]
    spans = [
        (length - end, length - start) if is_reversed else (start, end)
        for start, end, length, is_reversed in zip(box[:2], box[2:], size, reverse, strict=True)
    ]
    (top, bottom), (left, right) = reversed(spans) if exchange else spans
    return top, left, bottom, right


def _find(exif):
    # (`struct` format, place) of the orientation; None if there is none.
    start = len(EXIF_START) if exif.startswith(EXIF_START) else 0
    order = ORDERS.get(exif[start : start + 4])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "I", exif, start + 4)
        for tag, form, place in entries(exif, order, offset, start):
            if tag == ORIENTATION:
                form = order + form[-1]
                struct.unpack_from(form, exif, place)  # raises if the file ends before it
                return form, place
    except struct.error:
        pass
    return None
