"""Reading images from JPEG and PNG files, and label maps from PNG files."""

import cv2
import numpy as np
import tensorflow as tf

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_header import (
    DAMAGED,
    JPEG_START,
    PNG_START,
    open_image,
)
from deeplab_tf.data.label_png import decode_classes
from deeplab_tf.errors import InputError

JPEG_END = b"\xff\xd9"

# A part of a JPEG is decoded by itself if it has at most this share of the image's pixels.
PART_SHARE = 0.25
# JPEG colors are interpolated between neighbors, except at the border of the part that is
# decoded. Decoding this many pixels more on each side gives the colors of the whole image.
PART_MARGIN = 2

_RGB_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def load_image(path):
    """Read an image file.

    Args:
      path: JPEG or PNG file.

    Returns:
      (H, W, 3) uint8 RGB array.

    Raises:
      InputError: naming the file, if it is missing, damaged, or neither JPEG nor PNG.
    """
    return _image_from(read_file(path), path)


def load_label(path, num_classes, encoding=None):
    """Read a label file.

    Args:
      path: PNG file.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the file; None: it holds the class indices 0..num_classes-1, and
        255 for void.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: naming the file, if it is missing, is not a PNG of class indices, or holds an
        index that no class has.
    """
    return _label_from(read_file(path), path, num_classes, encoding)


def load_classes(example, num_classes, encoding=None):
    """Read only the label of an example.

    Args:
      example: `Example` or `RecordExample`, with a label.
      num_classes, encoding: see `load_label`.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: as `load_label`.
    """
    return _label_from(example.read()[1], example.label, num_classes, encoding)


def load_pair(example, num_classes, encoding=None):
    """Read the image and the label of an example.

    Args:
      example: `Example` or `RecordExample`.
      num_classes, encoding: see `load_label`.

    Returns:
      image (H, W, 3) and label (H, W), both uint8.

    Raises:
      InputError: as `load_image` and `load_label`, and if the sizes differ.
    """
    image_contents, label_contents = example.read()
    image = _image_from(image_contents, example.image)
    label = _label_from(label_contents, example.label, num_classes, encoding)
    if image.shape[:2] != label.shape:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (label, image)]
        raise InputError(
            f"{example.label}: size {sizes[0]} differs from the image's {sizes[1]}"
            f" ({example.image}); make them equal"
        )
    return image, label


def decode_image(contents):
    """Decode an image.

    Args:
      contents: bytes of a JPEG or PNG file.

    Returns:
      (H, W, 3) uint8 RGB array. Alpha is dropped, only the upper 8 of 16 bits are kept, and EXIF
      orientation is ignored.

    Raises:
      InputError: if the bytes are damaged, cut off, or of another format.
    """
    if contents and not contents.startswith((JPEG_START, PNG_START[:2])):
        raise InputError("cannot be read: neither JPEG nor PNG, whatever its name says; convert it")
    try:
        image = open_image(contents, verify=True)
        if image.format == "JPEG" and image.mode != "CMYK" and contents.endswith(JPEG_END):
            # OpenCV gives the same pixels in two thirds of Pillow's time. But it would fill up a
            # file that is cut off with gray, so files without an end mark are left to Pillow.
            pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), _RGB_AS_STORED)
            if pixels is not None:
                return pixels
        return _to_rgb(image)
    except InputError:
        raise
    except DAMAGED:
        raise InputError(
            "cannot be read as JPEG or PNG image (damaged or cut off?); replace it"
        ) from None


def decode_part(contents, size, box):
    """Decode at least a part of an image; of a large JPEG this is faster than all of it.

    Args:
      contents: bytes of a JPEG or PNG file.
      size: (height, width) that the image should have.
      box: (top, left, bottom, right) of the part in pixels; bottom and right are not included.

    Returns:
      (h, w, 3) uint8 RGB array, and the (row, column) of the image at which it starts.

    Raises:
      InputError: as `decode_image`, and if the image has another size.
      tf.errors.InvalidArgumentError: if the part cannot be decoded.
    """
    top, left, bottom, right = box
    is_small = (bottom - top) * (right - left) <= PART_SHARE * size[0] * size[1]
    if is_small and contents.startswith(JPEG_START) and contents.endswith(JPEG_END):
        found = open_image(contents).size[::-1]
        top, left = max(top - PART_MARGIN, 0), max(left - PART_MARGIN, 0)
        bottom, right = min(bottom + PART_MARGIN, size[0]), min(right + PART_MARGIN, size[1])
        window = [top, left, bottom - top, right - left]
        image = _decode_window(contents, window) if found == size else None
    else:
        image, top, left = decode_image(contents), 0, 0
        found = image.shape[:2]
    if found != size:
        raise InputError(f"size {found[1]}x{found[0]} is not {size[1]}x{size[0]}; make them equal")
    return image, (top, left)


def _to_rgb(image):
    if image.mode == "I;16":
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "CMYK":
        # Pillow inverts the inks of all CMYK files, but only Adobe's programs store them inverted.
        pixels = np.asarray(image)
        inks = pixels if "adobe" in image.info else 255 - pixels
        light = 255 - inks.astype(np.uint16)
        return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    return np.array(image.convert("RGB"))


def _decode_window(contents, window):
    # Neither Pillow nor OpenCV decodes a part of a JPEG. For a crop of 321x321 pixels of an image
    # of 4000x3000, TensorFlow takes a fifth of OpenCV's time for the whole image.
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=contents, crop_window=window, channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()


def _image_from(contents, place):
    try:
        return decode_image(contents)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _label_from(contents, place, num_classes, encoding):
    try:
        return decode_classes(contents, num_classes, encoding)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
