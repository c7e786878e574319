"""Label maps: every kind of PNG, bad and damaged files, and encoding."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from handmade_bmp import made_bmp
from handmade_png import chunk, made_png, palette
from handmade_tiff import made_tiff
from PIL import Image
from planted import png_with_orientation

from deeplab_tf.data import label_png
from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.label_png import decode_label, encode_label, has_unknown_value
from deeplab_tf.data.orientation import turn
from deeplab_tf.errors import InputError
from deeplab_tf.labels import voc_colors

LABEL = np.array([[0, 1, 2, 255], [3, 4, 5, 6], [7, 8, 9, 10]], np.uint8)
COLORS = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
NOISE = np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8)
TABLE = voc_colors(256)


def test_palette_png_gives_its_indices():
    contents = made_png(4, LABEL, 8, 3, palette(256))
    np.testing.assert_array_equal(decode_label(contents), LABEL)
    assert decode_label(contents).dtype == np.uint8


def test_gray_png_gives_its_levels():
    np.testing.assert_array_equal(decode_label(made_png(4, LABEL, 8, 0)), LABEL)


@pytest.mark.parametrize("color_type", [0, 3])
@pytest.mark.parametrize(
    ("depth", "rows", "expected"),
    [
        (1, [[0b01100000], [0b10000000]], [[0, 1, 1], [1, 0, 0]]),
        (2, [[0b00011000], [0b11100100]], [[0, 1, 2], [3, 2, 1]]),
        (4, [[0x01, 0x70], [0xFE, 0x90]], [[0, 1, 7], [15, 14, 9]]),
    ],
)
def test_less_than_eight_bits_are_not_stretched(color_type, depth, rows, expected):
    colors = palette(2**depth) if color_type == 3 else b""
    contents = made_png(3, rows, depth, color_type, colors)
    np.testing.assert_array_equal(decode_label(contents), expected)


def test_chunks_before_the_pixels_do_not_matter():
    chunks = (
        chunk(b"tEXt", b"Comment\0IDAT")
        + chunk(b"gAMA", struct.pack(">I", 45455))
        + palette(256)
        + chunk(b"tRNS", bytes(range(200, 256)))
    )
    contents = made_png(4, LABEL, 8, 3, chunks, pieces=3)
    np.testing.assert_array_equal(decode_label(contents), LABEL)
    transparent_gray = made_png(4, LABEL, 8, 0, chunk(b"tRNS", b"\0\1"))
    np.testing.assert_array_equal(decode_label(transparent_gray), LABEL)


def test_rgb_png_is_matched_with_the_colors():
    pixels = [[*COLORS[2], *COLORS[0]], [*COLORS[1], 224, 224, 192]]
    contents = made_png(2, pixels, 8, 2)
    np.testing.assert_array_equal(decode_label(contents, COLORS), [[2, 0], [1, 255]])


def test_colors_leave_palette_pngs_alone():
    contents = made_png(4, LABEL, 8, 3, palette(256))
    np.testing.assert_array_equal(decode_label(contents, COLORS), LABEL)


def test_of_equal_colors_the_first_class_wins():
    contents = made_png(2, [[5, 5, 5, 224, 224, 192]], 8, 2)
    colors = [(1, 1, 1), (5, 5, 5), (5, 5, 5), (224, 224, 192)]
    np.testing.assert_array_equal(decode_label(contents, colors), [[1, 3]])


def test_both_ways_to_decode_a_label_agree(monkeypatch):
    # Unfiltered rows are inflated at once, others are left to Pillow.
    contents = encode_label(NOISE[..., 0], TABLE)
    np.testing.assert_array_equal(decode_label(contents), NOISE[..., 0])
    monkeypatch.setattr(label_png, "_unfiltered_pixels", lambda *_: None)
    np.testing.assert_array_equal(decode_label(contents), NOISE[..., 0])


@pytest.mark.parametrize("pieces", [1, 3])
def test_unfiltered_rows_are_inflated_at_once(monkeypatch, pieces):
    monkeypatch.setattr(label_png, "open_image", None)  # is not called
    for contents in (
        made_png(4, LABEL, 8, 0, pieces=pieces),
        made_png(4, LABEL, 8, 3, palette(256), pieces),
        made_png(4, LABEL, 8, 0, pieces=pieces) + b"\0",  # bytes behind the file
    ):
        np.testing.assert_array_equal(decode_label(contents), LABEL)


def test_a_label_map_with_too_many_pixels_is_refused_before_it_is_inflated():
    contents = bytearray(encode_label(LABEL))
    struct.pack_into(">II", contents, 16, 20000, 20000)
    contents[29:33] = struct.pack(">I", zlib.crc32(contents[12:29]))
    with pytest.raises(InputError, match="20000x20000 pixels are too many"):
        decode_label(bytes(contents))


@pytest.mark.parametrize("place", [20, 35, 60, -14, -1])
def test_one_wrong_byte_anywhere_is_damage(place):
    contents = bytearray(encode_label(LABEL, TABLE[:256]))
    contents[place] ^= 64
    with pytest.raises(InputError, match=r"not a readable PNG|too many"):
        decode_label(bytes(contents))


def test_filters_hand_checked():
    rows = [[0, 9, 8, 7], [1, 1, 1, 254], [2, 1, 1, 3], [3, 5, 250, 1], [4, 1, 2, 3]]
    data = zlib.compress(bytes(value for row in rows for value in row))
    grey = encode_label(np.zeros((5, 3), np.uint8))
    contents = grey[:33] + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    want = [
        [9, 8, 7],
        [1, 2, 0],  # the sum of its own and the left one, beyond 255 from 0 again
        [2, 3, 3],  # its own and the upper one
        [6, 254, 129],  # its own and half of the left and the upper one, rounded down
        [7, 0, 3],  # of left + above - corner, nearest are: above, above, left
    ]
    np.testing.assert_array_equal(decode_label(contents), want)


def by_pillow(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def indexed(label, colors=TABLE):
    """A palette image of Pillow."""
    image = Image.fromarray(label, "P")
    image.putpalette(colors.tobytes())
    return image


GRAY_TABLE = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
FEW = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
OTHER_FORMATS = {
    "tiff gray": (by_pillow(Image.fromarray(LABEL), "TIFF"), LABEL),
    "tiff palette": (by_pillow(indexed(LABEL), "TIFF", compression="tiff_lzw"), LABEL),
    "tiff 1 bit": (by_pillow(Image.fromarray(FEW > 0), "TIFF", compression="group4"), FEW),
    "tiff 2 bits": (
        made_tiff(np.uint8([[0b00011000], [0b11000000]]), bits=2, more=[(256, 3, [3])]),
        [[0, 1, 2], [3, 0, 0]],
    ),
    "tiff 4 bits": (
        made_tiff(np.uint8([[0x01, 0x70], [0xFE, 0x90]]), bits=4, more=[(256, 3, [3])]),
        [[0, 1, 7], [15, 14, 9]],
    ),
    "bmp gray": (by_pillow(Image.fromarray(LABEL), "BMP"), LABEL),
    "bmp palette": (by_pillow(indexed(LABEL), "BMP"), LABEL),
    "bmp gray palette": (by_pillow(indexed(LABEL, GRAY_TABLE), "BMP"), LABEL),
    # A palette of gray levels that are not the indices.
    "bmp gray levels": (by_pillow(indexed(LABEL, GRAY_TABLE[::-1].copy()), "BMP"), LABEL),
    "bmp 1 bit": (by_pillow(Image.fromarray(FEW > 0), "BMP"), FEW),
    "bmp 4 bits": (made_bmp(4, [[0x01, 0x70], [0xFE, 0x90]], 3), [[0, 1, 7], [15, 14, 9]]),
    "webp gray": (by_pillow(Image.fromarray(LABEL).convert("RGB"), "WEBP", lossless=True), LABEL),
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_labels_of_other_formats(kind):
    contents, want = OTHER_FORMATS[kind]
    found = decode_label(contents)
    np.testing.assert_array_equal(found, want)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    with pytest.raises(InputError, match=r"not a readable|damaged"):
        decode_label(contents[: len(contents) // 2])


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "WEBP"])
def test_rgb_labels_of_other_formats(kind):
    label = np.array([[0, 1, 2, 255]], np.uint8)
    pixels = np.uint8([*COLORS, (224, 224, 192)])[label.clip(0, 3)]
    contents = by_pillow(Image.fromarray(pixels), kind, lossless=True)
    np.testing.assert_array_equal(decode_label(contents, COLORS), label)
    with pytest.raises(InputError, match="RGB label but no colors"):
        decode_label(contents)


REFUSED = {
    "lossy WebP": (by_pillow(indexed(LABEL).convert("RGB"), "WEBP"), "WebP with lossy compression"),
    "TIFF of JPEG": (
        by_pillow(Image.fromarray(LABEL), "TIFF", compression="jpeg"),
        "TIFF with lossy compression, which changes the values; use PNG",
    ),
    "TIFF of 16 bits": (
        made_tiff(LABEL.astype(np.uint16)),
        "TIFF of 16 bits; save class indices with at most 8 bits",
    ),
    "TIFF with alpha": (made_tiff(np.dstack([LABEL] * 2), extra=[2]), "TIFF with an alpha channel"),
    "TIFF of 6 channels": (
        made_tiff(np.dstack([LABEL] * 6)),
        "TIFF with 6 channels; save class indices as a",
    ),
    "TIFF of two pages": (made_tiff(LABEL, pages=2), "TIFF of 2 pages; save the page to use"),
    "CMYK": (made_tiff(np.dstack([LABEL] * 4), photometric=5), "TIFF with CMYK colors; save class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_of_other_formats_that_hold_no_indices(case):
    contents, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        decode_label(contents)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_are_turned_by_their_own_tag(orientation):
    want = turn(LABEL, orientation)
    for contents in (
        png_with_orientation(encode_label(LABEL, TABLE), orientation),
        png_with_orientation(encode_label(LABEL), orientation, "<", at_the_end=True),
        made_tiff(LABEL, more=[(274, 3, [orientation])]),
    ):
        np.testing.assert_array_equal(decode_label(contents), want)


BAD = {
    "no PNG": (b"GIF89a" + bytes(60), None, "not a PNG, TIFF, BMP or WebP file"),
    "empty": (b"", None, "not a PNG, TIFF, BMP or WebP file"),
    "alpha": (made_png(1, [[1, 2, 3, 4]], 8, 6), None, "alpha"),
    "16 bits": (made_png(1, [[1, 2]], 16, 0), None, "16 bits"),
    "RGB without colors": (made_png(1, [[1, 2, 3]], 8, 2), None, "no colors are given"),
    "unknown color": (made_png(1, [[1, 2, 3]], 8, 2), COLORS, "color that no class has"),
    "cut off": (made_png(4, LABEL, 8, 3, palette(256))[:-20], None, "PNG"),
    "only a header": (made_png(4, LABEL, 8, 3, palette(256))[:50], None, "PNG"),
    "broken chunk size": (
        made_png(4, LABEL, 8, 3, b"\xff\xff\xff\xffPLTE" + bytes(8)),
        None,
        "PNG",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(case):
    contents, colors, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        decode_label(contents, colors)
    assert "\n" not in str(caught.value)


def test_encoded_label_is_an_8_bit_palette_png_that_others_read():
    colors = voc_colors(256)
    contents = encode_label(LABEL, colors)
    assert (contents[24], contents[25]) == (8, 3)
    shown = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(shown, colors[LABEL])
    np.testing.assert_array_equal(decode_image(contents), colors[LABEL])


def test_without_colors_the_encoded_label_is_gray():
    contents = encode_label(LABEL)
    assert (contents[24], contents[25]) == (8, 0)
    shown = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, LABEL)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (200, 301)])
def test_decode_undoes_encode(shape):
    label = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    contents = encode_label(label, voc_colors(256))
    np.testing.assert_array_equal(decode_label(contents), label)


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


GOOD = encode_label(NOISE[..., 0], TABLE)
DAMAGED = {
    "cut off": GOOD[:-20],
    "no end": GOOD[:-12],
    "half of the end": GOOD[:-3],
    "only a header": GOOD[:33],
    "one bit changed": GOOD[:-30] + bytes([GOOD[-30] ^ 1]) + GOOD[-29:],
    "no pixels": GOOD[:33] + GOOD[-12:],
    "no columns": made_png(0, [[], []], 8, 0),
    "no rows": made_png(3, [], 8, 0),
    "other size": GOOD[:16] + struct.pack(">I", 24) + GOOD[20:],
    "unknown filter": made_png(2, [[1, 1], [1, 1]], 8, 0).replace(
        chunk(b"IDAT", zlib.compress(bytes([0, 1, 1, 0, 1, 1]))),
        chunk(b"IDAT", zlib.compress(bytes([0, 1, 1, 5, 1, 1]))),
    ),
    "too few rows": made_png(4, LABEL[:2], 8, 0).replace(
        struct.pack(">II", 4, 2), struct.pack(">II", 4, 3)
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_pngs_are_refused(case):
    with pytest.raises(InputError, match="not a readable PNG"):
        decode_label(DAMAGED[case])
    with pytest.raises(InputError, match="cannot be read as PNG image"):
        decode_image(DAMAGED[case])


@pytest.mark.parametrize(
    ("values", "unknown"), [([0, 20, 255], False), ([0, 21], True), ([254, 255], True)]
)
def test_unknown_values_are_found(values, unknown):
    label = np.zeros((70, 3), np.uint8)
    label[-1, : len(values)] = values
    assert has_unknown_value(label, 21) == unknown
    assert not has_unknown_value(label, 255) and not has_unknown_value(label, 256)
