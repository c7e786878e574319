"""Reading the header of an image file: format, size, colors and EXIF orientation.

A data check needs facts that decoding hides: whether a PNG has a palette, whether a JPEG is CMYK,
and which way up a viewer shows the image.
"""

import io
import struct
import warnings
import zlib
from typing import NamedTuple

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from deeplab_tf.errors import InputError

JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # an empty chunk with its checksum

# Larger images are refused, so that a small file cannot fill the memory.
MAX_PIXELS = 2**29 // 3

# Pillow's default; with True it would fill cut-off images with gray instead of refusing them.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow warns about damaged EXIF data, which viewers ignore.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# What Pillow raises for damaged files.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error,
    zlib.error,
)  # fmt: skip

_PNG_COLORS = {0: "gray", 2: "rgb", 3: "palette", 4: "gray+alpha", 6: "rgb+alpha"}
_JPEG_COLORS = {"L": "gray", "RGB": "rgb", "CMYK": "cmyk"}
_ORIENTATION_TAG = 0x0112


class Header(NamedTuple):
    """Format, size and kind of an image file.

    Args:
      format: "JPEG" or "PNG".
      width: pixels, as stored: before the rotation that `orientation` asks for.
      height: pixels, as stored.
      color: "gray", "rgb", "palette", "cmyk", "gray+alpha" or "rgb+alpha".
      depth: bits per channel, or per palette index.
      orientation: EXIF orientation 1..8; 1 (upright) if the file gives none.
      palette: RGB bytes of the palette of a PNG; b"" for other files.
    """

    format: str
    width: int
    height: int
    color: str
    depth: int
    orientation: int = 1
    palette: bytes = b""

    @property
    def size(self):
        """Width and height as messages show them, such as "500x375"."""
        return f"{self.width}x{self.height}"


def read_header(contents):
    """Read format, size and kind of an image without decoding its pixels.

    Args:
      contents: bytes of a JPEG or PNG file.

    Returns:
      `Header`.

    Raises:
      InputError: if the file is neither JPEG nor PNG, or its header is damaged. The message does
        not name the file, which the caller knows.

    Example:
      >>> read_header(Path("street.jpg").read_bytes()).size
      '480x360'
    """
    if not contents.startswith((JPEG_START, PNG_START)):
        raise InputError("neither JPEG nor PNG" if contents else "empty file")
    try:
        image = open_image(contents)
        orientation = _orientation(image, contents)
        if image.format == "JPEG":  # Pillow reads only those of 8 bits
            return Header("JPEG", *image.size, _JPEG_COLORS[image.mode], 8, orientation)
        depth, color = png_depth_and_color(contents)
        palette = bytes(image.palette.palette) if color == "palette" and image.palette else b""
        return Header("PNG", *image.size, color, depth, orientation, palette)
    except InputError:
        raise
    except DAMAGED:
        raise InputError("header damaged or cut off") from None


def open_image(contents, verify=False):
    """Open an image with Pillow; its pixels are decoded when they are first used.

    Unlike `PIL.Image.open` it does not warn about images that are large but acceptable.

    Args:
      contents: bytes of a JPEG or PNG file.
      verify: whether to compare the checksums of a PNG, which decoding skips.

    Returns:
      `PIL.Image.Image`.

    Raises:
      InputError: if the image has more than `MAX_PIXELS` pixels.
      One of `DAMAGED`: if Pillow cannot read it.
    """
    if contents.startswith(JPEG_START):
        image = JpegImageFile(io.BytesIO(contents))
    else:
        if verify:
            PngImageFile(io.BytesIO(contents)).verify()
            if PNG_END not in contents:
                raise SyntaxError("no end of the PNG")
        image = PngImageFile(io.BytesIO(contents))
    if image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{image.width}x{image.height} pixels; at most {MAX_PIXELS} are read; make it smaller"
        )
    return image


def png_depth_and_color(contents):
    """Bits per channel and kind of color of a PNG, as in `Header`."""
    # Pillow does not give the depth. These bytes of the first chunk, IHDR, hold both.
    return contents[24], _PNG_COLORS[contents[25]]


def _orientation(image, contents):
    # Image.Exif reads the EXIF data alone; image.getexif() would also search XMP texts.
    try:
        if image.format == "PNG" and "exif" not in image.info and b"eXIf" in contents:
            image = PngImageFile(io.BytesIO(contents))
            image.load()  # the EXIF data may come after the pixels
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        value = exif.get(_ORIENTATION_TAG)
    except DAMAGED:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
