import functools

import cv2
import numpy as np
import pytest
import tensorflow as tf
from handmade_png import chunk
from planted import png, png_with_orientation, with_orientation

from deeplab_tf.data.decode_in_graph import decode_in_graph
from deeplab_tf.data.image_files import decode_image

IMAGE = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 256, (11, 17, 3), np.uint8), (0, 0), 1.5
)
JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()
PNG = png(IMAGE)


@functools.cache
def graph():
    return tf.function(decode_in_graph, input_signature=[tf.TensorSpec([], tf.string)])


def assert_same(contents):
    found = graph()(tf.constant(contents)).numpy()
    np.testing.assert_array_equal(found, decode_image(contents))
    return found


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned(orientation, order):
    shape = (17, 11, 3) if orientation >= 5 else (11, 17, 3)
    assert assert_same(with_orientation(JPEG, orientation, order)).shape == shape
    for at_the_end in (False, True):
        turned = png_with_orientation(PNG, orientation, order, at_the_end)
        assert assert_same(turned).shape == shape


def test_other_segments_and_chunks_do_not_matter():
    comment = b"\xff\xff\xff\xfe\0\x06Exif"  # with a byte to fill up
    xmp = b"\xff\xe1\0\x0ahttp://x"
    turned = with_orientation(JPEG, 6)
    assert_same(turned[:2] + comment + xmp + turned[2:])
    assert_same(JPEG[:2] + comment + xmp + JPEG[2:])
    text = chunk(b"tEXt", b"Comment\0eXIfMM\0*")
    turned = png_with_orientation(PNG, 8)
    assert_same(turned[:33] + text + turned[33:])
    assert_same(PNG[:33] + text + PNG[33:])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_is_left_out():
    for orientation in (0, 9, 65535):
        assert_same(with_orientation(JPEG, orientation))
    turned = bytearray(with_orientation(JPEG, 6))
    turned[turned.index(b"MM\0*") + 7] = 200  # the table lies behind the end
    assert_same(bytes(turned))
    turned[turned.index(b"MM\0*")] = 0
    assert_same(bytes(turned))


@pytest.mark.parametrize("factor", [1, 4, 16, 64, 257])
@pytest.mark.parametrize("kind", ["gray", "rgb", "rgba"])
def test_of_16_bits_the_upper_ones_that_are_used_are_kept(kind, factor):
    image = IMAGE.astype(np.uint16) * factor
    if kind == "rgba":
        image = np.dstack([image, np.full(image.shape[:2], 65535, np.uint16)])
    found = assert_same(png(image[..., 0] if kind == "gray" else image))
    if factor != 64:  # 14 bits are not told from a dark image of 16
        want = IMAGE[..., :1].repeat(3, 2) if kind == "gray" else IMAGE
        np.testing.assert_array_equal(found, want)


def test_other_formats_are_refused():
    late = PNG[:8] + chunk(b"abCd", b"before the header") + PNG[8:]
    for contents in (b"GIF89a", b"", cv2.imencode(".bmp", IMAGE)[1].tobytes(), late):
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph()(tf.constant(contents))
