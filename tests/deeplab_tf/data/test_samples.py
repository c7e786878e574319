"""Files of more than 8 bits or of any number of channels, made by hand and by other libraries."""

import io
import struct

import cv2
import numpy as np
import pytest
from handmade_tiff import made_tiff
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import png

from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.image_header import read_header
from deeplab_tf.data.label_png import decode_label
from deeplab_tf.data.orientation import turn
from deeplab_tf.errors import InputError

RNG = np.random.default_rng(0)
SIZE = (21, 35)


def samples(channels, dtype=np.uint8):
    highest = np.iinfo(dtype).max
    return RNG.integers(0, highest, (*SIZE, channels), dtype, endpoint=True)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


TIFF_LAYOUTS = {
    "one strip": {},
    "big endian": {"order": ">"},
    "strips": {"rows": 4},
    "tiles": {"tile": 16},
    "compressed": {"deflate": True, "rows": 5},
    "differences": {"deflate": True, "differences": True, "rows": 5},
    "tiles of differences": {"deflate": True, "differences": True, "tile": 16},
    "channel by channel": {"planar": True, "rows": 4},
    "channel by channel, tiles": {"planar": True, "tile": 16, "deflate": True},
    "all of it": {"planar": True, "rows": 8, "deflate": True, "differences": True, "order": ">"},
}


