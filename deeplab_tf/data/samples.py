"""The samples of image files as they are stored: more than 8 bits, and any number of channels."""

import struct
from typing import NamedTuple

import cv2
import numpy as np

from deeplab_tf.data.image_header import (
    MAX_PIXELS,
    color_of_channels,
    find_format,
    load_array,
    open_image,
    png_depth_and_color,
)
from deeplab_tf.data.tiff_tags import (
    BITS,
    COMPRESSION,
    FILL_ORDER,
    HEIGHT,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    SAMPLES,
    STRIP_BYTES,
    STRIP_ROWS,
    STRIPS,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILES,
    WIDTH,
    TiffPage,
)
from deeplab_tf.errors import InputError

# Cameras and microscopes store fewer bits in files of 16 bits. An image whose highest value fits
# into one of these numbers of bits would be nearly black if it had all 16.
USUAL_BITS = (8, 10, 12)

_BLOCK = 1 << 23  # pixels that are converted to RGB at a time
_PREDICTED = (5, 8, 32946, 34925, 50000)  # compressions that may store differences of neighbors


class Samples(NamedTuple):
    """The samples of an image.

    Args:
      values: (H, W, C) uint8 or uint16, not turned by the image's orientation.
      color: as in `Header`.
      bits: number of bits that the file gives each value, at most 16.
    """

    values: np.ndarray
    color: str
    bits: int


def read_samples(contents):
    """Read an image without changing its values.

    Args:
      contents: bytes of an image file.

    Returns:
      `Samples`; those of a palette or of CMYK are converted to RGB.

    Raises:
      InputError: if there is no way to read them.
      One of `DAMAGED`: if the file is damaged.
    """
    kind = find_format(contents)
    if kind == ".npy":
        array = load_array(contents)
        return Samples(array, color_of_channels(array.shape[2]), 8)
    if kind == "TIFF":
        page = TiffPage(contents)
        if not has_plain_samples(page):
            return Samples(to_rgb(open_image(contents)), "rgb", 8)
        return Samples(_tiff_values(contents, page), page.color, page.bits)
    image = open_image(contents, verify=True)
    if kind == "PNG" and png_depth_and_color(contents)[0] == 16:
        return _deep_png(contents)
    if image.mode in ("L", "LA", "RGBA"):
        color = {"L": "gray", "LA": "gray+alpha", "RGBA": "rgb+alpha"}[image.mode]
        return Samples(np.atleast_3d(np.array(image)), color, 8)
    return Samples(to_rgb(image), "rgb", 8)


def to_channels(samples, channels):
    """The values with the wanted number of channels: for 3, alpha is dropped and gray becomes RGB.

    Args:
      samples: `Samples`.
      channels: the number of channels.

    Returns:
      `Samples` of this many channels.

    Raises:
      InputError: if the image has another number of channels.
    """
    values, found = samples.values, samples.values.shape[2]
    if channels == 3 and samples.color in ("gray", "gray+alpha"):
        values = np.repeat(values[..., :1], 3, axis=2)
    elif channels == 3 and samples.color == "rgb+alpha":
        values = values[..., :3]
    if values.shape[2] != channels:
        number = f"{found} channel{'s' if found > 1 else ''}"
        other = f", or a network built with --channels={found}" if found >= 3 else ""
        raise InputError(
            f"{number}, but {channels} are needed; give an image with {channels} channels{other}"
        )
    return samples._replace(values=np.ascontiguousarray(values))


def used_bits(samples):
    """How many bits the values have: as many as the file says, or fewer if their maximum shows it.

    Args:
      samples: `Samples`, without alpha.

    Returns:
      The number of bits of which the upper 8 are used: 8, 10, 12 or 16.
    """
    highest = samples.values.max()
    if samples.bits < 16 or not highest:
        return samples.bits
    return next((bits for bits in USUAL_BITS if highest < 1 << bits), 16)


def to_8_bits(samples):
    """The upper 8 of the bits that `used_bits` finds, (H, W, C) uint8."""
    if samples.bits <= 8:
        return samples.values
    return (samples.values >> (used_bits(samples) - 8)).astype(np.uint8)


def has_plain_samples(page):
    """Whether the pixels of a `TiffPage` are numbers to be used as they are, 8 bits or more each.

    Raises:
      InputError: if their number of bits is not supported.
    """
    if page.bits not in (1, 2, 4, 8, 12, 16) or (page.bits < 8 and page.channels > 1):
        raise InputError(f"TIFF of {page.bits} bits per channel; convert it to 8 bits")
    return page.bits >= 8 and page.color not in ("palette", "cmyk") and not page.lossy


