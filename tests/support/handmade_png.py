"""PNG files made chunk by chunk, also of kinds that image libraries do not write."""

import itertools
import struct
import zlib

from deeplab_tf.labels import voc_colors


def chunk(kind, data):
    """One chunk of a PNG: kind (4 bytes) and data with length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def made_png(width, rows, depth, color_type, before_pixels=b"", pieces=1):
    """A PNG made of packed rows of bytes."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    cuts = [len(data) * piece // pieces for piece in range(pieces + 1)]
    pixels = [chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts)]
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before_pixels
    return start + b"".join(pixels) + chunk(b"IEND", b"")


def palette(n):
    """A PLTE chunk with the first `n` VOC colors."""
    return chunk(b"PLTE", voc_colors(n).tobytes())
