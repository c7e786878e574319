"""Reading images and label maps from JPEG and PNG files, and writing label maps as PNG files."""

import struct
import zlib

import cv2
import numpy as np
import tensorflow as tf

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_header import (
    DAMAGED,
    JPEG_START,
    PNG_END,
    PNG_START,
    open_image,
    png_depth_and_color,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR

JPEG_END = b"\xff\xd9"

# A part of a JPEG is decoded on its own if it has less than this share of the pixels.
PART_SHARE = 0.25
# JPEG colors are interpolated between neighbors, except at the border of the part that is
# decoded. Decoding this many pixels more on each side gives the colors of the whole image.
PART_MARGIN = 2

_REMEDY = "(damaged or cut off?); replace it"
_RGB_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_COLOR_WEIGHTS = np.array([65536, 256, 1], np.int32)


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


def load_label(path, num_classes, colors=None):
    """Read a label file.

    Args:
      path: PNG file.
      num_classes: number of classes; only the values 0..num_classes-1 and 255 are accepted.
      colors: RGB colors of the classes, to read RGB labels; see `decode_label`.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: naming the file, if it is missing, is not a PNG of class indices, or holds an
        index that no class has.
    """
    return _label_from(read_file(path), path, num_classes, colors)


def load_pair(example, num_classes, colors=None):
    """Read the image and the label of an example.

    Args:
      example: `Example` or `RecordExample`.
      num_classes: number of classes; see `load_label`.
      colors: RGB colors of the classes, to read RGB labels; see `decode_label`.

    Returns:
      image (H, W, 3) and label (H, W), both uint8.

    Raises:
      InputError: as `load_image` and `load_label`, and if the sizes differ.
    """
    image_contents, label_contents = example.read()
    image = _image_from(image_contents, example.image)
    label = _label_from(label_contents, example.label, num_classes, colors)
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
      (H, W, 3) uint8 RGB array. Alpha is dropped, of 16 bits the upper 8 are kept, and the EXIF
      orientation is ignored.

    Raises:
      InputError: if the bytes are damaged, cut off, or of another format.
    """
    if contents and not contents.startswith((JPEG_START, PNG_START[:2])):
        raise InputError("cannot be read: neither JPEG nor PNG, whatever its name says; convert it")
    try:
        image = open_image(contents, verify=True)
        if image.format == "JPEG" and image.mode != "CMYK" and contents.endswith(JPEG_END):
            # OpenCV gives the same pixels in two thirds of Pillow's time. But it would fill up
            # a cut-off file with gray, so Pillow reads what does not end as it should.
            pixels = cv2.imdecode(np.frombuffer(contents, np.uint8), _RGB_AS_STORED)
            if pixels is not None:
                return pixels
        return _to_rgb(image)
    except InputError:
        raise
    except DAMAGED:
        raise InputError(f"cannot be read as JPEG or PNG image {_REMEDY}") from None


def decode_part(contents, size, box):
    """Decode at least a part of an image; of a large JPEG this is faster than all of it.

    Args:
      contents: bytes of a JPEG or PNG file.
      size: (height, width) that the image should have.
      box: (top, left, bottom, right) of the part in pixels; bottom and right are not included.

    Returns:
      (h, w, 3) uint8 RGB array; (row, column) of the image at which the array starts.

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


def decode_label(contents, colors=None):
    """Decode a label map.

    Gray PNGs hold the class indices as gray levels, palette PNGs as palette indices (the palette
    itself is ignored); both have 1, 2, 4 or 8 bits. RGB PNGs are read only with `colors`.

    Args:
      contents: bytes of a PNG file.
      colors: (num_classes, 3) RGB colors 0..255 of the classes; (224, 224, 192) is void unless a
        class has it. Of classes with the same color the first one counts.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: if this is not a readable PNG of class indices.
    """
    if not contents.startswith(PNG_START):
        raise InputError("not a PNG file; labels are PNGs of class indices")
    try:
        image, (depth, color) = open_image(contents), png_depth_and_color(contents)
        _check_label_kind(depth, color, colors)
        pixels = _unfiltered_pixels(image, contents) if depth == 8 and color != "rgb" else None
        if pixels is None:
            pixels = np.array(open_image(contents, verify=True))
    except InputError:
        raise
    except DAMAGED:
        raise InputError(f"not a readable PNG {_REMEDY}") from None
    if color == "rgb":
        return _match_colors(pixels, colors)
    if color == "gray" and depth < 8:
        # Pillow stretches gray levels of 2 and 4 bits to 0..255; those of 1 bit are booleans.
        return pixels.astype(np.uint8) if depth == 1 else pixels // (255 // (2**depth - 1))
    return pixels


def has_unknown_value(label, num_classes):
    """Whether a label map (H, W) uint8 has a value that is neither a class nor 255."""
    # Void becomes 0, so that one maximum tells.
    return int((label + np.uint8(1)).max()) > num_classes


def encode_label(label, color_table=None):
    """Encode a label map as an 8-bit PNG, with a palette or as gray levels.

    Args:
      label: (H, W) uint8 array of class indices.
      color_table: (n, 3) uint8 array of at most 256 RGB colors, row i for index i; None writes
        a gray PNG.

    Returns:
      bytes of the file.

    Raises:
      InputError: if an array has another shape or type, or an index has no color.
    """
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8 or label.size == 0:
        raise InputError(f"label is {label.dtype} {label.shape}; give uint8 (H, W)")
    palette = b""
    if color_table is not None:
        palette = _png_chunk(b"PLTE", _palette_bytes(np.asarray(color_table), label.max()))
    size = label.shape[::-1]
    header = struct.pack(">IIBBBBB", *size, 8, 3 if palette else 0, 0, 0, 0)
    # A 0 before each row says that it is not filtered, which compresses label maps best. Pillow
    # would choose filters that are made for photographs.
    rows = zlib.compress(np.pad(label, [(0, 0), (1, 0)]).tobytes())
    chunks = (_png_chunk(b"IHDR", header), palette, _png_chunk(b"IDAT", rows))
    return PNG_START + b"".join(chunks) + _png_chunk(b"IEND", b"")


def _to_rgb(image):
    if image.mode == "I;16":
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "CMYK":
        # Pillow inverts all CMYK files, but only those of Adobe's programs are stored inverted.
        pixels = np.asarray(image)
        inks = pixels if "adobe" in image.info else 255 - pixels
        light = 255 - inks.astype(np.uint16)
        return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    return np.array(image.convert("RGB"))


def _unfiltered_pixels(image, contents):
    # The pixels of a PNG of one byte per pixel, if it is stored as one chunk of unfiltered rows,
    # as label maps usually are; None for others. Inflating all rows at once takes half the time
    # of Pillow, which inflates row by row.
    start, (width, height) = image.tile[0][2], image.size
    (length,) = struct.unpack_from(">I", contents, start - 8)
    end = start + length
    checksum = struct.pack(">I", zlib.crc32(contents[start - 4 : end]))
    if contents[end : end + 16] != checksum + PNG_END or image.info.get("interlace"):
        return None
    inflater = zlib.decompressobj()
    rows = inflater.decompress(contents[start:end], height * (width + 1))
    if not inflater.eof or len(rows) != height * (width + 1):
        return None
    rows = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    return None if rows[:, 0].any() else rows[:, 1:].copy()  # first of all, the row's filter


def _decode_window(contents, window):
    # Neither Pillow nor OpenCV decodes a part of a JPEG. For a crop of 321x321 pixels of an image
    # of 4000x3000, TensorFlow takes a fifth of the time that OpenCV takes for the whole image.
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=contents, crop_window=window, channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()


def _image_from(contents, place):
    try:
        return decode_image(contents)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _label_from(contents, place, num_classes, colors):
    try:
        label = decode_label(contents, colors)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if has_unknown_value(label, num_classes):
        highest = label[label != VOID].max()
        raise InputError(
            f"{place}: label value {highest} but only {num_classes} classes"
            f" (0..{num_classes - 1}, {VOID} = void); fix the label or the list of classes"
        )
    return label


def _check_label_kind(depth, color, colors):
    if color.endswith("alpha"):
        raise InputError(
            "PNG with an alpha channel; labels are palette or gray PNGs of class indices"
        )
    if depth > 8:
        raise InputError("PNG of 16 bits; labels hold class indices of at most 8 bits")
    if color == "rgb" and colors is None:
        raise InputError(
            "RGB label but no colors are given; give each class its color, or write class"
            " indices as a palette or gray PNG"
        )


def _match_colors(pixels, colors):
    # Each color as one number; of equal ones, np.unique gives the first.
    table = np.concatenate([np.reshape(colors, (-1, 3)), [VOID_COLOR]]).astype(np.int32)
    keys, rows = np.unique(table @ _COLOR_WEIGHTS, return_index=True)
    values = np.where(rows == len(table) - 1, VOID, rows).astype(np.uint8)
    wanted = pixels.astype(np.int32) @ _COLOR_WEIGHTS
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    if (keys[places] != wanted).any():
        raise InputError(
            "RGB label with a color that no class has; give each class its exact color"
        )
    return values[places]


def _palette_bytes(color_table, highest):
    if color_table.dtype != np.uint8 or color_table.shape != (len(color_table), 3):
        raise InputError(
            f"color_table is {color_table.dtype} {color_table.shape}; give uint8 (n, 3)"
        )
    if not highest < len(color_table) <= 256:
        raise InputError(
            f"color_table has {len(color_table)} rows for indices up to {highest};"
            " give one row for each index, at most 256"
        )
    return color_table.tobytes()


def _png_chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
