"""Reading images, and label maps, from files.

Images are JPEG, PNG, TIFF, BMP or WebP files, or arrays in .npy files; labels are PNG, TIFF, BMP or
WebP files. Whatever the file, an image is upright as viewers show it, has 8 bits per channel, and
3 channels, red, green and blue, unless another number of channels is asked for.
"""

import cv2
import numpy as np
import tensorflow as tf

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_header import (
    DAMAGED,
    FORMATS,
    JPEG_START,
    find_format,
    open_image,
    orientation_of,
    png_depth_and_color,
    read_header,
)
from deeplab_tf.data.jpeg_segments import check_scans, plain_size
from deeplab_tf.data.label_png import decode_classes
from deeplab_tf.data.orientation import read_orientation, stored_box, turn
from deeplab_tf.data.samples import has_plain_samples, read_samples, to_8_bits, to_channels, to_rgb
from deeplab_tf.data.tiff_tags import TiffPage
from deeplab_tf.errors import InputError

JPEG_END = b"\xff\xd9"

# A part of a JPEG is decoded by itself if it has at most this share of the image's pixels.
PART_SHARE = 0.25
# JPEG colors are interpolated between neighbors, except at the border of the part that is
# decoded. Decoding this many pixels more on each side gives the colors of the whole image.
PART_MARGIN = 2

_RGB_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def load_image(path, channels=3):
    """Read an image file.

    Args:
      path: JPEG, PNG, TIFF, BMP, WebP or .npy file; see `decode_image`.
      channels: number of channels that the image should have.

    Returns:
      (H, W, channels) uint8 array, RGB if there are 3 channels.

    Raises:
      InputError: naming the file, if it is missing, damaged, of another format, or has another
        number of channels.

    Example:
      >>> load_image("scene.npy", channels=6).shape
      (360, 480, 6)
    """
    return image_from(read_file(path), path, channels)


def load_label(path, num_classes, encoding=None):
    """Read a label file.

    Args:
      path: PNG, TIFF, BMP or WebP file.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the file; None: it holds the class indices 0..num_classes-1, and
        255 for void.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: naming the file, if it is missing, is not a picture of class indices, or holds an
        index that no class has.
    """
    return label_from(read_file(path), path, num_classes, encoding)


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
    return label_from(example.read_label(), example.label, num_classes, encoding)


def load_pair(example, num_classes, encoding=None, channels=3):
    """Read the image and the label of an example.

    Args:
      example: `Example` or `RecordExample`.
      num_classes, encoding: see `load_label`.
      channels: number of channels of the image; see `load_image`.

    Returns:
      image (H, W, channels) and label (H, W), both uint8; of a `HeadsExample` (H, W, heads).

    Raises:
      InputError: as `load_image` and `load_label`, and if the sizes differ.
    """
    image_contents, label_contents = example.read()
    image = image_from(image_contents, example.image, channels)
    label = label_from(label_contents, example.label, num_classes, encoding)
    if image.shape[:2] != label.shape[:2]:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (label, image)]
        raise InputError(
            f"{example.label}: size {sizes[0]} differs from the image's {sizes[1]}"
            f" ({example.image}); make them equal"
        )
    return image, label


def decode_image(contents, channels=3):
    """Decode an image, and turn it as its EXIF orientation says.

    Args:
      contents: bytes of a JPEG, PNG, TIFF, BMP, WebP or .npy file.
      channels: number of channels that the image should have. With 3, alpha is dropped, and gray
        becomes RGB; otherwise the file must have this number of channels. TIFF and .npy files can
        have any number.

    Returns:
      (H, W, channels) uint8 array. If values have more than 8 bits, the upper 8 are kept; a
      16-bit image without a value of more than 8, 10 or 12 bits counts as one of that depth.

    Raises:
      InputError: if the bytes are damaged, cut off, of another format, or have another number of
        channels.
    """
    kind = find_format(contents)
    if not kind:
        what = f"not a {FORMATS} file, whatever its name says; convert it"
        raise InputError(f"cannot be read: {what if contents else 'empty file; replace it'}")
    if kind == "JPEG":
        check_scans(contents)
    try:
        return _decode(contents, kind, channels)
    except InputError:
        raise
    except DAMAGED:
        raise InputError(
            f"cannot be read as {kind} image (damaged or cut off?); replace it"
        ) from None


