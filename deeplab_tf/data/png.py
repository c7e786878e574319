"""Label maps as PNG files: reading class indices in TensorFlow ops, writing PNGs."""

import functools
import struct
import zlib

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3

# A PNG starts with the signature and the header chunk: length 8:12, "IHDR" 12:16, width,
# height, bit depth, colour type, compression, filter, interlace, and its checksum 29:33.
HEADER_SIZE = 33
BIT_DEPTH, COLOR_TYPE, CHECKSUM = 24, 25, slice(29, 33)

KEY_WEIGHTS = np.array([65536, 256, 1], np.int32)


def decode_label(contents, colors=None):
    """Class indices held by the bytes of a PNG file.

    Grey PNGs hold the indices as grey levels, palette PNGs as palette indices (the palette
    itself is ignored), both with 1, 2, 4 or 8 bits. RGB PNGs are understood only with
    `colors`. Works eagerly and, as TensorFlow ops alone, inside tf.data.

    Args:
      contents: scalar string tensor or bytes, the file's contents.
      colors: (num_classes, 3) RGB colours 0..255 of the classes, by which RGB PNGs are read;
        (224, 224, 192) is void unless a class has it.

    Returns:
      (H, W) uint8 tensor of class indices, 255 = void.

    Raises:
      InputError: called eagerly, where this is no PNG of class indices; inside tf.data
        `tf.errors.InvalidArgumentError` instead.
    """
    if not tf.executing_eagerly():
        return _decode(tf.convert_to_tensor(contents), colors)
    try:
        return _decode(tf.convert_to_tensor(contents), colors)
    except tf.errors.InvalidArgumentError as error:
        raise InputError(f"not a readable PNG ({_first_line(error)}); replace it") from None


def encode_label(label, color_table=None):
    """An 8-bit PNG of a label map, with a palette or as grey levels.

    Args:
      label: (H, W) uint8 array of class indices.
      color_table: (n, 3) uint8 array of at most 256 RGB colours, row i for index i; None: the
        PNG is grey.

    Returns:
      The file's contents, bytes.

    Raises:
      InputError: where the arrays have other shapes or types, or an index has no colour.
    """
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8 or label.size == 0:
        raise InputError(f"label is {label.dtype} {label.shape}; give uint8 (H, W)")
    palette = b"" if color_table is None else _palette(np.asarray(color_table), label.max())
    height, width = label.shape
    header = struct.pack(">IIBBBBB", width, height, 8, PALETTE if palette else GREY, 0, 0, 0)
    # Each row is led by the number of its filter: 0, none, with which label maps are smallest.
    rows = np.pad(label, [(0, 0), (1, 0)]).tobytes()
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + palette
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _palette(color_table, highest):
    if color_table.dtype != np.uint8 or color_table.shape != (len(color_table), 3):
        raise InputError(
            f"color_table is {color_table.dtype} {color_table.shape}; give uint8 (n, 3)"
        )
    if not highest < len(color_table) <= 256:
        raise InputError(
            f"color_table has {len(color_table)} rows for indices up to {highest};"
            " give one row for each index, at most 256"
        )
    return _chunk(b"PLTE", color_table.tobytes())


def _chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _decode(contents, colors):
    # Zeros behind a file that is too short make its header readable and wrong.
    padded = tf.strings.join([contents, b"\0" * HEADER_SIZE])
    header = tf.io.decode_raw(tf.strings.substr(padded, 0, HEADER_SIZE), tf.uint8)
    with tf.control_dependencies(_check_header(header, contents, colors)):
        header = tf.identity(header)  # what follows waits for the checks
    plain = _without_palette(contents, header)
    if colors is None:
        return _decode_indices(plain, header)
    return tf.cond(
        header[COLOR_TYPE] == RGB,
        lambda: _match_colors(tf.io.decode_png(plain, channels=3), colors),
        lambda: _decode_indices(plain, header),
    )


def _check_header(header, contents, colors):
    is_png = tf.strings.substr(tf.strings.join([contents, b"\0" * 8]), 0, 8) == SIGNATURE
    kind, depth = header[COLOR_TYPE], header[BIT_DEPTH]
    return [
        _require(is_png, "not a PNG file; labels are PNGs of class indices"),
        _require(
            (kind == GREY) | (kind == PALETTE) | (kind == RGB),
            "PNG with an alpha channel; labels are palette or grey PNGs of class indices",
        ),
        _require(depth <= 8, "PNG of 16 bits; labels hold class indices of at most 8 bits"),
        _require(
            (kind != RGB) | (colors is not None),
            "RGB label but no colors are given; give each class its color, or write class"
            " indices as a palette or grey PNG",
        ),
    ]


