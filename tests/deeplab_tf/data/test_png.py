import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.png import HEADER_SIZE, _without_palette, decode_label, encode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import voc_colors

LABEL = np.array([[0, 1, 2, 255], [3, 4, 5, 6], [7, 8, 9, 10]], np.uint8)
COLORS = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width, rows, depth, color_type, before_pixels=b"", pieces=1):
    """A PNG from packed rows of bytes, written by the letter of the format."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    cuts = [len(data) * piece // pieces for piece in range(pieces + 1)]
    pixels = [_chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts)]
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + before_pixels
    return start + b"".join(pixels) + _chunk(b"IEND", b"")


def _palette(n):
    return _chunk(b"PLTE", voc_colors(n).tobytes())


def _eager(contents, colors=None):
    return decode_label(contents, colors).numpy()


def _in_dataset(contents, colors=None):
    dataset = tf.data.Dataset.from_tensors(contents).map(lambda x: decode_label(x, colors))
    assert dataset.element_spec.dtype == tf.uint8
    return next(iter(dataset)).numpy()


both = pytest.mark.parametrize("decode", [_eager, _in_dataset])


@both
def test_palette_png_gives_its_indices(decode):
    contents = _png(4, LABEL, 8, 3, _palette(256))
    np.testing.assert_array_equal(decode(contents), LABEL)
    assert decode(contents).dtype == np.uint8


@both
def test_grey_png_gives_its_levels(decode):
    np.testing.assert_array_equal(decode(_png(4, LABEL, 8, 0)), LABEL)


@both
@pytest.mark.parametrize("color_type", [0, 3])
@pytest.mark.parametrize(
    ("depth", "rows", "expected"),
    [
        (1, [[0b01100000], [0b10000000]], [[0, 1, 1], [1, 0, 0]]),
        (2, [[0b00011000], [0b11100100]], [[0, 1, 2], [3, 2, 1]]),
        (4, [[0x01, 0x70], [0xFE, 0x90]], [[0, 1, 7], [15, 14, 9]]),
    ],
)
def test_less_than_eight_bits_are_not_stretched(decode, color_type, depth, rows, expected):
    palette = _palette(2**depth) if color_type == 3 else b""
    contents = _png(3, rows, depth, color_type, palette)
    np.testing.assert_array_equal(decode(contents), expected)


@both
def test_chunks_before_the_pixels_do_not_matter(decode):
    chunks = (
        _chunk(b"tEXt", b"Comment\0IDAT")
        + _chunk(b"gAMA", struct.pack(">I", 45455))
        + _palette(256)
        + _chunk(b"tRNS", bytes(range(200, 256)))
    )
    contents = _png(4, LABEL, 8, 3, chunks, pieces=3)
    np.testing.assert_array_equal(decode(contents), LABEL)
    transparent_grey = _png(4, LABEL, 8, 0, _chunk(b"tRNS", b"\0\1"))
    np.testing.assert_array_equal(decode(transparent_grey), LABEL)


def test_a_palette_png_becomes_the_grey_png_of_its_indices():
    # To the byte; a palette left behind would make the decoder warn of every file.
    contents = _png(4, LABEL, 8, 3, _palette(256))
    header = np.frombuffer(contents[:HEADER_SIZE], np.uint8)
    plain = _without_palette(tf.constant(contents), tf.constant(header))
    assert plain.numpy() == _png(4, LABEL, 8, 0)


@both
def test_rgb_png_is_matched_with_the_colors(decode):
    pixels = [[*COLORS[2], *COLORS[0]], [*COLORS[1], 224, 224, 192]]
    contents = _png(2, pixels, 8, 2)
    np.testing.assert_array_equal(decode(contents, COLORS), [[2, 0], [1, 255]])


@both
def test_colors_leave_palette_pngs_alone(decode):
    contents = _png(4, LABEL, 8, 3, _palette(256))
    np.testing.assert_array_equal(decode(contents, COLORS), LABEL)


def test_of_equal_colors_the_first_class_wins():
    contents = _png(2, [[5, 5, 5, 224, 224, 192]], 8, 2)
    colors = [(1, 1, 1), (5, 5, 5), (5, 5, 5), (224, 224, 192)]
    np.testing.assert_array_equal(_eager(contents, colors), [[1, 3]])


BAD = {
    "no PNG": (b"GIF89a" + bytes(60), None, "not a PNG file"),
    "empty": (b"", None, "not a PNG file"),
    "alpha": (_png(1, [[1, 2, 3, 4]], 8, 6), None, "alpha"),
    "16 bits": (_png(1, [[1, 2]], 16, 0), None, "16 bits"),
    "RGB without colors": (_png(1, [[1, 2, 3]], 8, 2), None, "no colors are given"),
    "unknown color": (_png(1, [[1, 2, 3]], 8, 2), COLORS, "color that no class has"),
    "cut off": (_png(4, LABEL, 8, 3, _palette(256))[:-20], None, "PNG"),
    "only a header": (_png(4, LABEL, 8, 3, _palette(256))[:50], None, "PNG"),
    "broken chunk size": (
        _png(4, LABEL, 8, 3, b"\xff\xff\xff\xffPLTE" + bytes(8)),
        None,
        "PNG",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(case):
    contents, colors, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        _eager(contents, colors)
    assert "\n" not in str(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _in_dataset(contents, colors)


def test_encoded_label_is_an_8_bit_palette_png_that_others_read():
    colors = voc_colors(256)
    contents = encode_label(LABEL, colors)
    assert (contents[24], contents[25]) == (8, 3)
    shown = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(shown, colors[LABEL])
    np.testing.assert_array_equal(tf.io.decode_png(contents, channels=3), colors[LABEL])


def test_without_colors_the_encoded_label_is_grey():
    contents = encode_label(LABEL)
    assert (contents[24], contents[25]) == (8, 0)
    shown = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, LABEL)


@both
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (200, 301)])
def test_decode_undoes_encode(decode, shape):
    label = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    contents = encode_label(label, voc_colors(256))
    np.testing.assert_array_equal(decode(contents), label)


@pytest.mark.parametrize(
    ("label", "table", "message"),
    [
        (LABEL.astype(int), voc_colors(256), "give uint8"),
        (LABEL[0], voc_colors(256), r"\(4,\)"),
        (LABEL, voc_colors(255), "255 rows for indices up to 255"),
        (LABEL, voc_colors(256)[:, :2], r"give uint8 \(n, 3\)"),
    ],
)
def test_encode_refuses_other_arrays(label, table, message):
    with pytest.raises(InputError, match=message):
        encode_label(label, table)