def image_from(contents, place, channels=3):
    """Decode an image as `decode_image` does; an `InputError` begins with `place`, its name."""
    try:
        return decode_image(contents, channels)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def label_from(contents, place, num_classes, encoding=None):
    """Decode a label as `decode_classes` does; an `InputError` begins with `place`, its name."""
    try:
        return decode_classes(contents, num_classes, encoding)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def decode_part(contents, size, box, channels=3):
    """Decode at least a part of an image; of a large JPEG this is faster than all of it.

    Args:
      contents: bytes of an image file; see `decode_image`.
      size: (height, width) that the image should have.
      box: (top, left, bottom, right) of the part in pixels; bottom and right are not included.
      channels: number of channels that the image should have.

    Returns:
      (h, w, channels) uint8 array, and the (row, column) of the image at which it starts.

    Raises:
      InputError: as `decode_image`, and if the image has another size.
      tf.errors.InvalidArgumentError: if the part cannot be decoded.
    """
    top, left, bottom, right = box
    is_small = (bottom - top) * (right - left) <= PART_SHARE * size[0] * size[1] and channels == 3
    if is_small and contents.startswith(JPEG_START) and contents.endswith(JPEG_END):
        check_scans(contents)
        found, orientation = plain_size(contents), 1
        if found is None:
            header = read_header(contents)
            found, orientation = (header.height, header.width), header.orientation
        top, left = max(top - PART_MARGIN, 0), max(left - PART_MARGIN, 0)
        bottom, right = min(bottom + PART_MARGIN, size[0]), min(right + PART_MARGIN, size[1])
        if found == size:
            first, start, last, end = stored_box((top, left, bottom, right), size, orientation)
            window = [first, start, last - first, end - start]
            image = turn(_decode_window(contents, window), orientation)
    else:
        image, top, left = decode_image(contents, channels), 0, 0
        found = image.shape[:2]
    if found != size:
        raise InputError(f"size {found[1]}x{found[0]} is not {size[1]}x{size[0]}; make them equal")
    return image, (top, left)


def _decode(contents, kind, channels):
    if channels != 3 or _needs_samples(contents, kind):
        pixels = to_8_bits(to_channels(read_samples(contents), channels))
        if kind == ".npy":
            return pixels
        return turn(pixels, _orientation(contents, kind))
    is_plain = kind == "JPEG" and plain_size(contents) is not None
    image = None if is_plain else open_image(contents, verify=True)
    if kind == "BMP" and image.mode == "L" and read_header(contents).depth < 8:
        # Pillow would read each byte, which holds several pixels, as one pixel.
        raise InputError("gray BMP of less than 8 bits is not supported; convert it to PNG")
    orientation = 1 if is_plain else orientation_of(contents, image)
    is_rgb = is_plain or image.mode != "CMYK"
    if kind == "JPEG" and is_rgb and contents.endswith(JPEG_END):
        # OpenCV gives the same pixels in two thirds of Pillow's time. But it would fill the
        # missing part of a cut-off file with gray, so files without an end mark are left to Pillow.
        pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), _RGB_AS_STORED)
        if pixels is not None:
            return turn(pixels, orientation)
    return turn(to_rgb(image or open_image(contents)), orientation)


def _needs_samples(contents, kind):
    # Whether Pillow would lose bits or channels.
    if kind == "TIFF":
        page = TiffPage(contents)
        return has_plain_samples(page) and (page.bits > 8 or page.color.endswith("channels"))
    return kind == ".npy" or (kind == "PNG" and png_depth_and_color(contents)[0] == 16)


def _orientation(contents, kind):
    if kind == "TIFF":  # Pillow cannot open one of many channels
        return read_orientation(contents)
    return orientation_of(contents, open_image(contents))


def _decode_window(contents, window):
    # Neither Pillow nor OpenCV decodes a part of a JPEG. For a crop of 321x321 pixels of an image
    # of 4000x3000, TensorFlow takes a fifth of OpenCV's time for the whole image.
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=contents, crop_window=window, channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()
