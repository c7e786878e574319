"""Reading the header of an image file: format, size, colors and EXIF orientation.

A data check needs facts that decoding hides: whether a PNG has a palette, whether a JPEG is CMYK,
and whether viewers turn the image.
"""

import io
import struct
import tokenize
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from deeplab_tf.data.array_files import read_array, read_array_header
from deeplab_tf.data.orientation import EXIF_START, read_orientation, set_upright, turned_size
from deeplab_tf.data.tiff_tags import BIG_TIFF, ORDERS, TiffPage
from deeplab_tf.errors import InputError

JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # an empty chunk with its checksum
FORMATS = "JPEG, PNG, TIFF, BMP, WebP or .npy"

# Larger images are refused, so that a small file cannot fill the memory.
MAX_PIXELS = 2**29 // 3

# Pillow's default; with True it would fill cut-off images with gray instead of refusing them.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow warns about damaged EXIF data, which viewers ignore, and about large TIFF files.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# What Pillow, and NumPy for .npy, raise for damaged files.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error,
    ZeroDivisionError, zlib.error, tokenize.TokenError, Image.DecompressionBombError,
)  # fmt: skip

_PNG_COLORS = {0: "gray", 2: "rgb", 3: "palette", 4: "gray+alpha", 6: "rgb+alpha"}
_MODES = {
    "1": "gray",
    "L": "gray",
    "P": "palette",
    "RGB": "rgb",
    "RGBA": "rgb+alpha",
    "CMYK": "cmyk",
}


class Header(NamedTuple):
    """Format, size and kind of an image file.

    Args:
      format: "JPEG", "PNG", "TIFF", "BMP", "WebP" or ".npy".
      width: pixels, as viewers show it: after the turn that `orientation` asks for.
      height: pixels, as viewers show it.
      color: "gray", "rgb", "palette", "cmyk", "gray+alpha", "rgb+alpha", or "6 channels" if they
        have another meaning.
      depth: bits per channel, or per palette index.
      orientation: EXIF orientation 1..8; 1 (upright) if the file gives none.
      palette: RGB bytes of the palette; b"" for other files.
      lossy: whether the compression changes the values of the pixels.
    """

    format: str
    width: int
    height: int
    color: str
    depth: int
    orientation: int = 1
    palette: bytes = b""
    lossy: bool = False

    @property
    def size(self):
        """Width and height as messages show them, such as "500x375"."""
        return f"{self.width}x{self.height}"


def find_format(contents):
    """The format of an image file, as in `Header`; "" for any other."""
    if contents.startswith(JPEG_START):
        return "JPEG"
    if contents.startswith(PNG_START):
        return "PNG"
    if contents[:4] in ORDERS or contents[:4] in BIG_TIFF:
        return "TIFF"
    if contents[:4] == b"RIFF" and contents[8:12] == b"WEBP":
        return "WebP"
    if contents.startswith(b"\x93NUMPY"):
        return ".npy"
    return "BMP" if contents.startswith(b"BM") else ""


def read_header(contents):
    """Read format, size and kind of an image without decoding its pixels.

    Args:
      contents: bytes of an image file.

    Returns:
      `Header`.

    Raises:
      InputError: if the file is of another format, has several pages, or its header is damaged.
        The message does not name the file, which the caller knows.

    Example:
      >>> read_header(Path("street.jpg").read_bytes()).size
      '480x360'
    """
    kind = find_format(contents)
    if not kind:
        raise InputError(f"not a {FORMATS} file" if contents else "empty file")
    try:
        if kind == ".npy":
            height, width, channels = load_array(contents).shape
            return Header(".npy", width, height, color_of_channels(channels), 8)
        if kind == "TIFF":
            return _header_of_tiff(contents)
        image = open_image(contents)
        orientation = orientation_of(contents, image)
        size = turned_size(image.size, orientation)
        if kind == "PNG":
            depth, color = png_depth_and_color(contents)
            palette = bytes(image.palette.palette) if color == "palette" and image.palette else b""
            return Header("PNG", *size, color, depth, orientation, palette)
        if kind == "BMP":
            return Header("BMP", *size, *_bmp_color_and_depth(image, contents), 1, _palette(image))
        lossy = kind == "JPEG" or b"VP8L" not in contents  # JPEG is read only with 8 bits
        return Header(kind, *size, _MODES[image.mode], 8, orientation, b"", lossy)
    except InputError:
        raise
    except DAMAGED:
        raise InputError("header damaged or cut off") from None


