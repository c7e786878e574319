import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from handmade_bmp import made_bmp
from handmade_png import chunk, made_png, palette
from handmade_tiff import made_tiff
from PIL import Image, ImageOps
from planted import cmyk_jpeg, exif, png, png_with_orientation, with_orientation

from deeplab_tf.data import image_files
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import decode_image, decode_part, load_image, load_label, load_pair
from deeplab_tf.data.image_header import JPEG_START, read_header, without_turn
from deeplab_tf.data.label_png import decode_label, encode_label
from deeplab_tf.data.orientation import turn
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelEncoding, voc_colors

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


def test_plain_jpegs_are_decoded_without_pillow(monkeypatch):
    contents = encoded(".jpg", IMAGE), encoded(".jpg", IMAGE[..., 0])
    want = [decode_image(each + b"bytes after the end") for each in contents]  # by Pillow
    monkeypatch.setattr(image_files, "open_image", None)  # is not called
    for each, image in zip(contents, want, strict=True):
        np.testing.assert_array_equal(decode_image(each), image)
        part, start = decode_part(each, (37, 51), (10, 20, 15, 30))
        np.testing.assert_array_equal(part[2:-2, 2:-2], image[10:15, 20:30])
        assert start == (8, 18)


def test_a_jpeg_of_too_many_pixels_is_refused_by_its_header():
    contents = encoded(".jpg", IMAGE)
    frame = contents.index(b"\xff\xc0")
    large = contents[: frame + 5] + b"\xff\xff\xff\xff" + contents[frame + 9 :]
    with pytest.raises(InputError, match="65535x65535 pixels are too many"):
        decode_image(large)


def test_a_part_of_a_jpeg_with_a_damaged_frame_is_refused():
    contents = encoded(".jpg", IMAGE)
    frame = contents.index(b"\xff\xc0")
    damaged = contents[: frame + 2] + b"\0\3" + contents[frame + 4 :]  # its length
    with pytest.raises(InputError, match="header damaged or cut off"):
        decode_part(damaged, (37, 51), (10, 20, 15, 30))


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
        with pytest.raises(InputError, match=r"cannot be read(: empty| as JPEG image \(damaged)"):
            decode_image(contents[:keep])


