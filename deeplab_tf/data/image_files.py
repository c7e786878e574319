"""Reading the class indices of label PNGs fast, without TensorFlow's decoder.

TensorFlow turns palettes into colours, so `decode_label` rewrites the file for it, which takes
longer than decoding. Here the common kind, 8-bit grey or palette PNGs, is read by hand.
"""

import struct
import zlib

import numpy as np

from crf.compile import kernel
from deeplab_tf.data.png import GREY, PALETTE, SIGNATURE, decode_label

# What is set aside for a label's pixels before they are seen; a damaged header may say anything.
MOST_ROOM = 1 << 24


def read_label(contents, colors=None):
    """Class indices held by the bytes of a PNG file; the same as `decode_label` gives.

    Args:
      contents: bytes of the file.
      colors: the classes' colours, for RGB labels; see `decode_label`.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: where this is no PNG of class indices.
    """
    # Bit depth, colour type, compression, filter method, interlace.
    kind = tuple(contents[24:29])
    if contents[:8] != SIGNATURE or kind not in {(8, GREY, 0, 0, 0), (8, PALETTE, 0, 0, 0)}:
        return decode_label(contents, colors).numpy()
    try:
        chunks = list(_chunks(contents))
        width, height = struct.unpack_from(">II", chunks[0][1])
        deflated = b"".join(data for kind, data in chunks if kind == b"IDAT")
        rows = zlib.decompress(deflated, bufsize=min(max(1, height * (1 + width)), MOST_ROOM))
        filtered = np.frombuffer(rows, np.uint8).reshape(height, 1 + width)
        label = filtered[:, 1:].copy()
        if filtered[:, 0].any() and not _undo_filters(filtered[:, 0], label):
            raise ValueError
    except (ValueError, struct.error, zlib.error):
        # Something is wrong with the file: TensorFlow knows what can be overlooked.
        return decode_label(contents, colors).numpy()
    return label


def _chunks(contents):
    # Kind and data of every chunk: a length, the kind, the data and their checksum.
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", contents, start)
        data = contents[start + 8 : start + 8 + length]
        (checksum,) = struct.unpack_from(">I", contents, start + 8 + length)
        if zlib.crc32(data, zlib.crc32(kind)) != checksum:
            raise ValueError
        yield kind, data
        start += length + 12


@kernel
def _undo_filters(filters, label):
    """Undo the prediction of pixels from those to the left and above, in place.

    Args:
      filters: (H,) uint8, number of each row's filter.
      label: (H, W) uint8, what the prediction left over.

    Returns:
      Whether all the filters exist.
    """
    height, width = label.shape
    above = np.zeros(width, np.uint8)
    for i in range(height):
        kind, row, left = filters[i], label[i], np.uint8(0)
        if kind == 1:
            for j in range(width):
                left = np.uint8(row[j] + left)
                row[j] = left
        elif kind == 2:
            for j in range(width):
                row[j] += above[j]
        elif kind == 3:
            for j in range(width):
                left = np.uint8(row[j] + (np.int64(left) + np.int64(above[j])) // 2)
                row[j] = left
        elif kind == 4:
            _undo_paeth(above, row)
        elif kind != 0:
            return False
        above = row
    return True


@kernel
def _undo_paeth(above, row):
    # Predicted is what comes closest to left + above - corner, the first of equals in this order.
    left, corner = np.int64(0), np.int64(0)
    for j in range(len(row)):
        up = np.int64(above[j])
        to_left, to_up = abs(up - corner), abs(left - corner)
        to_corner = abs(left + up - 2 * corner)
        if to_left <= to_up and to_left <= to_corner:
            guess = left
        elif to_up <= to_corner:
            guess = up
        else:
            guess = corner
        row[j] = np.uint8(row[j] + guess)
        left, corner = np.int64(row[j]), up
