"""Decoding in a graph: the pixels, and the errors that name the file at fault."""

import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf
from handmade_png import chunk
from tiny_model import blocks

from deeplab_tf.data import served_files
from deeplab_tf.data.image_files import decode_image
from deeplab_tf.data.served_files import decode_files

LIMITED = tf.function(
    lambda files: decode_files(files, max_pixels=600, first=5),
    input_signature=[tf.TensorSpec([None], tf.string)],
)
SERVE = tf.function(
    lambda files: decode_files(files), input_signature=[tf.TensorSpec([None], tf.string)]
)


def encode(image, extension=".png"):
    return cv2.imencode(extension, image[..., ::-1])[1].tobytes()


PNG, JPEG = encode(blocks(20, 30)), encode(blocks(20, 30, seed=1), ".jpg")
OTHER_SIZE = encode(blocks(30, 20))


def test_pixels_are_those_of_the_other_commands():
    images = SERVE(tf.constant([PNG, JPEG, PNG]))
    assert images.dtype == tf.uint8 and images.shape == (3, 20, 30, 3)
    for image, contents in zip(images, (PNG, JPEG, PNG), strict=True):
        np.testing.assert_array_equal(image, decode_image(contents))
    np.testing.assert_array_equal(SERVE(tf.constant([OTHER_SIZE]))[0], blocks(30, 20))


def broken_png():
    """One whose checksum does not fit its pixels."""
    middle = len(PNG) // 2
    return PNG[:middle] + bytes([PNG[middle] ^ 255]) + PNG[middle + 1 :]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "image_bytes is empty; send at least one file"),
        ([b""], "image_bytes[0]: cannot be decoded (damaged, cut off, or neither JPEG nor PNG)"),
        ([PNG, JPEG[:-200], PNG], "image_bytes[1]: cannot be decoded"),
        ([PNG, JPEG, PNG[:-40]], "image_bytes[2]: cannot be decoded"),
        ([broken_png(), PNG, b"GIF89a", JPEG], "image_bytes[0], image_bytes[2]: cannot be decoded"),
        ([b"no", b"image"], "image_bytes[0], image_bytes[1]: cannot be decoded"),
        (
            [PNG, JPEG, OTHER_SIZE, PNG],
            "image_bytes[2] has 20x30 pixels but image_bytes[0] has 30x20 pixels; send images of"
            " different sizes in separate batches",
        ),
        # The damaged file comes first: its size is not known.
        ([OTHER_SIZE, PNG, b"no"], "image_bytes[2]: cannot be decoded"),
    ],
)
def test_errors_name_the_file_at_fault(files, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        SERVE(tf.constant(files, tf.string, [len(files)]))
    assert message in str(error.value)


def slivers():
    """Two small files, which would be 3.6 gigapixels each if one were padded to hold the other."""
    return [encode(np.zeros(shape, np.uint8)) for shape in ((60000, 1, 3), (1, 60000, 3))]


def test_files_of_different_sizes_are_refused_before_they_need_memory():
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        SERVE(tf.constant(slivers()))
    message = "image_bytes[1] has 60000x1 pixels but image_bytes[0] has 1x60000 pixels"
    assert message in str(error.value)


def late_header():
    """A PNG of 21x30 pixels whose first chunk, which nobody knows, says that it is 1x1."""
    large = encode(blocks(21, 30))
    return large[:8] + chunk(b"abCd", struct.pack(">IIB", 1, 1, 8)) + large[8:]


def bomb():
    """The start of a PNG of 3 gigapixels, without any of them."""
    header = np.array([60000, 50000], ">u4").tobytes() + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([PNG, bomb()], "image_bytes[6] has 60000x50000 pixels, but at most 600 pixels are taken"),
        ([encode(blocks(21, 30), ".jpg"), b"no"], "image_bytes[5] has 30x21 pixels, but at most"),
        ([b"no", encode(blocks(21, 30)), bomb()], "image_bytes[6] has 30x21 pixels, but at most"),
        ([PNG, late_header()], "image_bytes[6]: cannot be decoded"),
        ([PNG, bomb()[:20]], "image_bytes[6]: cannot be decoded"),
        ([OTHER_SIZE, PNG], "image_bytes[6] has 30x20 pixels but image_bytes[5] has 20x30 pixels"),
    ],
)
def test_large_images_are_refused_before_they_are_decoded(files, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        LIMITED(tf.constant(files, tf.string))
    assert message in str(error.value)


def test_images_of_the_limit_are_decoded():
    np.testing.assert_array_equal(LIMITED(tf.constant([PNG]))[0], blocks(20, 30))


def test_what_was_decoded_is_limited_too(monkeypatch):
    monkeypatch.setattr(served_files, "read_size_in_graph", lambda _: tf.constant([1, 1]))
    files = [PNG, encode(blocks(21, 30))]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        decode_files(tf.constant(files), max_pixels=600)
    message = "image_bytes[1] has 30x21 pixels, but at most 600 pixels are taken; reduce the image"
    assert message in str(error.value)
