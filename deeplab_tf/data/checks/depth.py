"""Inspecting the depth map of an example."""

import contextlib
from pathlib import Path

import numpy as np

from deeplab_tf.data.checks.findings import problem
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.image_header import read_header
from deeplab_tf.errors import InputError

# The median of a depth map outside of this range, in meters, is hardly one of a room or a street.
NEAREST, FARTHEST = 0.05, 1000.0
MOST_UNKNOWN = 0.5  # share of the pixels


def inspect_depth(example):
    """Find what is wrong with the depth map of an example.

    Args:
      example: `DepthExample`.

    Returns:
      A list of `Finding`.
    """
    if example.depth_file and not Path(example.depth_file).is_file():
        what = "no such depth map"
        remedy = "add it, as a 16-bit PNG in millimeters or .npy array of floats in meters"
        return [problem("depth_missing", example.depth, what, remedy)]
    try:
        depth = decode_depth(example.read_depth())
    except InputError as error:
        what, _, remedy = str(error).removeprefix(f"{example.depth}: ").partition("; ")
        return [problem("depth_unreadable", example.depth, what, remedy)]
    findings = []

    def add(kind, what, remedy):
        findings.append(problem(kind, example.depth, what, remedy))

    height, width = depth.shape
    with contextlib.suppress(InputError):  # an image that cannot be read is a finding of its own
        image = read_header(example.color.read()[0])
        if (width, height) != (image.width, image.height):
            what = f"size {width}x{height} but the image is {image.size}"
            add("depth_size", what, "make them equal")
    known = depth[depth > 0]
    unknown = 1 - known.size / depth.size
    if unknown > MOST_UNKNOWN:
        add(
            "depth_unknown",
            f"unknown at {unknown:.0%} of the pixels",
            "fill the holes, or leave it as it is",
        )
    if known.size and not NEAREST <= (middle := float(np.median(known))) <= FARTHEST:
        add(
            "depth_unit",
            f"the median of the depth is {middle:.4g} meters",
            "save PNGs in millimeters and .npy arrays in meters",
        )
    return findings