def open_image(contents, verify=False):
    """Open an image with Pillow; its pixels are decoded when they are first used.

    Unlike `PIL.Image.open` it does not warn about images that are large but acceptable, and no
    image is turned by its orientation, as Pillow turns TIFF files.

    Args:
      contents: bytes of an image file that is not .npy.
      verify: whether to compare the checksums of a PNG, which decoding skips.

    Returns:
      `PIL.Image.Image`.

    Raises:
      InputError: if the image has more than `MAX_PIXELS` pixels, or is an animation.
      One of `DAMAGED`: if Pillow cannot read it.
    """
    kind = find_format(contents)
    if kind == "JPEG":
        image = JpegImageFile(io.BytesIO(contents))
    elif kind == "TIFF":
        image = TiffImageFile(io.BytesIO(set_upright(contents)))
    elif kind == "WebP":
        image = WebPImageFile(io.BytesIO(contents))
        if image.is_animated:
            raise InputError(
                f"animated WebP of {image.n_frames} frames; save one frame as an image"
            )
    elif kind == "BMP":
        image = BmpImageFile(io.BytesIO(contents))
    else:
        if verify:
            PngImageFile(io.BytesIO(contents)).verify()
            if PNG_END not in contents:
                raise SyntaxError("the PNG has no end chunk")
        image = PngImageFile(io.BytesIO(contents))
    check_pixels(image.width, image.height)
    return image


def check_pixels(width, height):
    """Raise `InputError` if an image of this size has more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{width}x{height} pixels are too many (limit: {MAX_PIXELS}); make it smaller"
        )


def orientation_of(contents, image):
    """The EXIF orientation 1..8 of a file that `open_image` opened."""
    exif = _exif(contents, image)
    return read_orientation(exif) if exif else 1


def without_turn(contents):
    """An image file without its EXIF orientation, so that every program shows it as stored.

    Args:
      contents: bytes of an image file.

    Returns:
      The bytes with the orientation set to 1; the same bytes if the file has none, or is damaged.
    """
    try:
        exif = _exif(contents, open_image(contents)).removeprefix(EXIF_START)
    except (InputError, *DAMAGED):
        return contents
    if read_orientation(exif) == 1:
        return contents
    upright = set_upright(exif)
    start = contents.find(exif)
    if start < 0:
        # The EXIF data of a JPEG may go on in a further segment, behind the head of that segment.
        last = max(place for place, byte in enumerate(exif) if upright[place] != byte)
        exif, upright = exif[: last + 1], upright[: last + 1]
        start = contents.find(exif)
        if start < 0:
            return contents
    changed, end = bytearray(contents), start + len(exif)
    changed[start:end] = upright
    if contents.startswith(PNG_START):
        struct.pack_into(">I", changed, end, zlib.crc32(b"eXIf" + upright))
    return bytes(changed)


def load_array(contents):
    """Read a .npy file of an image.

    Args:
      contents: bytes of the file.

    Returns:
      (H, W, C) uint8 array.

    Raises:
      InputError: if the array has another type or shape.
      ValueError: if the file is damaged.
    """
    header = read_array_header(contents)
    shape, _, dtype, _ = header
    if len(shape) not in (2, 3) or dtype != np.uint8 or 0 in shape:
        raise InputError(f".npy file of {dtype} {shape}; save an image as uint8 (H, W, C)")
    check_pixels(*shape[1::-1])
    array = read_array(contents, header)
    return np.array(array if array.ndim == 3 else array[..., None], order="C")


def color_of_channels(channels):
    """The kind of color of an array of some number of channels, as in `Header`."""
    return {1: "gray", 3: "rgb"}.get(channels, f"{channels} channels")


def png_depth_and_color(contents):
    """Bits per channel and kind of color of a PNG, as in `Header`."""
    # Pillow does not give the depth. These bytes of the first chunk, IHDR, hold both.
    return contents[24], _PNG_COLORS[contents[25]]


def _exif(contents, image):
    # The EXIF data of an opened image; b"" if there is none. It may come after a PNG's pixels.
    if image.format == "TIFF":
        return contents
    if image.format == "PNG" and "exif" not in image.info and b"eXIf" in contents:
        image = PngImageFile(io.BytesIO(contents))
        try:
            image.load()
        except DAMAGED:
            return b""
    return image.info.get("exif", b"")


def _header_of_tiff(contents):
    page, orientation = TiffPage(contents), read_orientation(contents)
    check_pixels(page.width, page.height)
    palette = _palette(open_image(contents)) if page.color == "palette" else b""
    size = turned_size((page.width, page.height), orientation)
    return Header("TIFF", *size, page.color, page.bits, orientation, palette, page.lossy)


def _bmp_color_and_depth(image, contents):
    color = _MODES[image.mode]
    # The 12-byte header of OS/2 stores the bits at another place.
    bits = contents[24] if contents[14] == 12 else contents[28]
    return color, bits if color in ("gray", "palette") else 8


def _palette(image):
    return bytes(image.getpalette("RGB")) if image.mode == "P" else b""
