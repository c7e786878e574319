"""What the first bytes of a JPEG or PNG say about it, read without decoding any pixel.

Decoders hide what a check must know: whether a PNG held a palette, whether a JPEG was CMYK, and
which way up a viewer would show it.
"""

import struct
from typing import NamedTuple

from deeplab_tf.data.png import SIGNATURE
from deeplab_tf.data.voc import JPEG_START
from deeplab_tf.errors import InputError

JPEG, PNG = "JPEG", "PNG"
COMPONENTS = {"grey": 1, "palette": 1, "rgb": 3, "cmyk": 4, "grey+alpha": 2, "rgb+alpha": 4}

_PNG_COLORS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey+alpha", 6: "rgb+alpha"}
_JPEG_COLORS = {1: "grey", 3: "rgb", 4: "cmyk"}
# Markers of JPEG: start of frame (all but three of a range), start of scan, application data,
# and those that stand alone, without a length.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _APP1 = 0xDA, 0xE1
_ALONE = {0x01, *range(0xD0, 0xD9)}
_ORIENTATION_TAG, _SHORT = 0x0112, 3


class Header(NamedTuple):
    """The format, size and kind of an image file.

    Args:
      format: "JPEG" or "PNG".
      width: pixels, as stored: before any turning that `orientation` asks for.
      height: pixels, as stored.
      color: a key of `COMPONENTS`.
      depth: bits of a component, or of a palette index.
      orientation: EXIF's 1..8; 1, the upright one, where the file does not say.
      palette: the RGB bytes of a palette PNG's colours; b"" for others.
    """

    format: str
    width: int
    height: int
    color: str
    depth: int
    orientation: int = 1
    palette: bytes = b""

    @property
    def components(self):
        """Values stored for a pixel: 4 for CMYK, 1 for a palette index."""
        return COMPONENTS[self.color]

    @property
    def size(self):
        """Width and height as messages write them, such as "500x375"."""
        return f"{self.width}x{self.height}"


def read_header(contents):
    """The `Header` of the contents of an image file.

    Args:
      contents: bytes of a JPEG or PNG.

    Returns:
      `Header`.

    Raises:
      InputError: where they are something else, or end within the header; without the name of
        the file, which the caller knows.

    Example:
      >>> read_header(Path("street.jpg").read_bytes()).size
      '480x360'
    """
    try:
        if contents[:8] == SIGNATURE:
            return _read_png(contents)
        if contents[:2] == JPEG_START:
            return _read_jpeg(contents)
    except (struct.error, IndexError, KeyError):
        raise InputError("header damaged or cut off") from None
    raise InputError("empty file" if not contents else "neither JPEG nor PNG")


def _read_png(contents):
    length, kind, width, height, depth, color = struct.unpack_from(">I4sIIBB", contents, 8)
    if (length, kind) != (13, b"IHDR") or not width or not height:
        raise IndexError
    # Of chunks that come twice the first counts, as for EXIF in JPEG.
    chunks = {}
    for kind, data in _png_chunks(contents):
        chunks.setdefault(kind, data)
    palette = chunks.get(b"PLTE", b"") if color == 3 else b""
    orientation = _exif_orientation(chunks.get(b"eXIf", b""))
    return Header(PNG, width, height, _PNG_COLORS[color], depth, orientation, palette)


def _png_chunks(contents):
    # A chunk: length of the data, kind, data, checksum. Ends quietly where the file is cut off.
    start = len(SIGNATURE)
    while start + 8 <= len(contents):
        length, kind = struct.unpack_from(">I4s", contents, start)
        if kind in (b"PLTE", b"eXIf"):
            yield kind, contents[start + 8 : start + 8 + length]
        start += length + 12


def _read_jpeg(contents):
    frame, orientation = None, 1
    for marker, data in _jpeg_segments(contents):
        if marker in _FRAMES and frame is None:
            frame = struct.unpack_from(">BHHB", data)
        elif marker == _APP1 and data[:6] == b"Exif\0\0" and orientation == 1:
            orientation = _exif_orientation(data[6:])
    depth, height, width, components = frame if frame else (0, 0, 0, 0)
    if not width or not height:
        raise IndexError
    return Header(JPEG, width, height, _JPEG_COLORS[components], depth, orientation)


def _jpeg_segments(contents):
    # A segment: 0xFF once or more, marker, length (which counts itself), data; up to the pixels.
    start = 2
    while True:
        if contents[start] != 0xFF:
            raise IndexError
        while contents[start] == 0xFF:
            start += 1
        marker = contents[start]
        start += 1
        if marker == _SCAN:
            return
        if marker not in _ALONE:
            (length,) = struct.unpack_from(">H", contents, start)
            yield marker, contents[start + 2 : start + length]
            start += max(length, 2)


def _exif_orientation(exif):
    # EXIF is a TIFF file: byte order, 42, offset of a table of 12-byte entries (tag, type, count,
    # value). Broken EXIF is as good as none, because viewers ignore it, too.
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (table,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, table)
        for entry in range(table + 2, table + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
            if (tag, kind) == (_ORIENTATION_TAG, _SHORT):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
