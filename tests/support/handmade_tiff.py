"""TIFF files made tag by tag, also of kinds that image libraries do not write."""

import struct
import zlib

import numpy as np


def packed_12_bits(values):
    """Rows (H, n) of 12-bit values as bytes (H, ceil(1.5 n))."""
    bits = np.unpackbits(values.astype(">u2")[..., None].view(np.uint8), axis=2)[..., 4:]
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def made_tiff(
    array,
    photometric=None,
    order="<",
    extra=None,
    planar=False,
    rows=None,
    tile=None,
    deflate=False,
    differences=False,
    bits=None,
    more=(),
    pages=1,
):
    """A TIFF of the samples (H, W, C), uint8 or uint16, as they are.

    Args:
      array: the samples.
      photometric: 0 white is 0, 1 black is 0, 2 RGB, 5 CMYK; None: 2 for 3 channels, otherwise 1.
      order: "<" or ">", the order of bytes.
      extra: what the channels beyond the colors are: 0 anything, 1 or 2 alpha.
      planar: whether each channel is stored by itself.
      rows: of a strip; None: all.
      tile: side of tiles, a multiple of 16; None: strips.
      deflate: whether to compress.
      differences: whether to store the differences of neighbors.
      bits: 12 packs the values.
      more: (tag, type, values) of more tags, or of other values; type 3 is 16 bits, 4 is 32.
      pages: how often the page is there.
    """
    array = array[..., None] if array.ndim == 2 else array
    height, width, channels = array.shape
    planes = np.moveaxis(array, 2, 0)[..., None] if planar else array[None]
    pieces = [piece for plane in planes for piece in _pieces(plane, rows or height, tile)]
    contents = [_encoded(piece, order, deflate, differences, bits) for piece in pieces]
    head = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    data, places = head, []
    for piece in contents:
        places.append(len(data))
        data += piece + bytes(len(piece) % 2)
    size = [(322, 3, [tile]), (323, 3, [tile])] if tile else [(278, 3, [rows or height])]
    where = (324, 325) if tile else (273, 279)
    kind = (2 if channels == 3 else 1) if photometric is None else photometric
    tags = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits or 8 * array.itemsize] * channels),
        (259, 3, [8 if deflate else 1]), (262, 3, [kind]), (277, 3, [channels]),
        (284, 3, [2 if planar else 1]), (317, 3, [2 if differences else 1]),
        *size, (where[0], 4, places), (where[1], 4, [len(piece) for piece in contents]),
        *([] if extra is None else [(338, 3, extra)]),
    ]  # fmt: skip
    tags = [tag for tag in tags if tag[0] not in [tag for tag, *_ in more]] + list(more)
    previous = 4  # where the place of the next page is written
    for _ in range(pages):
        data = bytearray(data + bytes(len(data) % 2))
        struct.pack_into(order + "I", data, previous, len(data))
        previous = len(data) + 2 + 12 * len(tags)
        data = bytes(data) + _directory(sorted(tags), order, len(data))
    return data


def _pieces(plane, rows, tile):
    if not tile:
        return [plane[top : top + rows] for top in range(0, len(plane), rows)]
    fill = [(0, -plane.shape[0] % tile), (0, -plane.shape[1] % tile), (0, 0)]
    padded = np.pad(plane, fill)
    return [
        padded[top : top + tile, left : left + tile]
        for top in range(0, padded.shape[0], tile)
        for left in range(0, padded.shape[1], tile)
    ]


def _encoded(piece, order, deflate, differences, bits):
    if differences:
        piece = np.concatenate([piece[:, :1], np.diff(piece, axis=1)], axis=1)
    rows = piece.reshape(len(piece), -1)
    rows = packed_12_bits(rows) if bits == 12 else rows.astype(rows.dtype.newbyteorder(order))
    return zlib.compress(rows.tobytes()) if deflate else rows.tobytes()


def _directory(tags, order, start):
    directory, more = struct.pack(order + "H", len(tags)), b""
    for tag, kind, values in tags:
        packed = struct.pack(f"{order}{len(values)}{'_BsHI'[kind]}", *values)
        if len(packed) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(more)
            packed, more = struct.pack(order + "I", place), more + packed + bytes(len(packed) % 2)
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return directory + bytes(4) + more
