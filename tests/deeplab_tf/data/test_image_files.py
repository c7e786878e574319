import struct
import zlib

import cv2
import numpy as np
import pytest

from deeplab_tf.data.image_files import read_label
from deeplab_tf.data.png import decode_label, encode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import voc_colors

LABEL = np.random.default_rng(0).integers(0, 256, (19, 23), np.uint8)
FILTERS = {
    "sub": cv2.IMWRITE_PNG_FILTER_SUB,
    "up": cv2.IMWRITE_PNG_FILTER_UP,
    "average": cv2.IMWRITE_PNG_FILTER_AVG,
    "paeth": cv2.IMWRITE_PNG_FILTER_PAETH,
    "all": cv2.IMWRITE_PNG_ALL_FILTERS,
}


def _filters(contents):
    size = struct.unpack(">I", contents[33:37])[0]
    rows = zlib.decompress(contents[41 : 41 + size])
    return set(np.frombuffer(rows, np.uint8).reshape(LABEL.shape[0], -1)[:, 0].tolist())


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_undone(name):
    contents = cv2.imencode(".png", LABEL, [cv2.IMWRITE_PNG_FILTER, FILTERS[name]])[1].tobytes()
    assert _filters(contents) != {0}
    np.testing.assert_array_equal(read_label(contents), LABEL)


def test_filters_hand_checked():
    rows = [[0, 9, 8, 7], [1, 1, 1, 254], [2, 1, 1, 3], [3, 5, 250, 1], [4, 1, 2, 3]]
    data = zlib.compress(bytes(value for row in rows for value in row))
    grey = encode_label(np.zeros((5, 3), np.uint8))
    contents = grey[:33] + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    want = [
        [9, 8, 7],
        [1, 2, 0],  # the sum of its own and the left one, beyond 255 from 0 again
        [2, 3, 3],  # its own and the upper one
        [6, 254, 129],  # its own and half of the left and the upper one, rounded down
        [7, 0, 3],  # of left + above - corner, nearest are: above, above, left
    ]
    np.testing.assert_array_equal(read_label(contents), want)
    np.testing.assert_array_equal(decode_label(contents), want)


def _chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


@pytest.mark.parametrize("colors", [None, voc_colors(256)])
def test_undoes_encode_label(colors):
    contents = encode_label(LABEL, colors)
    np.testing.assert_array_equal(read_label(contents), LABEL)
    np.testing.assert_array_equal(decode_label(contents), LABEL)


def test_other_pngs_are_left_to_decode_label():
    rgb = cv2.imencode(".png", np.full((2, 3, 3), (3, 2, 1), np.uint8))[1].tobytes()
    np.testing.assert_array_equal(read_label(rgb, [(0, 0, 0), (1, 2, 3)]), np.ones((2, 3)))
    with pytest.raises(InputError, match="no colors are given"):
        read_label(rgb)
    with pytest.raises(InputError, match="not a PNG file"):
        read_label(b"GIF89a")


def _with_unknown_filter():
    grey = encode_label(np.zeros((2, 2), np.uint8))
    data = zlib.compress(bytes([0, 1, 1, 5, 1, 1]))
    return grey[:33] + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


GOOD = encode_label(LABEL, voc_colors(256))
BAD = {
    "cut off": GOOD[:-20],
    "no end": GOOD[:-12],
    "only a header": GOOD[:33],
    "a bit turned": GOOD[:-30] + bytes([GOOD[-30] ^ 1]) + GOOD[-29:],
    "no pixels": GOOD[:33] + GOOD[-12:],
    "other size": GOOD[:16] + struct.pack(">I", 24) + GOOD[20:],
    "unknown filter": _with_unknown_filter(),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_files_are_refused(case):
    with pytest.raises(InputError, match="not a readable PNG"):
        read_label(BAD[case])
