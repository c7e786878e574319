"""Depth maps: their files, the camera that took them, and depth as 8-bit levels.

A depth map has the distance of each pixel along the camera's axis in meters, and 0 where it is
unknown. Its file is a 16-bit gray PNG in millimeters, or a `.npy` array of floating-point numbers
in meters, which is kept exactly.
"""

import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from deeplab_tf.data.array_files import read_array, read_array_header
from deeplab_tf.data.examples import read_file
from deeplab_tf.data.image_header import (
    DAMAGED,
    check_pixels,
    find_format,
    open_image,
    png_depth_and_color,
)
from deeplab_tf.errors import InputError

CAMERA_FILE = "camera.txt"  # of a folder in VOC layout
MILLIMETERS = 1000  # per meter
UNKNOWN_LEVEL = 128  # of pixels without a depth: the middle, which is about 0 to the network

# `depth_levels` puts the FCN authors' mean of the log depth on NYUDv2 on the middle of the levels.
MEAN_LOG_MILLIMETERS = 7.844
LEVELS_PER_LOG = 80


class Camera(NamedTuple):
    """A camera matrix: the pixel (column u, row v) shows X / Z = (u - cx) / fx, Y / Z likewise.

    Args:
      fx, fy: focal lengths in pixels.
      cx, cy: where the camera's axis meets the image, in pixels from the center of the first one.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def parse(cls, text):
        """Read the four numbers, with commas or spaces between them.

        Raises:
          InputError: if they are not four numbers, or a focal length is not above 0.
        """
        try:
            camera = cls(*map(float, re.split(r"[\s,]+", text.strip())))
        except (TypeError, ValueError):
            camera = None
        if camera is None or not all(map(math.isfinite, camera)) or min(camera[:2]) <= 0:
            raise InputError(
                f"camera {text.strip()!r}; give fx,fy,cx,cy in pixels, such as 519,519,320,240"
            )
        return camera

    def __str__(self):
        """The text that `parse` reads."""
        return ",".join(f"{value!r}" for value in map(float, self))


def read_camera(path):
    """Read a camera.txt; None if there is no such file.

    Raises:
      InputError: naming the file if it holds something else than four numbers.
    """
    if not Path(path).is_file():
        return None
    try:
        return Camera.parse(read_file(path).decode("utf-8", "replace"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def decode_depth(contents):
    """Read a depth map.

    Args:
      contents: bytes of a 16-bit gray PNG in millimeters, or of a `.npy` file (H, W) of
        floating-point numbers in meters.

    Returns:
      (H, W) float32 array in meters; 0 where the depth is unknown: 0, negative, or not finite.

    Raises:
      InputError: if it is something else, or damaged.
    """
    kind = find_format(contents)
    read = {"PNG": _read_png, ".npy": _read_array}.get(kind)
    if read is None:
        raise InputError(
            "not a depth map; save a 16-bit gray PNG in millimeters, or a .npy array of floats in "
            "meters"
        )
    try:
        depth = read(contents)
    except InputError:
        raise
    except DAMAGED:
        raise InputError(f"cannot be read as {kind} (damaged or cut off?); replace it") from None
    if kind == "PNG":
        return depth.astype(np.float32) / np.float32(MILLIMETERS)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, so unknown
        depth = np.array(depth, np.float32)
    depth[~((depth > 0) & np.isfinite(depth))] = 0
    return depth


def encode_depth(depth):
    """The bytes of a `.npy` file from which `decode_depth` gives the same values.

    Args:
      depth: (H, W) float32 array in meters; 0 where it is unknown.
    """
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(depth, np.float32))
    return file.getvalue()


def depth_levels(depth):
    """Depth as one more channel of an image: its logarithm, as 8-bit levels.

    A level is 127.5 + 80 (ln d - 7.844) with the depth d in millimeters, rounded and limited to
    0..255: a step of 1.3 percent from 0.52 to 12.6 meters. The FCN authors, too, give their
    networks the logarithm, and 7.844 is its mean on NYUDv2.

    Args:
      depth: (H, W) float32 in meters, 0 where it is unknown.

    Returns:
      (H, W) uint8; 128 where the depth is unknown.
    """
    known = depth > 0
    logarithm = np.log(np.where(known, depth, 1) * np.float32(MILLIMETERS))
    levels = 127.5 + LEVELS_PER_LOG * (logarithm - MEAN_LOG_MILLIMETERS)
    return np.where(known, np.clip(np.rint(levels), 0, 255), UNKNOWN_LEVEL).astype(np.uint8)


def _read_png(contents):
    open_image(contents, verify=True)
    bits, color = png_depth_and_color(contents)
    if (bits, color) != (16, "gray"):
        raise InputError(
            f"a depth map of {bits} bits, {color}; save a 16-bit gray PNG in millimeters"
        )
    depth = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    if depth is None:
        raise ValueError("not decoded")
    return depth


def _read_array(contents):
    header = read_array_header(contents)
    shape, _, dtype, _ = header
    if len(shape) != 2 or dtype.kind != "f" or 0 in shape:
        raise InputError(
            f"a depth map of {dtype} {shape}; save floating-point numbers (H, W) in meters"
        )
    check_pixels(*shape[::-1])
    return read_array(contents, header)
