"""Pictures of depth maps, and their 16-bit PNG files."""

import cv2
import numpy as np

from deeplab_tf.data.depth import MILLIMETERS
from deeplab_tf.data.shrink import shrink, shrink_label
from deeplab_tf.evaluation.class_maps import heat_map
from deeplab_tf.visualize import captioned, panel

UNKNOWN_COLOR = (255, 255, 255)
SIDE = 600  # longer side of a picture in a panel, in pixels


def depth_range(*maps):
    """The smallest and the largest known depth of depth maps (H, W); (1, 2) if none is known."""
    known = np.concatenate([depth[depth > 0] for depth in maps])
    return (float(known.min()), float(known.max())) if known.size else (1.0, 2.0)


def depth_colors(depth, nearest, farthest):
    """Color a depth map by its logarithm: dark blue is near, yellow far, white unknown.

    Args:
      depth: (H, W) floats in meters, 0 where it is unknown.
      nearest, farthest: the depths of the two ends of the colors, in meters.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    known = depth > 0
    part = np.log(np.where(known, depth, nearest) / nearest)
    colors = heat_map(part / max(np.log(farthest / nearest), 1e-6))
    colors[~known] = UNKNOWN_COLOR
    return colors


def depth_picture(depth):
    """Color a predicted depth map (H, W) in meters, with a line that tells what the colors are."""
    nearest, farthest = depth_range(depth)
    return captioned(depth_colors(depth, nearest, farthest), _caption(nearest, farthest))


def depth_panel(rows):
    """Make a picture with a row for each image: the image, the true and the predicted depth.

    Args:
      rows: list of (image (H, W, 3) uint8 RGB, *depth maps (H, W) in meters); the colors of a row
        are from the nearest to the farthest depth of the first map, usually the true one.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    pictures = []
    for image, *maps in rows:
        limits = depth_range(maps[0])
        colored = [depth_colors(shrink_label(depth, SIDE), *limits) for depth in maps]
        row = [shrink(image, SIDE), *colored]
        captions = [_caption(*limits), *[""] * len(maps)]
        pictures.append([captioned(*pair) for pair in zip(row, captions, strict=True)])
    titles = ["image", "truth", "network"] if len(rows[0]) == 3 else ["image", "depth"]
    return panel(pictures, titles)


def _caption(nearest, farthest):
    return f"{nearest:.2f} m (dark) to {farthest:.2f} m"


def depth_png(depth):
    """The bytes of a 16-bit gray PNG in millimeters, as `decode_depth` reads it.

    Depths below 1 millimeter and above 65.535 meters become these limits, since 0 is unknown.

    Args:
      depth: (H, W) floats in meters, all above 0.
    """
    levels = np.clip(np.rint(np.float64(MILLIMETERS) * depth), 1, 65535).astype(np.uint16)
    return cv2.imencode(".png", levels)[1].tobytes()
