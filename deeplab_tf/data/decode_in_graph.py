"""Decoding images in TensorFlow operations, which a SavedModel keeps.

For JPEG and PNG files the results are those of `decode_image`: images are turned by their EXIF
orientation, and of values with more than 8 bits the upper 8 are kept.
"""

import tensorflow as tf

from deeplab_tf.data.orientation import TURNS
from deeplab_tf.data.samples import USUAL_BITS
from deeplab_tf.data.tiff_tags import ORIENTATION

# Of every PNG: its first chunk, of 13 bytes, holds the size and the depth. Decoders accept unknown
# chunks before it, in which a file could lie about them.
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_PNG_SIZE = 16  # where a PNG stores its width and height, of 4 bytes each
_PNG_DEPTH = 24  # where it stores its number of bits per channel
_TIFF_TYPES = ((1, 1), (3, 2), (4, 4))  # whole numbers: type, and number of bytes


def decode_in_graph(contents):
    """Decode one image.

    Args:
      contents: string tensor (), the contents of a JPEG or PNG file.

    Returns:
      (H, W, 3) uint8 RGB tensor.

    Raises:
      tf.errors.InvalidArgumentError: if it is another format, or the file is damaged.
    """
    with tf.device("CPU"):  # there are many small steps, and no decoder for GPUs
        is_jpeg, is_png = _starts_with(contents, b"\xff\xd8"), _starts_with(contents, _PNG_START)
        # The operation also decodes GIF and WebP, but not as `decode_image` does.
        check = tf.debugging.Assert(is_jpeg | is_png, ["neither JPEG nor PNG"])
        with tf.control_dependencies([check]):
            contents = tf.identity(contents)
        file = _Bytes(contents)
        pixels = tf.cond(
            is_png & tf.equal(file.number(_PNG_DEPTH, 1), 16),
            lambda: _upper_bits(tf.io.decode_png(contents, channels=3, dtype=tf.uint16)),
            lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        )
        exif = tf.cond(is_jpeg, lambda: _exif_of_jpeg(file), lambda: _exif_of_png(file))
        return _turn(pixels, _orientation(file, exif))


def read_size_in_graph(contents):
    """The size that the header of an image file says, without decoding it.

    Args:
      contents: string tensor (), the contents of a JPEG or PNG file.

    Returns:
      (2,) int32, height and width before the image is turned.

    Raises:
      tf.errors.InvalidArgumentError: if it is another format, or cut off.
    """
    with tf.device("CPU"):
        return tf.cond(
            _starts_with(contents, _PNG_START),
            lambda: _size_of_png(contents),
            lambda: tf.image.extract_jpeg_shape(contents)[:2],
        )


def _starts_with(contents, start):
    return tf.equal(tf.strings.substr(contents, 0, len(start)), start)


def _size_of_png(contents):
    size = tf.strings.substr(contents, _PNG_SIZE, 8)
    return tf.ensure_shape(tf.io.decode_raw(size, tf.int32, little_endian=False), [2])[::-1]


class _Bytes:
    """The bytes of a file; those after its end read as 0."""

    def __init__(self, contents):
        self.values = tf.pad(tf.io.decode_raw(contents, tf.uint8), [[0, 1]])
        self.size = tf.size(self.values, tf.int64) - 1

    def number(self, place, length, little=False):
        """The whole number in `length` bytes at a place, int64; little-endian if `little`."""
        places = tf.minimum(place + tf.range(length, dtype=tf.int64), self.size)
        parts = tf.cast(tf.gather(self.values, places), tf.int64)
        weights = tf.constant([256**power for power in reversed(range(length))], tf.int64)
        return tf.reduce_sum(tf.where(little, parts[::-1], parts) * weights)

    def has(self, text):
        """Whether these four letters are anywhere."""
        count = tf.maximum(self.size - 3, 0)
        shifted = (self.values[i : count + i] for i in range(4))
        equal = [tf.equal(part, letter) for part, letter in zip(shifted, text, strict=True)]
        return tf.reduce_any(equal[0] & equal[1] & equal[2] & equal[3])

    def is_at(self, place, text):
        """Whether these four letters are at a place."""
        return tf.equal(self.number(place, 4), int.from_bytes(text, "big"))


