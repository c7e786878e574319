import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from planted import cmyk_jpeg, png

from deeplab_tf.data import image_files
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import (
    decode_image,
    decode_label,
    decode_part,
    encode_label,
    has_unknown_value,
    load_image,
    load_label,
    load_pair,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import voc_colors

LABEL = np.array([[0, 1, 2, 255], [3, 4, 5, 6], [7, 8, 9, 10]], np.uint8)
COLORS = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
NOISE = np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8)
IMAGE = cv2.GaussianBlur(NOISE, (0, 0), 1.5)
TABLE = voc_colors(256)


def encoded(ending, array, *options):
    if array.ndim == 3:
        array = array[..., ::-1]
    return cv2.imencode(ending, array, list(options))[1].tobytes()


def by_tensorflow(contents):
    """The image as TensorFlow decodes it."""
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE").numpy()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made_png(width, rows, depth, color_type, before_pixels=b"", pieces=1):
    """A PNG made of packed rows of bytes."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    cuts = [len(data) * piece // pieces for piece in range(pieces + 1)]
    pixels = [chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts)]
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before_pixels
    return start + b"".join(pixels) + chunk(b"IEND", b"")


def palette(n):
    return chunk(b"PLTE", voc_colors(n).tobytes())


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
    monkeypatch.setattr(image_files, "_unfiltered_pixels", lambda *_: None)
    np.testing.assert_array_equal(decode_label(contents), NOISE[..., 0])


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


BAD = {
    "no PNG": (b"GIF89a" + bytes(60), None, "not a PNG file"),
    "empty": (b"", None, "not a PNG file"),
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
    with pytest.raises(InputError, match="cannot be read as JPEG or PNG image"):
        decode_image(DAMAGED[case])


@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444"])
@pytest.mark.parametrize("progressive", [0, 1])
def test_jpegs_have_the_pixels_that_tensorflow_gives(sampling, progressive):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    for height, width in ((1, 1), (8, 9), (37, 51)):
        contents = encoded(".jpg", IMAGE[:height, :width], *options)
        want = by_tensorflow(contents)
        np.testing.assert_array_equal(decode_image(contents), want)
        # With bytes after its end Pillow decodes it, otherwise OpenCV.
        np.testing.assert_array_equal(decode_image(contents + b"something else"), want)


OTHER_KINDS = {
    "gray JPEG": encoded(".jpg", IMAGE[..., 0]),
    "CMYK JPEG": cmyk_jpeg(IMAGE[..., 0]),
    "gray PNG": png(IMAGE[..., 0]),
    "gray PNG, 16 bits": png(IMAGE[..., 0].astype(np.uint16) * 257 + 3),
    "RGB PNG": png(IMAGE),
    "RGB PNG, 16 bits": png(IMAGE.astype(np.uint16) * 257 + 77),
    "RGBA PNG": png(np.dstack([IMAGE, IMAGE[..., 0]])),
    "palette PNG": encode_label(IMAGE[..., 0], TABLE),
    "palette PNG, 4 bits": made_png(3, [[0x01, 0x70], [0xFE, 0x90]], 4, 3, palette(16)),
    "transparent palette": made_png(
        4, LABEL, 8, 3, palette(256) + chunk(b"tRNS", bytes(range(200, 256)))
    ),
    "gray PNG, 1 bit": made_png(3, [[0b01100000], [0b10000000]], 1, 0),
    "gray and alpha": made_png(2, [[9, 255, 8, 0]], 8, 4),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_images_of_every_kind_have_the_pixels_that_tensorflow_gives(kind):
    image = decode_image(OTHER_KINDS[kind])
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, by_tensorflow(OTHER_KINDS[kind]))


def test_cmyk_jpegs_of_adobe_are_stored_inverted():
    cmyk = np.full((8, 8, 4), (255, 128, 0, 51), np.uint8)
    contents = tmp_jpeg(Image.fromarray(cmyk, "CMYK"))
    assert b"Adobe" in contents
    image = decode_image(contents)
    np.testing.assert_array_equal(image, by_tensorflow(contents))
    # Light that is left: none of red, half of green, all of blue, and 4/5 of each of them.
    assert np.abs(image[0, 0].astype(int) - [0, 127 * 204 // 255, 204]).max() <= 3


def tmp_jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_a_jpeg_cut_off_anywhere_is_refused():
    contents = encoded(".jpg", NOISE)
    for keep in (0, 2, 10, 200, len(contents) // 2, len(contents) - 30, len(contents) - 2):
        with pytest.raises(InputError, match="cannot be read as JPEG or PNG image"):
            decode_image(contents[:keep])


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    huge = made_png(4, LABEL, 8, 0).replace(
        chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0)),
        chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 99_999, 8, 0, 0, 0, 0)),
    )
    for read in (decode_image, decode_label):
        with pytest.raises(InputError, match="100000x99999 pixels; at most 178956970 are read"):
            read(huge)
    # More than Pillow warns of, less than the limit.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert decode_image(png(IMAGE)).shape == IMAGE.shape


@pytest.mark.parametrize("sampling", ["420", "444"])
def test_a_part_of_a_jpeg_has_the_pixels_of_the_whole(sampling):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    contents = encoded(".jpg", IMAGE, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
    whole = decode_image(contents)
    for box in ((0, 0, 9, 9), (20, 30, 37, 40), (11, 13, 12, 14)):
        part, (top, left) = decode_part(contents, (37, 51), box)
        assert part.size < whole.size / 2
        rows, columns = slice(box[0], box[2]), slice(box[1], box[3])
        shown = part[box[0] - top : box[2] - top, box[1] - left : box[3] - left]
        np.testing.assert_array_equal(shown, whole[rows, columns])


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_large_parts_and_pngs_are_decoded_whole(ending):
    contents = encoded(ending, IMAGE)
    image, start = decode_part(contents, (37, 51), (0, 0, 30, 40))
    assert image.shape == IMAGE.shape and start == (0, 0)
    for box in ((0, 0, 30, 40), (0, 0, 2, 2)):
        with pytest.raises(InputError, match="size 51x37 is not 50x37"):
            decode_part(contents, (37, 50), box)


OTHER_FORMATS = {
    # One pixel: header, palette of two, picture, its compressed pixels, end.
    "gif": b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "webp": encoded(".webp", IMAGE),
    "bmp": encoded(".bmp", IMAGE),
    "text": b"hello",
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind):
    contents = OTHER_FORMATS[kind]
    (tmp_path / "a.jpg").write_bytes(contents)
    problem = r"a\.jpg: cannot be read: neither JPEG nor PNG, .*; convert it"
    with pytest.raises(InputError, match=problem):
        load_image(tmp_path / "a.jpg")


@pytest.fixture
def example(tmp_path):
    """An example of two files: image and palette label, 4x3 pixels."""
    made = Example("a", str(tmp_path / "a.png"), str(tmp_path / "label.png"))
    Path(made.image).write_bytes(encoded(".png", IMAGE[:3, :4]))
    Path(made.label).write_bytes(encode_label(LABEL, TABLE))
    return made


def test_a_pair_has_the_values_that_were_written(example):
    image, label = load_pair(example, 11)
    np.testing.assert_array_equal(image, IMAGE[:3, :4])
    np.testing.assert_array_equal(label, LABEL)
    assert (image.dtype, label.dtype) == (np.uint8, np.uint8)


def test_pairs_with_rgb_labels(example):
    label = np.array([[0, 1, 2, 255]] * 3)
    colors = np.concatenate([COLORS, [(224, 224, 192)]])
    Path(example.label).write_bytes(png(colors[np.minimum(label, 3)].astype(np.uint8)))
    np.testing.assert_array_equal(load_pair(example, 3, COLORS)[1], label)
    with pytest.raises(InputError, match=r"label\.png: RGB label but no colors"):
        load_pair(example, 3)


def test_sizes_that_differ(example):
    Path(example.label).write_bytes(encode_label(LABEL[:2]))
    with pytest.raises(InputError, match=r"label\.png: size 4x2 differs from the image's 4x3"):
        load_pair(example, 11)


def test_label_value_of_no_class(example):
    problem = r"label\.png: label value 10 but only 9 classes \(0\.\.8, 255 = void\); fix the label"
    with pytest.raises(InputError, match=problem):
        load_label(example.label, 9)
    assert load_label(example.label, 11).max() == 255


@pytest.mark.parametrize(
    ("values", "unknown"), [([0, 20, 255], False), ([0, 21], True), ([254, 255], True)]
)
def test_unknown_values_are_found(values, unknown):
    label = np.zeros((70, 3), np.uint8)
    label[-1, : len(values)] = values
    assert has_unknown_value(label, 21) == unknown
    assert not has_unknown_value(label, 255) and not has_unknown_value(label, 256)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg: No such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match=r"none\.png: No such file"):
        load_label(tmp_path / "none.png", 3)
