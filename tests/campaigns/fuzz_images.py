"""Small images, label maps and depth maps of all kinds that we read: seeds of the campaign."""

import numpy as np
from fuzz_files import array, saved
from handmade_bmp import made_bmp
from handmade_png import chunk, made_png, palette
from handmade_tiff import made_tiff
from hostile_files import HOSTILE, empty_png
from PIL import Image
from tiny_archives import gradient, jpeg, palette_png, png, stripes

IMAGE, LABEL = gradient(0), stripes((0, 3, 20, 255))


def _exif(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def jpegs():
    """Gray, color, CMYK, progressive, turned."""
    cmyk = Image.fromarray(IMAGE).convert("CMYK")
    return [
        jpeg(IMAGE),
        saved(IMAGE[..., 0], "JPEG"),
        saved(cmyk, "JPEG"),
        saved(IMAGE, "JPEG", progressive=True, exif=_exif(6)),
        saved(IMAGE, "JPEG", exif=_exif(3), icc_profile=b"profile" * 9, comment=b"none"),
        HOSTILE["cut.jpg"][0],
    ]


def pngs():
    """Gray, color, palettes, alpha, 16 bits, turned, many chunks, many pixels."""
    deep = np.uint16(IMAGE) << 6
    rgba = np.dstack([IMAGE, IMAGE[..., :1]])
    rows = np.packbits(np.uint8(LABEL > 2), axis=1)
    return [
        png(IMAGE),
        png(LABEL),
        palette_png(LABEL),
        png(deep),
        png(deep[..., 0]),
        saved(rgba, "PNG", exif=_exif(8)),
        saved(rgba[..., 2:], "PNG"),
        saved(Image.fromarray(LABEL).convert("P"), "PNG", transparency=3),
        made_png(32, rows, 1, 3, palette(2) + chunk(b"tRNS", b"\0"), pieces=3),
        made_png(32, rows, 1, 0, chunk(b"tEXt", b"a\0b") + chunk(b"zTXt", b"a\0\0x")),
        empty_png(20000, 20000),
        empty_png(12000, 14000),
    ]


def requests():
    """JPEG and PNG files alone and in pairs, as they are sent to an exported model."""
    alone = [{"a.jpg": contents} for contents in jpegs()] + [{"a.png": one} for one in pngs()]
    pairs = [{"a.jpg": jpeg(IMAGE), "b.png": one} for one in (png(IMAGE), png(IMAGE[:9]))]
    return alone + pairs


def tiffs():
    """Gray, color, 12 and 16 bits, six channels, tiles, planes, compressed, palettes, turned."""
    six = np.dstack([IMAGE, IMAGE])
    deep = np.uint16(IMAGE) << 4
    turned = [(274, 3, [6])]
    return [
        made_tiff(IMAGE, more=turned),
        made_tiff(LABEL, order=">", rows=5),
        made_tiff(LABEL, photometric=3, more=[(320, 3, list(range(768)))]),
        made_tiff(six, extra=[0, 0, 0, 0, 0], deflate=True, differences=True),
        made_tiff(six, photometric=1, planar=True, tile=16),
        made_tiff(deep, deflate=True, more=turned),
        made_tiff(deep[..., :1], bits=12),
        made_tiff(IMAGE[..., :2], extra=[1], pages=2),
        saved(IMAGE, "TIFF", compression="jpeg"),
        saved(IMAGE, "TIFF", compression="tiff_lzw"),
        saved(np.float32(LABEL), "TIFF"),
        saved(Image.fromarray(LABEL).convert("1"), "TIFF", compression="group4"),
    ]


def bmps():
    """Color, gray, palettes of 1 and 4 bits."""
    return [
        saved(IMAGE, "BMP"),
        saved(LABEL, "BMP"),
        made_bmp(4, np.repeat(np.uint8([[1, 35] * 8]), 24, axis=0).tolist(), 32),
        made_bmp(1, [[255, 0, 170, 1]] * 24, 32),
        saved(np.dstack([IMAGE, IMAGE[..., :1]]), "BMP"),
    ]


def webps():
    """Lossy, lossless, gray, alpha, turned, animated."""
    frames = [Image.fromarray(gradient(seed)) for seed in range(2)]
    gray = np.repeat(LABEL[..., None], 3, axis=2)
    return [
        saved(IMAGE, "WEBP"),
        saved(IMAGE, "WEBP", lossless=True, exif=_exif(6)),
        saved(gray, "WEBP", lossless=True),
        saved(np.dstack([IMAGE, IMAGE[..., :1]]), "WEBP", lossless=True),
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
    ]


def arrays():
    """Images in .npy files."""
    six = np.dstack([IMAGE, IMAGE])
    return [array(IMAGE), array(np.asfortranarray(six)), array(LABEL), HOSTILE["object.npy"][0]]


def depths():
    """Depth maps in .npy files."""
    some = np.float32(IMAGE[..., 0]), np.full((4, 5), np.nan), LABEL, np.float64(IMAGE[..., 1])
    return [array(values) for values in some]