def _upper_bits(values):
    # As `to_8_bits` in samples.py.
    values = tf.cast(values, tf.int32)
    highest, bits = tf.reduce_max(values), tf.constant(16)
    for usual in reversed(USUAL_BITS):
        bits = tf.where((highest > 0) & (highest < 1 << usual), usual, bits)
    return tf.cast(tf.bitwise.right_shift(values, bits - 8), tf.uint8)


def _exif_of_jpeg(file):
    # Where the EXIF data is; the end of the file if there is none. Before its pixels a JPEG has
    # segments. Each is the byte 255, its kind, its length (2 bytes, which it includes), and its
    # contents.
    def goes_on(place, found):
        is_segment = tf.equal(file.number(place, 1), 0xFF)
        are_pixels = tf.equal(file.number(place + 1, 1), 0xDA)
        return tf.equal(found, file.size) & is_segment & ~are_pixels

    def step(place, found):
        kind = file.number(place + 1, 1)
        is_exif = tf.equal(kind, 0xE1) & file.is_at(place + 4, b"Exif")
        is_fill = tf.equal(kind, 0xFF)  # 255 may be repeated
        after = tf.where(is_fill, place + 1, place + 2 + file.number(place + 2, 2))
        return after, tf.where(is_exif, place + 10, found)

    return tf.while_loop(goes_on, step, [tf.constant(2, tf.int64), file.size])[1]


def _exif_of_png(file):
    # As `_exif_of_jpeg`. The chunks of a PNG are length, kind, contents and checksum. A large file
    # has thousands of them, so they are searched only if the letters eXIf occur in the file.
    def goes_on(place, found):
        return tf.equal(found, file.size) & (place < file.size)

    def step(place, found):
        found = tf.where(file.is_at(place + 4, b"eXIf"), place + 8, found)
        return place + 12 + file.number(place, 4), found

    return tf.cond(
        file.has(b"eXIf"),
        lambda: tf.while_loop(goes_on, step, [tf.constant(8, tf.int64), file.size])[1],
        lambda: file.size,
    )


def _orientation(file, exif):
    # As `read_orientation`, of EXIF data that begins at a place; 1 if that is the end of the file.
    little = file.is_at(exif, b"II*\0")
    first = exif + file.number(exif + 4, 4, little)
    zero, is_known = tf.constant(0, tf.int64), little | file.is_at(exif, b"MM\0*")
    count = tf.where(is_known, file.number(first, 2, little), zero)

    def goes_on(entry, found):
        return tf.equal(found, 0) & (entry < count) & (first + 12 * entry < file.size)

    def step(entry, found):
        place, value = first + 2 + 12 * entry, zero
        for number, length in _TIFF_TYPES:
            is_type = tf.equal(file.number(place + 2, 2, little), number)
            value = tf.where(is_type, file.number(place + 8, length, little), value)
        is_orientation = tf.equal(file.number(place, 2, little), ORIENTATION)
        return entry + 1, tf.where(is_orientation, value, found)

    found = tf.while_loop(goes_on, step, [zero, zero])[1]
    return tf.where((found >= 1) & (found <= len(TURNS)), found, zero + 1)


def _turn(pixels, orientation):
    exchange, *reverse = (
        tf.gather([TURNS[number][part] for number in sorted(TURNS)], orientation - 1)
        for part in range(3)
    )
    pixels = tf.cond(exchange, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    for axis, is_reversed in enumerate(reverse):
        pixels = _reversed_if(is_reversed, pixels, axis)
    return pixels


def _reversed_if(condition, pixels, axis):
    # A slice with a step of -1 takes ten times as long.
    return tf.cond(condition, lambda: tf.reverse(pixels, [axis]), lambda: pixels)
