"""BMP files of a palette, of kinds that image libraries do not write."""

import struct


def made_bmp(bits, rows, width):
    """A BMP made of packed rows of bytes, from the top, whose color i is the gray level i."""
    colors = b"".join(bytes([level] * 3 + [0]) for level in range(1 << bits))
    pixels = b"".join(bytes(row) + bytes(-len(row) % 4) for row in reversed(rows))
    start = 14 + 40 + len(colors)
    sizes = (0, len(pixels), 2835, 2835, 1 << bits, 0)
    header = struct.pack("<IiiHHIIiiII", 40, width, len(rows), 1, bits, *sizes)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colors + pixels
