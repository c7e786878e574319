"""Files that are no photographs, or not for the page, and the sentence about each."""

import io
import struct
import zipfile
import zlib

import numpy as np
from handmade_png import chunk
from PIL import Image


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def empty_png(width, height):
    """A small file of many pixels: a header, and pixels that are never read."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def zip_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.png", "text")
    return file.getvalue()


def nan_tiff():
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5), np.nan, np.float32)).save(file, "TIFF")
    return file.getvalue()


SQUARES = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
PNG = png(SQUARES)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'

# name -> (contents, the sentence after the name).
HOSTILE = {
    "empty.png": (b"", "empty file"),
    "zip.png": (zip_file(), "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
    "drawing.svg": (SVG, "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
    "bomb.png": (
        empty_png(20000, 20000),
        "20000x20000 pixels are too many (limit: 178956970); make it smaller",
    ),
    "large.png": (
        empty_png(8000, 7000),
        "8000x7000 pixels are too many for this page (limit: 50 million); make the photograph "
        "smaller",
    ),
    "huge.png": (empty_png(2**31 - 1, 2**31 - 1), "pixels are too many"),
    "cut.png": (PNG[:-20], "damaged or cut off"),
    "header.png": (PNG[:12], "header damaged or cut off"),
    "cut.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged or cut off"),
    "nan.tiff": (nan_tiff(), ""),
    "object.npy": (b"\x93NUMPY\x01\0\x46\0{'descr': '|O', 'fortran_order': False}", ""),
    "text.webp": (b"RIFF\xff\xff\xff\xffWEBPVP8 ", "damaged or cut off"),
    "page.html": (b"<script>alert(1)</script>", "not a JPEG, PNG, TIFF, BMP, WebP or .npy file"),
}