def to_rgb(image):
    """The pixels of an image that Pillow opened, (H, W, 3) uint8."""
    image.info.pop("transparency", None)  # Pillow would warn that it is lost
    # Pillow inverts the inks of all CMYK JPEGs, but only Adobe's programs store them inverted.
    is_inverted = image.format == "JPEG" and "adobe" not in image.info
    rows = max(1, _BLOCK // image.width)
    if rows >= image.height:
        return _rgb_block(image, is_inverted)
    # Each step below makes another copy, which together would be gigabytes.
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = _rgb_block(part, is_inverted)
    return pixels


def _rgb_block(image, is_inverted):
    if image.mode != "CMYK":
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    pixels = np.asarray(image)
    light = (pixels if is_inverted else 255 - pixels).astype(np.uint16)
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)


def _deep_png(contents):
    # OpenCV keeps all 16 bits, and gives gray with alpha as BGRA.
    width, height = struct.unpack_from(">II", contents, 16)
    _check_values(width * height * (1 if png_depth_and_color(contents)[1] == "gray" else 4), "PNG")
    values = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("not decoded")
    color = png_depth_and_color(contents)[1]
    if values.ndim == 2:
        values = values[..., None]
    elif color.startswith("gray"):
        values = values[..., [0, 3]] if color == "gray+alpha" else values[..., :1]
    else:
        order = [2, 1, 0, 3] if color == "rgb+alpha" else [2, 1, 0]
        values = values[..., order]
    return Samples(values, color, 16)


def _tiff_values(contents, page):
    # Pillow decodes gray images with any compression, but not images of any number of channels. The
    # rows of C interleaved channels are stored like those of a gray image C times as wide; channels
    # that are stored separately are like gray images.
    is_planar = page.get(PLANAR, (1,))[0] == 2
    count = page.width * page.height * (1 if is_planar else page.channels)
    _check_values(count, "TIFF")
    if is_planar:
        values = np.dstack([_gray(contents, page, 1, c) for c in range(page.channels)])
    else:
        values = _gray(contents, page, page.channels, None)
    values = values.reshape(page.height, page.width, page.channels)
    if page.color == "gray" and page.get(PHOTOMETRIC, (1,))[0] == 0:  # 0 is white
        values = values.dtype.type(2**page.bits - 1) - values
    return values


def _check_values(count, kind):
    if count > MAX_PIXELS:
        raise InputError(
            f"{kind} of {count} values is too large (limit: {MAX_PIXELS}); make it smaller"
        )


def _gray(contents, page, channels, plane):
    width = page.width * channels
    tags = {WIDTH: (width,), HEIGHT: (page.height,), BITS: (page.bits,), PHOTOMETRIC: (1,)}
    tags |= {SAMPLES: (1,), COMPRESSION: page.get(COMPRESSION, (1,))}
    tags[FILL_ORDER] = page.get(FILL_ORDER, (1,))
    places, lengths = (TILES, TILE_BYTES) if page.get(TILES, ()) else (STRIPS, STRIP_BYTES)
    if places == TILES:
        tags[TILE_WIDTH] = (page.get(TILE_WIDTH)[0] * channels,)
        tags[TILE_HEIGHT] = page.get(TILE_HEIGHT)
    else:
        tags[STRIP_ROWS] = (min(page.get(STRIP_ROWS, (page.height,))[0], page.height),)
    for tag in (places, lengths):
        values = page.get(tag)
        count = len(values) // page.channels
        tags[tag] = values if plane is None else values[plane * count : (plane + 1) * count]
    # 12-bit values are the same in both byte orders; Pillow reads them only in little-endian files.
    order = "<" if page.bits == 12 else page.order
    image = open_image(_with_tags(contents, tags, order))
    values = np.array(image).astype(np.uint8 if page.bits == 8 else np.uint16)
    predictor = page.get(PREDICTOR, (1,))[0]
    if tags[COMPRESSION][0] in _PREDICTED and predictor != 1:
        if predictor != 2 or page.bits == 12:
            raise InputError("TIFF of an unsupported compression; save it without compression")
        _add_differences(values, channels, tags.get(TILE_WIDTH, (width,))[0])
    return values


def _add_differences(values, channels, tile_width):
    # In place: each value is stored as its difference from that of the pixel to its left.
    for left in range(0, values.shape[1], tile_width):
        for channel in range(channels):
            part = values[:, left + channel : left + tile_width : channels]
            part[:] = np.cumsum(part, axis=1, dtype=part.dtype)


def _with_tags(contents, tags, order):
    # The file with other tags.
    start = len(contents) + len(contents) % 2
    directory, more = struct.pack(order + "H", len(tags)), b""
    more_start = start + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, more = struct.pack(order + "I", more_start + len(more)), more + packed
        directory += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return header + contents[8:] + bytes(start - len(contents)) + directory + bytes(4) + more
