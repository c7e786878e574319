"""Tags of TIFF files, and of the EXIF data of other formats, which have the same structure.

A directory has 12 bytes for each tag: its number, its type, how many values it has, and the values
themselves or, if they take more than 4 bytes, where they are.
"""

import struct

from deeplab_tf.errors import InputError

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # the first bytes, and the byte order that they announce
BIG_TIFF = (b"II+\0", b"MM\0+")

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, SAMPLES, STRIP_ROWS, STRIP_BYTES, PLANAR = 266, 273, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, PAGE_KIND, ORIENTATION = 338, 339, 254, 274

# All of the above. Other tags are not read.
_USED = {
    *(WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, SAMPLES, STRIP_ROWS),
    *(STRIP_BYTES, PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES),
    *(EXTRA_SAMPLES, SAMPLE_FORMAT, PAGE_KIND, ORIENTATION),
}
_MOST_PAGES = 1000
_TYPES = {1: "B", 3: "H", 4: "I"}  # the types of whole numbers
# Bits of PAGE_KIND: a smaller copy of another page, and the mask of another page.
_NO_PAGE = 1 | 4
_ALPHA = ((), (1,), (2,))  # values of EXTRA_SAMPLES if alpha is stored; 0 is any other channel
_COLORS = {
    (0, 1): "gray",  # 0 is white
    (1, 1): "gray",
    (2, 3): "rgb",
    (3, 1): "palette",
    (5, 4): "cmyk",
    (6, 3): "rgb",  # YCbCr, as in JPEGs
}
_COLORS_WITH_ALPHA = {(0, 2): "gray+alpha", (1, 2): "gray+alpha", (2, 4): "rgb+alpha"}
_LOSSY = (6, 7, 34892, 50001)  # JPEG, JPEG, lossy JPEG, WebP


class TiffPage:
    """The tags of the only page of a TIFF file.

    Args:
      contents: bytes of the file.

    Attributes:
      order: "<" or ">", the byte order of `struct` formats.
      width, height: in pixels, as stored.
      bits: bits per channel.
      channels: number of channels, alpha included.
      color: as in `Header`.

    Raises:
      InputError: if the file has several pages, or samples that are not whole numbers.
      struct.error or KeyError: if the tags are damaged.
    """

    def __init__(self, contents):
        if contents[:4] in BIG_TIFF:
            raise InputError("BigTIFF is not supported; save it as an ordinary TIFF")
        self.order = ORDERS[contents[:4]]
        self._values = _only_page(contents, self.order)
        self.width, self.height = self.get(WIDTH)[0], self.get(HEIGHT)[0]
        self.bits, self.channels = self.get(BITS, (1,))[0], self.get(SAMPLES, (1,))[0]
        if len(set(self.get(BITS, (1,)))) > 1 or set(self.get(SAMPLE_FORMAT, (1,))) != {1}:
            raise InputError("TIFF of signed or floating-point values; convert it to 8 bits")
        kind = self.get(PHOTOMETRIC, (1,))[0], self.channels
        if kind[0] not in (0, 1, 2, 3, 5, 6):
            raise InputError("TIFF of colors that are neither RGB nor CMYK; convert it to RGB")
        colors = _COLORS
        if self.get(EXTRA_SAMPLES, ()) in _ALPHA:
            colors = _COLORS | _COLORS_WITH_ALPHA
        self.color = colors.get(kind, f"{self.channels} channels")

    def get(self, tag, default=None):
        """The values of a tag, a tuple; KeyError if there are none and no default is given."""
        return self._values[tag] if default is None else self._values.get(tag, default)

    @property
    def lossy(self):
        """Whether the compression changes the values."""
        return self.get(COMPRESSION, (1,))[0] in _LOSSY


def entries(data, order, offset, start=0):
    """The tags of a directory that hold whole numbers.

    Args:
      data: bytes.
      order: "<" or ">".
      offset: where the directory is, counted from `start`.
      start: where the TIFF structure begins in `data`.

    Yields:
      (tag, `struct` format of its values, where they are in `data`).

    Raises:
      struct.error: if the directory leads out of `data`.
    """
    (count,) = struct.unpack_from(order + "H", data, start + offset)
    for place in range(start + offset + 2, start + offset + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", data, place)
        if kind not in _TYPES or not length:
            continue
        form, place = f"{order}{length}{_TYPES[kind]}", place + 8
        if struct.calcsize(form) > 4:
            place = start + struct.unpack_from(order + "I", data, place)[0]
        yield tag, form, place


def _only_page(contents, order):
    (offset,), seen, pages = struct.unpack_from(order + "I", contents, 4), set(), []
    while offset and offset not in seen:
        seen.add(offset)
        if len(seen) > _MOST_PAGES:
            raise InputError(f"TIFF of more than {_MOST_PAGES} pages; save the page to use alone")
        tags = {}
        for tag, form, place in entries(contents, order, offset):
            # Each of thousands of tags may claim the whole file as its values.
            if tag in _USED and tag not in tags:
                tags[tag] = struct.unpack_from(form, contents, place)
        if not tags.get(PAGE_KIND, (0,))[0] & _NO_PAGE:
            pages.append(tags)
        elif not pages:
            raise InputError("begins with a thumbnail, as camera raw files do; convert it to PNG")
        (count,) = struct.unpack_from(order + "H", contents, offset)
        (offset,) = struct.unpack_from(order + "I", contents, offset + 2 + 12 * count)
    if len(pages) != 1:
        raise InputError(f"TIFF of {len(pages)} pages; save the page to use as a file of its own")
    return pages[0]