@pytest.mark.parametrize("layout", TIFF_LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_tiff_of_any_number_of_channels(layout, channels):
    array = samples(channels)
    contents = made_tiff(array, **TIFF_LAYOUTS[layout])
    np.testing.assert_array_equal(decode_image(contents, channels), array)
    with pytest.raises(InputError, match=f"{channels} channels?, but 5 are needed"):
        decode_image(contents, 5)


@pytest.mark.parametrize("layout", TIFF_LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_tiff_of_16_bits(layout, channels):
    array = samples(channels, np.uint16)
    array[0, 0] = 65535
    contents = made_tiff(array, **TIFF_LAYOUTS[layout])
    np.testing.assert_array_equal(decode_image(contents, channels), array >> 8)


@pytest.mark.parametrize("layout", ["one strip", "big endian", "strips", "compressed"])
def test_tiff_of_12_bits_is_never_guessed(layout):
    # The highest value would fit into 8 bits.
    array = samples(3).astype(np.uint16)
    contents = made_tiff(array, bits=12, **TIFF_LAYOUTS[layout])
    np.testing.assert_array_equal(decode_image(contents), array >> 4)
    assert read_header(contents).depth == 12


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiffs_of_opencv(dtype):
    for channels in (1, 3, 4):
        array = samples(channels, dtype)
        array[0, 0] = np.iinfo(dtype).max
        stored = array[..., [2, 1, 0, 3][:channels]] if channels > 1 else array
        contents = cv2.imencode(".tiff", stored)[1].tobytes()
        want = array if dtype == np.uint8 else (array >> 8).astype(np.uint8)
        np.testing.assert_array_equal(decode_image(contents, channels), want)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [3, 4])
def test_a_tiff_is_turned_by_its_own_tag(channels, orientation, order):
    array = samples(channels)
    contents = made_tiff(array, order=order, more=[(274, 3, [orientation])])
    want = turn(array, orientation)
    np.testing.assert_array_equal(decode_image(contents, channels), want)
    header = read_header(contents)
    assert (header.height, header.width, header.orientation) == (*want.shape[:2], orientation)


def test_white_may_be_0():
    array = samples(1, np.uint16)
    array[0, 0] = 0
    contents = made_tiff(array, photometric=0)
    np.testing.assert_array_equal(decode_image(contents, 1), (65535 - array) >> 8)
    gray = samples(1)
    contents = made_tiff(gray, photometric=0)
    np.testing.assert_array_equal(decode_image(contents), (255 - gray).repeat(3, 2))


def test_three_channels_of_a_satellite_are_rgb():
    array = samples(3)
    np.testing.assert_array_equal(decode_image(made_tiff(array, photometric=1)), array)


@pytest.mark.parametrize("channels", [1, 3, 4, 6])
def test_npy(channels):
    array = samples(channels)
    np.testing.assert_array_equal(decode_image(npy(array), channels), array)
    header = read_header(npy(array))
    assert (header.format, header.size, header.depth) == (".npy", "35x21", 8)
    assert (header.color == "rgb") == (channels == 3)
    turned_view = npy(np.asfortranarray(array))
    np.testing.assert_array_equal(decode_image(turned_view, channels), array)


def test_npy_of_one_channel_without_an_axis():
    array = samples(1)
    np.testing.assert_array_equal(decode_image(npy(array[..., 0]), 1), array)
    np.testing.assert_array_equal(decode_image(npy(array[..., 0])), array.repeat(3, 2))


def test_alpha_counts_as_a_channel_only_if_it_is_asked_for():
    array = samples(4)
    for contents in (png(array), made_tiff(array, photometric=2, extra=[2])):
        np.testing.assert_array_equal(decode_image(contents, 4), array)
        np.testing.assert_array_equal(decode_image(contents), array[..., :3])
    # What is behind the colors of this one is not alpha.
    with pytest.raises(InputError, match="4 channels, but 3 are needed"):
        decode_image(made_tiff(array, photometric=2, extra=[0]))


BITS = {"png": png, "tiff": made_tiff}


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_of_16_bits_the_upper_ones_that_are_used_are_kept(kind, bits, channels):
    array = samples(channels, np.uint16) >> (16 - bits)
    array[0, 0] = (1 << bits) - 1
    options = {"photometric": 2, "extra": [2]} if (kind, channels) == ("tiff", 4) else {}
    if channels == 4:
        array[..., 3] = 65535  # alpha, which has the whole range
    stored = array[..., 0] if channels == 1 else array
    want = array[..., :3].repeat(3 if channels == 1 else 1, 2) >> (bits - 8)
    np.testing.assert_array_equal(decode_image(BITS[kind](stored, **options)), want)


def test_a_dark_image_of_14_bits_is_not_guessed():
    array = np.full((*SIZE, 3), 16383, np.uint16)
    assert (decode_image(png(array)) == 63).all()
    assert (decode_image(png(array * 0)) == 0).all()


BAD = {
    "two pages": (made_tiff(samples(3), pages=2), "TIFF of 2 pages; save the page to use"),
    "32 bits": (
        made_tiff(samples(4), bits=32),
        "TIFF of 32 bits per channel; convert it to 8 bits",
    ),
    "floats": (made_tiff(samples(1), more=[(339, 3, [3])]), "TIFF of signed or floating-point"),
    "Lab": (made_tiff(samples(3), photometric=8), "neither RGB nor CMYK; convert it to RGB"),
    "big": (b"II+\0" + made_tiff(samples(3))[4:], "BigTIFF is not supported"),
    "cut off": (made_tiff(samples(6))[:300], "cannot be read as TIFF image"),
    "float array": (npy(samples(3) / 255), r".npy file of float64 \(21, 35, 3\); save an image"),
    "flat array": (npy(samples(3).ravel()), r".npy file of uint8 \(2205,\)"),
    "no pixels": (npy(samples(3)[:0]), r".npy file of uint8 \(0, 35, 3\)"),
    "array cut off": (npy(samples(3))[:-1], r"cannot be read as \.npy image \(damaged"),
    "objects": (
        npy(samples(3)).replace(b"'|u1'", b"'|O8'"),
        r"\.npy file of object \(21, 35, 3\); save an image as uint8",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_named(case):
    contents, message = BAD[case]
    for channels in (3, 6):
        with pytest.raises(InputError, match=message) as caught:
            decode_image(contents, channels)
        assert "\n" not in str(caught.value)


def test_smaller_copies_and_masks_are_no_pages():
    # As in the files of programs that show maps.
    array = samples(3)
    contents = made_tiff(array, pages=2, more=[(254, 4, [1])])
    kinds = [struct.pack("<HHII", 254, 4, 1, kind) for kind in (1, 0)]
    contents = contents.replace(*kinds, 1)  # of the first page
    np.testing.assert_array_equal(decode_image(contents), array)


def test_raw_files_of_cameras_are_refused():
    # They are TIFF files whose first page is a small copy.
    contents = made_tiff(samples(3), pages=2, more=[(254, 4, [1])])
    with pytest.raises(InputError, match="begins with a thumbnail, as camera raw files do"):
        decode_image(contents)


def test_too_many_values_are_refused_before_they_are_decoded():
    for contents in (
        made_tiff(samples(6), more=[(256, 4, [10_000]), (257, 4, [10_000])]),
        made_tiff(samples(1), more=[(256, 4, [100_000]), (257, 4, [10_000])]),
        npy(samples(3)).replace(b"(21, 35, 3)", b"(90000,70000,3)").replace(b"3)    ", b"3)"),
    ):
        with pytest.raises(InputError, match=r"\(limit: 178956970\); make it smaller"):
            decode_image(contents)


STARTS = [made_tiff(samples(3)), made_tiff(samples(3)[:3, :3], order=">")[:90], b"BM", b"II*\0"]
STARTS += [b"MM\0*", b"RIFF\x20\0\0\0WEBPVP8L", npy(samples(2))[:128], npy(samples(3))]
STARTS += [
    cv2.imencode(kind, samples(3)[:5, :5])[1].tobytes() for kind in (".bmp", ".webp", ".tif")
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=99), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_give_an_image_or_an_input_error(start, rest, place, change):
    contents = bytearray(start + rest)
    contents[place % len(contents)] ^= change
    for read in (decode_image, lambda c: decode_image(c, 4), decode_label, read_header):
        try:
            read(bytes(contents))
        except InputError as error:
            assert "\n" not in str(error)