def by_pillow(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def few_bits(bits, rows):
    """A gray TIFF of three columns of 2 or 4 bits, from its bytes."""
    return made_tiff(np.uint8(rows), bits=bits, more=[(256, 3, [3])])


GRAY, RGB = Image.fromarray(IMAGE[..., 0]), Image.fromarray(IMAGE)
BILEVEL = Image.fromarray(IMAGE[..., 0] > 127)
PALETTE = RGB.quantize(32)
ALPHA = Image.fromarray(np.dstack([IMAGE, NOISE[..., 0]]), "RGBA")
GRAY_ALPHA = Image.fromarray(np.dstack([IMAGE[..., 0], NOISE[..., 0]]), "LA")
INKS = Image.fromarray(np.dstack([255 - IMAGE, np.zeros_like(IMAGE[..., 0])]), "CMYK")
IN_GRAY = IMAGE[..., :1].repeat(3, 2)
IN_TWO = np.where(IMAGE[..., :1] > 127, 255, 0).repeat(3, 2)
IN_PALETTE = np.asarray(PALETTE.convert("RGB"))
LZW = {"compression": "tiff_lzw"}

# Of each kind: the file, and its pixels.
MORE_FORMATS = {
    "tiff 1 bit": (by_pillow(BILEVEL, "TIFF"), IN_TWO),
    "tiff 1 bit, fax": (by_pillow(BILEVEL, "TIFF", compression="group4"), IN_TWO),
    "tiff 2 bits": (
        few_bits(2, [[0b00011000], [0b11000000]]),
        np.uint8([[0, 85, 170], [255, 0, 0]])[..., None].repeat(3, 2),
    ),
    "tiff 4 bits": (
        few_bits(4, [[0x01, 0x70], [0xFE, 0x90]]),
        np.uint8([[0, 17, 119], [255, 238, 153]])[..., None].repeat(3, 2),
    ),
    "tiff gray": (by_pillow(GRAY, "TIFF"), IN_GRAY),
    "tiff palette": (by_pillow(PALETTE, "TIFF", **LZW), IN_PALETTE),
    "tiff rgb": (by_pillow(RGB, "TIFF", **LZW), IMAGE),
    "tiff rgba": (by_pillow(ALPHA, "TIFF", **LZW), IMAGE),
    "tiff gray alpha": (by_pillow(GRAY_ALPHA, "TIFF"), IN_GRAY),
    "tiff cmyk": (by_pillow(INKS, "TIFF", **LZW), IMAGE),
    "bmp 1 bit": (by_pillow(BILEVEL, "BMP"), IN_TWO),
    "bmp gray": (by_pillow(GRAY, "BMP"), IN_GRAY),
    "bmp palette": (by_pillow(PALETTE, "BMP"), IN_PALETTE),
    "bmp rgb": (by_pillow(RGB, "BMP"), IMAGE),
    "bmp rgba": (by_pillow(ALPHA, "BMP"), IMAGE),
    "webp rgb": (by_pillow(RGB, "WEBP", lossless=True), IMAGE),
    "webp rgba": (by_pillow(ALPHA, "WEBP", lossless=True, exact=True), IMAGE),
}


@pytest.mark.parametrize("kind", MORE_FORMATS)
def test_tiff_bmp_and_webp_of_every_kind(kind):
    contents, want = MORE_FORMATS[kind]
    image = decode_image(contents)
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, want)
    with pytest.raises(InputError, match=r"cannot be read as .* \(damaged or cut off"):
        decode_image(contents[: len(contents) // 2])


def test_lossy_webp_and_tiff_are_nearly_the_image():
    for contents in (
        by_pillow(RGB, "WEBP", quality=95),
        by_pillow(RGB, "TIFF", compression="jpeg", quality=95),
    ):
        assert np.abs(decode_image(contents).astype(int) - IMAGE).mean() < 6


def test_a_bmp_of_gray_levels_of_4_bits_is_refused():
    with pytest.raises(InputError, match="gray BMP of less than 8 bits is not supported"):
        decode_image(made_bmp(4, [[0x01, 0x70], [0xFE, 0x90]], 3))


def test_an_animation_is_refused():
    contents = by_pillow(RGB, "WEBP", save_all=True, append_images=[GRAY.convert("RGB")])
    with pytest.raises(InputError, match="animated WebP of 2 frames; save one frame"):
        decode_image(contents)


EXIF_OF = {
    "jpeg": lambda tag: with_orientation(encoded(".jpg", IMAGE), tag),
    "jpeg, Intel": lambda tag: with_orientation(encoded(".jpg", IMAGE), tag, "<"),
    "jpeg with more bytes": lambda tag: with_orientation(encoded(".jpg", IMAGE), tag) + b"more",
    "gray jpeg": lambda tag: with_orientation(encoded(".jpg", IMAGE[..., 0]), tag),
    "cmyk jpeg": lambda tag: with_orientation(cmyk_jpeg(IMAGE[..., 0]), tag),
    "png": lambda tag: png_with_orientation(png(IMAGE), tag),
    "png, at its end": lambda tag: png_with_orientation(png(IMAGE), tag, "<", at_the_end=True),
    "png of 16 bits": lambda tag: png_with_orientation(png(IMAGE.astype(np.uint16) * 257), tag),
    "webp": lambda tag: by_pillow(RGB, "WEBP", lossless=True, exif=exif(tag)),
    "tiff": lambda tag: by_pillow(RGB, "TIFF", tiffinfo={274: tag}, **LZW),
}
SHOWN_BY_PILLOW = ("jpeg", "gray jpeg", "png", "webp", "tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", EXIF_OF)
def test_images_are_turned_by_their_exif_orientation(kind, orientation):
    upright, contents = decode_image(EXIF_OF[kind](1)), EXIF_OF[kind](orientation)
    image = decode_image(contents)
    np.testing.assert_array_equal(image, turn(upright, orientation))
    if kind in SHOWN_BY_PILLOW:
        shown = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
        np.testing.assert_array_equal(image, np.asarray(shown.convert("RGB")))
    header = read_header(contents)
    assert (header.height, header.width, header.orientation) == (*image.shape[:2], orientation)


@pytest.mark.parametrize("kind", EXIF_OF)
def test_without_turn_the_image_is_as_stored(kind):
    contents = without_turn(EXIF_OF[kind](6))
    assert read_header(contents).orientation == 1
    np.testing.assert_array_equal(decode_image(contents), decode_image(EXIF_OF[kind](1)))
    assert without_turn(contents) is contents


def test_without_turn_of_a_jpeg_whose_exif_data_goes_on_in_a_further_segment():
    turned = EXIF_OF["jpeg"](6)
    more = b"Exif\0\0" + b"more" * 9
    place = turned.index(b"\xff\xe1")
    place += 2 + int.from_bytes(turned[place + 2 : place + 4], "big")
    further = b"\xff\xe1" + (len(more) + 2).to_bytes(2, "big") + more
    contents = without_turn(turned[:place] + further + turned[place:])
    upright = without_turn(turned)
    assert contents == upright[:place] + further + upright[place:]
    assert read_header(contents).orientation == 1


def test_without_turn_leaves_damaged_files_alone():
    for contents in (b"", b"GIF89a", JPEG_START, b"II*\0", b"\x93NUMPY"):
        assert without_turn(contents) == contents


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("sampling", ["420", "444"])
def test_a_part_of_a_turned_jpeg_has_the_pixels_of_the_whole(sampling, orientation):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    contents = encoded(".jpg", IMAGE, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
    contents = with_orientation(contents, orientation)
    whole = decode_image(contents)
    size = whole.shape[:2]
    for box in ((0, 0, 9, 9), (20, 20, 36, 30), (11, 13, 12, 14), (28, 28, 37, 37)):
        part, (top, left) = decode_part(contents, size, box)
        assert part.size < whole.size / 2
        shown = part[box[0] - top : box[2] - top, box[1] - left : box[3] - left]
        np.testing.assert_array_equal(shown, whole[box[0] : box[2], box[1] : box[3]])
    if size != (37, 51):
        with pytest.raises(InputError, match="size 37x51 is not 51x37"):
            decode_part(contents, (37, 51), (0, 0, 2, 2))


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    huge = made_png(4, LABEL, 8, 0).replace(
        chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0)),
        chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 99_999, 8, 0, 0, 0, 0)),
    )
    for read in (decode_image, decode_label):
        with pytest.raises(
            InputError, match=r"100000x99999 pixels are too many \(limit: 178956970\)"
        ):
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
    "heic": b"\0\0\0\x18ftypheic" + bytes(40),
    "text": b"hello",
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind):
    contents = OTHER_FORMATS[kind]
    (tmp_path / "a.jpg").write_bytes(contents)
    problem = r"a\.jpg: cannot be read: not a JPEG, PNG, .* \.npy file, whatever .*; convert it"
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
    encoding = LabelEncoding((0, 1, 2), COLORS)
    np.testing.assert_array_equal(load_pair(example, 3, encoding)[1], label)
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


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg: No such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match=r"none\.png: No such file"):
        load_label(tmp_path / "none.png", 3)