def _without_palette(contents, header):
    # TensorFlow turns palette PNGs into RGB and cannot be told not to. A palette PNG whose
    # header says grey decodes to the indices themselves. The chunks between header and pixels
    # go, because the decoder would warn of the palette in each file.
    is_palette = header[COLOR_TYPE] == PALETTE
    patched = tf.bitwise.bitwise_xor(header, tf.cast(is_palette, tf.uint8) * _to_grey())
    start = _pixels_start(contents)
    pixels = tf.strings.substr(contents, start, tf.strings.length(contents) - start)
    return tf.strings.join([_to_string(patched), pixels])


@functools.cache
def _to_grey():
    # The checksum is affine: turning the same bits of any header changes it by the same bits.
    zeros = bytes(HEADER_SIZE - 4 - 12)
    turned = bytearray(zeros)
    turned[COLOR_TYPE - 12] = PALETTE ^ GREY
    mask = np.zeros(HEADER_SIZE, np.uint8)
    mask[COLOR_TYPE] = PALETTE ^ GREY
    mask[CHECKSUM] = list(struct.pack(">I", zlib.crc32(turned) ^ zlib.crc32(zeros)))
    return mask


def _pixels_start(contents):
    # Offset of the first IDAT chunk, or of the end where there is none.
    end = tf.strings.length(contents)

    def is_before_pixels(offset):
        kind = tf.strings.substr(contents, tf.minimum(offset + 4, end), 4)
        return (offset < end) & (kind != b"IDAT")

    def next_chunk(offset):
        size = tf.strings.substr(tf.strings.join([contents, b"\0" * 4]), offset, 4)
        size = tf.cast(tf.io.decode_raw(size, tf.int32, little_endian=False)[0], tf.int64)
        # A chunk has 12 bytes around its data. A broken size must neither stop the walk from
        # advancing nor lead it past the end.
        step = tf.clip_by_value(size, 0, tf.cast(end, tf.int64)) + 12
        return (tf.minimum(offset + tf.cast(step, tf.int32), end),)

    first = tf.minimum(HEADER_SIZE, end)
    return tf.while_loop(is_before_pixels, next_chunk, [first])[0]


def _to_string(values):
    # TensorFlow has no op from bytes to a string: join the one-byte strings.
    letters = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(letters, tf.cast(values, tf.int32)))


def _decode_indices(contents, header):
    # The decoder stretches grey levels of 1, 2 and 4 bits to 0..255.
    highest = tf.bitwise.left_shift(1, tf.cast(header[BIT_DEPTH], tf.int32)) - 1
    levels = tf.io.decode_png(contents, channels=1)[..., 0]
    return levels // tf.cast(255 // highest, tf.uint8)


def _match_colors(pixels, colors):
    keys, values = _color_keys(colors)
    wanted = tf.reduce_sum(tf.cast(pixels, tf.int32) * KEY_WEIGHTS, axis=-1)
    flat = tf.reshape(wanted, [-1])
    # Every wanted key lies at or before the last row, which holds a key larger than any.
    rows = tf.searchsorted(keys, flat)
    known = tf.gather(keys, rows) == flat
    message = "RGB label with a color that no class has; give each class its exact color"
    with tf.control_dependencies([_require(tf.reduce_all(known), message)]):
        return tf.reshape(tf.gather(values, rows), tf.shape(wanted))


def _color_keys(colors):
    # Keys in ascending order with their class indices; of equal colours the first class wins.
    colors = np.concatenate([np.reshape(colors, (-1, 3)), [VOID_COLOR]]).astype(np.int32)
    keys, rows = np.unique(colors @ KEY_WEIGHTS, return_index=True)
    values = np.where(rows == len(colors) - 1, VOID, rows)
    largest = 1 << 24
    return (
        tf.constant(np.append(keys, largest), tf.int32),
        tf.constant(np.append(values, VOID), tf.uint8),
    )


def _require(condition, message):
    if not tf.executing_eagerly():
        return tf.debugging.Assert(condition, [message])
    if not bool(condition):
        raise InputError(message)
    return tf.no_op()


def _first_line(error):
    text = error.message.partition("}}")[2] or error.message
    return text.partition(" [Op:")[0].strip().splitlines()[0].rstrip(".")
