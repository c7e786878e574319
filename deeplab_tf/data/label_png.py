"""Decoding label maps from files of class indices, and encoding them as PNG files."""

import struct
import zlib

import numpy as np

from deeplab_tf.data.image_header import (
    DAMAGED,
    MAX_PIXELS,
    PNG_START,
    find_format,
    open_image,
    orientation_of,
    png_depth_and_color,
    read_header,
)
from deeplab_tf.data.orientation import turn
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR, LabelEncoding

LABEL_FORMATS = ("PNG", "TIFF", "BMP", "WebP")  # of `Header`; JPEG would change the values

# Bytes that zlib can make of one byte, at most.
_MAX_EXPANSION = 1032

_BLOCK = 1 << 22  # pixels whose colors are looked up at a time

# Turns an RGB color into one number.
_COLOR_WEIGHTS = np.array([65536, 256, 1], np.int32)


def decode_classes(contents, num_classes, encoding=None):
    """Decode a label map to class indices.

    Args:
      contents: bytes of a label file, see `decode_label`; an array of class indices, such as that
        of a `HeadsExample`, is returned as it is.
      num_classes: number of classes.
      encoding: `LabelEncoding` of the file; None: it holds class indices.

    Returns:
      (H, W) uint8 array of class indices, 255 = void.

    Raises:
      InputError: as `decode_label`, and for a value that no class has.
    """
    if isinstance(contents, np.ndarray):
        return contents
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

    Gray pictures hold the class indices as gray levels, palette pictures as palette indices (the
    palette itself is ignored); both have 1, 2, 4 or 8 bits. RGB pictures are read only with
    `colors`, except that WebP files, which cannot be gray, may hold gray levels as RGB.

    Args:
      contents: bytes of a PNG, TIFF, BMP or lossless WebP file.
      colors: (n, 3) RGB colors 0..255 of the values 0..n-1; (224, 224, 192) is void, 255, unless
        it is one of them. If values have the same color, the first one counts.

    Returns:
      (H, W) uint8 array of class indices, 255 = void, turned as the file's orientation says.

    Raises:
      InputError: if the bytes are not a readable picture of class indices.
    """
    kind = find_format(contents)
    if kind not in LABEL_FORMATS:
        raise InputError("not a PNG, TIFF, BMP or WebP file; save class indices as a PNG")
    try:
        return _decode_png(contents, colors) if kind == "PNG" else _decode_other(contents, colors)
    except InputError:
        raise
    except DAMAGED:
        raise InputError(f"not a readable {kind} (damaged or cut off?); replace it") from None


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


def _decode_png(contents, colors):
    pixels = _unfiltered_pixels(contents)
    if pixels is not None:
        return pixels
    image, (depth, color) = open_image(contents), png_depth_and_color(contents)
    _check_label_kind("PNG", depth, color, colors)
    pixels = np.array(open_image(contents, verify=True))
    return turn(_indices(pixels, depth, color, colors), orientation_of(contents, image))


def _decode_other(contents, colors):
    header = read_header(contents)
    kind, color = header.format, header.color
    if header.lossy:
        raise InputError(f"{kind} with lossy compression, which changes the values; use PNG")
    if kind == "BMP" and color != "rgb":
        contents, color = _with_palette(contents), "palette"
    if kind == "WebP" and color == "rgb" and colors is None:
        pixels = np.array(open_image(contents))
        if (pixels[..., :1] == pixels).all():
            return turn(pixels[..., 0].copy(), header.orientation)
    _check_label_kind(kind, header.depth, color, colors)
    pixels = np.array(open_image(contents))
    return turn(_indices(pixels, header.depth, color, colors), header.orientation)


def _with_palette(contents):
    # The file with a color in its palette: if a palette has only gray levels, Pillow gives these
    # levels, which need not be the indices.
    first = 14 + struct.unpack_from("<I", contents, 14)[0]
    return contents[:first] + bytes([1, 2, 3]) + contents[first + 3 :]


def _indices(pixels, depth, color, colors):
    if color == "rgb":
        return _match_colors(pixels, colors)
    if color == "gray" and depth < 8:
        # Pillow stretches gray levels of 2 and 4 bits to 0..255; those of 1 bit are booleans.
        return pixels.astype(np.uint8) if depth == 1 else pixels // (255 // (2**depth - 1))
    return pixels


def _unfiltered_pixels(contents):
    # The pixels of a PNG of one byte per pixel that has unfiltered rows and only the chunks that
    # every PNG has, as label maps usually are; None for others, among them most damaged ones.
    # Decompressing all rows at once takes half the time of Pillow, which does it row by row.
    chunks = _png_chunks(contents)
    kinds = [kind for kind, _ in chunks]
    if len(chunks) < 3 or kinds[0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    # 8 bits, palette or gray, and the only methods of compression, filter and order without passes.
    before = {(8, 3, 0, 0, 0): [b"PLTE"], (8, 0, 0, 0, 0): []}.get(tuple(rest))
    if before is None or not 0 < width * height <= MAX_PIXELS:
        return None
    pieces = [data for _, data in chunks[1 + len(before) : -1]]
    if kinds[1:] != [*before, *[b"IDAT"] * len(pieces), b"IEND"]:
        return None
    data, size = b"".join(pieces), height * (width + 1)
    if len(data) * _MAX_EXPANSION > MAX_PIXELS:
        return None
    # With a buffer of the right size, zlib need not copy the rows; it has no limit of its own.
    rows = zlib.decompress(data, bufsize=min(size, 2**24))
    if len(rows) != size:
        return None
    rows = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    # The first byte of each row is its filter, 0 = none.
    return None if rows[:, 0].any() else rows[:, 1:].copy()


def _png_chunks(contents):
    # [(kind, data), ...] of a PNG; an empty list if a checksum is wrong, as it is where the file
    # was cut off.
    chunks, place, whole = [], len(PNG_START), memoryview(contents)
    while place + 12 <= len(contents):
        (length,) = struct.unpack_from(">I", contents, place)
        end = place + 8 + length
        if struct.pack(">I", zlib.crc32(whole[place + 4 : end])) != contents[end : end + 4]:
            return []
        chunks.append((contents[place + 4 : place + 8], whole[place + 8 : end]))
        place = end + 4
    return chunks


def _check_label_kind(kind, depth, color, colors):
    what = {"cmyk": "CMYK colors"}.get(color, color)
    what = "an alpha channel" if color.endswith("alpha") else what
    if color not in ("gray", "palette", "rgb"):
        raise InputError(f"{kind} with {what}; save class indices as a palette or gray PNG")
    if depth > 8:
        raise InputError(f"{kind} of {depth} bits; save class indices with at most 8 bits")
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
    label = np.empty(pixels.shape[:2], np.uint8)
    rows = max(1, _BLOCK // pixels.shape[1])  # the numbers take 20 times the memory of the label
    for top in range(0, len(pixels), rows):
        wanted = pixels[top : top + rows].astype(np.int32) @ _COLOR_WEIGHTS
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        if (keys[places] != wanted).any():
            raise InputError(
                "RGB label with a color that no class has; give each class its exact color"
            )
        label[top : top + rows] = values[places]
    return label


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
