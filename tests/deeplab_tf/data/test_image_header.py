import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import cmyk_jpeg, png, with_orientation

from deeplab_tf.data.image_header import Header, read_header
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.errors import InputError

LABEL = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made(width, height, depth, color):
    """A PNG up to the beginning of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def jpeg(array):
    return cv2.imencode(".jpg", array)[1].tobytes()


@pytest.mark.parametrize(
    ("array", "color", "depth"),
    [
        (LABEL, "gray", 8),
        (LABEL.astype(np.uint16), "gray", 16),
        (RGB, "rgb", 8),
        (RGB.astype(np.uint16), "rgb", 16),
        (np.dstack([RGB, LABEL]), "rgb+alpha", 8),
    ],
)
def test_png(array, color, depth):
    assert read_header(png(array)) == Header("PNG", 3, 2, color, depth)


def test_palette_png_has_its_colors():
    header = read_header(encode_label(LABEL, np.uint8([[1, 2, 3], [4, 5, 6], [7, 8, 9]])))
    assert header == Header("PNG", 3, 2, "palette", 8, palette=bytes(range(1, 10)))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_bits(depth):
    assert read_header(made(7, 5, depth, 0)) == Header("PNG", 7, 5, "gray", depth)


def test_png_of_gray_with_alpha():
    assert read_header(made(7, 5, 8, 4)).color == "gray+alpha"


def test_jpeg_of_one_three_and_four_components():
    for contents, color in ((jpeg(LABEL), "gray"), (jpeg(RGB), "rgb"), (cmyk_jpeg(LABEL), "cmyk")):
        assert read_header(contents) == Header("JPEG", 3, 2, color, 8, lossy=True)


def test_progressive_jpeg_with_fill_bytes_and_a_comment():
    contents = cv2.imencode(".jpg", RGB, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert read_header(contents).size == "3x2"
    comment = b"\xff\xff\xff\xfe" + struct.pack(">H", 7) + b"\xff\xc0 no"
    assert read_header(contents[:2] + comment + contents[2:]).size == "3x2"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(order, orientation):
    assert read_header(with_orientation(jpeg(RGB), orientation, order)).orientation == orientation


def test_exif_orientation_of_png():
    exif = with_orientation(b"\xff\xd8", 3)[2 + 4 + 6 :]
    contents = png(RGB)
    for place in (33, len(contents) - 12):  # before the pixels, and after them
        turned = contents[:place] + chunk(b"eXIf", exif) + contents[place:]
        assert read_header(turned).orientation == 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation):
    assert read_header(with_orientation(jpeg(RGB), orientation)).orientation == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_none():
    contents = bytearray(with_orientation(jpeg(RGB), 6))
    contents[contents.index(b"MM\0*") + 7] = 200  # the table lies behind the end
    assert read_header(bytes(contents)).orientation == 1


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "empty file"),
        (b"GIF89a" + bytes(50), "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
        (b"\xff\xd8\xff\xd9", "header damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "header damaged or cut off"),
        (made(0, 5, 8, 0), "damaged"),
        (made(7, 5, 8, 5), "damaged"),
    ],
)
def test_what_is_no_image(contents, message):
    with pytest.raises(InputError, match=message):
        read_header(contents)


@pytest.mark.parametrize("whole", [with_orientation(jpeg(RGB), 6), png(RGB)])
def test_a_file_cut_anywhere_gives_its_header_or_an_input_error(whole):
    header = read_header(whole)
    for length in range(len(whole)):
        try:
            assert read_header(whole[:length]) == header
        except InputError:
            continue


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", with_orientation(jpeg(RGB), 6)[:40]]),
       st.binary(max_size=200))  # fmt: skip
def test_any_bytes_give_a_header_or_an_input_error(start, rest):
    try:
        assert isinstance(read_header(start + rest), Header)
    except InputError as error:
        assert "\n" not in str(error)
