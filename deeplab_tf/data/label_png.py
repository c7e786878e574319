"""Decoding and encoding label maps as PNG files of class indices."""

import struct
import zlib

import numpy as np

from deeplab_tf.data.image_header import (
    DAMAGED,
    PNG_END,
    PNG_START,
    open_image,
    png_depth_and_color,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR, LabelEncoding

# Turns an RGB color into one number.
_COLOR_WEIGHTS = np.array([65536, 256, 1], np.int32)


def decode_classes(contents, num_classes, encoding=None):
    """Decode a label map to class indices.

    Args:
      contents: bytes of a PNG file.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the file; None: it holds class indices.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: as `decode_label`, and for a value that no class has.
    """
    encoding = encoding or LabelEncoding.plain(num_classes)
    label = decode_label(contents, encoding.colors)
    if has_unknown_value(label, encoding.num_values):
        raise InputError(
            f"label value {label[label != VOID].max()} but only {encoding.num_values} classes"
            f" (0..{encoding.num_values - 1}, {VOID} = void); fix the label or the list of classes"
        )
    return encoding.to_classes(label)


def decode_label(contents, colors=None):
    """Decode a label map to the values that the file holds.

    Gray PNGs hold the class indices as gray levels, palette PNGs as palette indices (the palette
    itself is ignored); both have 1, 2, 4 or 8 bits. RGB PNGs are read only with `colors`.

    Args:
      contents: bytes of a PNG file.
      colors: (n, 3) RGB colors 0..255 of the values 0..n-1; (224, 224, 192) is void, 255, unless
        it is one of them. If values have the same color, the first one counts.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: if the bytes are not a readable PNG of class indices.
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
        raise InputError("not a readable PNG (damaged or cut off?); replace it") from None
    if color == "rgb":
        return _match_colors(pixels, colors)
    if color == "gray" and depth < 8:
        # Pillow stretches gray levels of 2 and 4 bits to 0..255; those of 1 bit are booleans.
        return pixels.astype(np.uint8) if depth == 1 else pixels // (255 // (2**depth - 1))
    return pixels


def has_unknown_value(label, num_classes):
    """Whether a label map (H, W) uint8 has a value that is neither a class nor 255."""
    # In uint8, void + 1 is 0, so one maximum is enough to find values that are too large.
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
    # The 0 before each row means that it is not filtered, which compresses label maps best. Pillow
    # would choose filters that suit photographs.
    rows = zlib.compress(np.pad(label, [(0, 0), (1, 0)]).tobytes())
    chunks = (_png_chunk(b"IHDR", header), palette, _png_chunk(b"IDAT", rows))
    return PNG_START + b"".join(chunks) + _png_chunk(b"IEND", b"")


def _unfiltered_pixels(image, contents):
    # The pixels of a PNG of one byte per pixel if it is stored as one chunk of unfiltered rows, as
    # label maps usually are; None for others. Decompressing all rows at once takes half the time
    # of Pillow, which decompresses row by row.
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
    return (
        None if rows[:, 0].any() else rows[:, 1:].copy()
    )  # the first byte of each row is its filter, 0 = none


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
    # Each color as one number; np.unique gives the first class of each color. Void is last, so that
    # a class with void's color has precedence.
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
