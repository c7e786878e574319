import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from handmade_png import chunk, made_png, palette
from PIL import Image
from planted import cmyk_jpeg, png

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import decode_image, decode_part, load_image, load_label, load_pair
from deeplab_tf.data.label_png import decode_label, encode_label
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
