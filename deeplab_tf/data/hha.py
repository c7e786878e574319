"""HHA: horizontal disparity, height above ground, angle with gravity (Gupta et al., ECCV 2014).

A depth map becomes an image of three channels, with the published scales and thresholds:

    level of disparity = 31000 / Z, Z the depth in centimeters, at least 100
    level of height    = centimeters above the lowest point
    level of angle     = 38 + degrees between the surface's normal, which points away from the
                         camera, and gravity: a floor is 38, a wall 128, a ceiling 218

rounded and limited to 0..255. In points (X, Y, Z) of the camera's coordinates Y points down, and a
plane A X + B Y + C Z = 1 is linear in the image: 1 / Z = A X/Z + B Y/Z + C. So normals are found by
least squares on the inverse depth, exactly for planes.
"""

import cv2
import numpy as np

from deeplab_tf.data.depth import UNKNOWN_LEVEL

DISPARITY_SCALE, NEAREST = 31000.0, 100.0  # cm
ANGLE_OFFSET = 128 - 90
CAMERA_HEIGHT = 130.0  # cm; assumed if no point is more than LOW below the camera
LOW = 90.0

# Half the side, in pixels, of the windows of the normals in the result, and of those that gravity
# is estimated from; (threshold in degrees, steps) of the estimation. The first two are Gupta's; the
# last leaves out windows across the edges of slopes, which would turn gravity by half a degree.
RADIUS, GRAVITY_RADIUS = 3, 10
GRAVITY_STEPS = ((45, 5), (15, 5), (4, 5))
PRIOR = 1e-3  # weight of the direction before, as a share of the normals
SPARSE = 4  # every fourth row and column is enough for the estimation


def hha_image(depth, camera):
    """The HHA image of a depth map.

    Args:
      depth: (H, W) float32 in meters; 0 where it is unknown.
      camera: `Camera` of the depth map.

    Returns:
      (H, W, 3) uint8: disparity, height, angle; 128 where they are unknown.

    Example:
      >>> hha_image(numpy.full((480, 640), 2, "float32"), Camera(519, 519, 320, 240))[240, 320, 0]
      155
    """
    known = depth > 0
    if not known.any():
        return np.full((*depth.shape, 3), UNKNOWN_LEVEL, np.uint8)
    x, y = viewing_rays(depth.shape, camera)
    gravity = estimate_gravity(surface_normals(depth, x, y, GRAVITY_RADIUS, SPARSE))
    centimeters = 100.0 * depth
    down = centimeters * (gravity[0] * x + gravity[1] * y + gravity[2])
    lowest = down[known].max()
    ground = lowest if lowest > LOW else CAMERA_HEIGHT
    cosine = surface_normals(depth, x, y, RADIUS) @ gravity
    levels = np.stack(
        [
            DISPARITY_SCALE / np.maximum(centimeters, NEAREST),
            ground - down,
            ANGLE_OFFSET + np.degrees(np.arccos(np.clip(cosine, -1, 1))),
        ],
        axis=-1,
    )
    levels[~known] = np.nan
    levels = np.where(np.isnan(levels), UNKNOWN_LEVEL, levels)
    return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)


def viewing_rays(size, camera):
    """X / Z of each column and Y / Z of each row: (1, W) and (H, 1) float64."""
    rows, columns = (np.arange(length, dtype=np.float64) for length in size)
    return (columns[None] - camera.cx) / camera.fx, (rows[:, None] - camera.cy) / camera.fy


def surface_normals(depth, x, y, radius, step=1):
    """The normal of the surface at each pixel, from a plane fitted to the window around it.

    Args:
      depth: (H, W) float32 in meters; pixels of 0 are left out.
      x, y: see `viewing_rays`.
      radius: the window has 2 radius + 1 pixels a side.
      step: give only the normals of every step-th row and column.

    Returns:
      (h, w, 3) float64 unit vectors that point away from the camera; NaN where fewer than three
      pixels of the window are known, or all are in a line.
    """
    window = (2 * radius + 1, 2 * radius + 1)
    known = depth > 0

    def total(values):
        # The sum over the window; of what depends on the column alone, over its part of a row.
        summed = cv2.boxFilter(
            values, cv2.CV_64F, window, normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        return summed[:: step if len(values) > 1 else 1, :: step if values.shape[1] > 1 else 1]

    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(known, 1 / depth.astype(np.float64), 0)
        if known.all():  # then columns and rows are independent of each other
            count_x, count_y = total(np.ones_like(x)), total(np.ones_like(y))
            count, xy = count_x * count_y, 0.0
            mean_x, mean_y = total(x) / count_x, total(y) / count_y
            xx, yy = total(x * x) / count_x - mean_x**2, total(y * y) / count_y - mean_y**2
        else:
            count = total(known.astype(np.float64))
            mean_x, mean_y = total(x * known) / count, total(y * known) / count
            xx, yy = (
                total(x * x * known) / count - mean_x**2,
                total(y * y * known) / count - mean_y**2,
            )
            xy = total(x * y * known) / count - mean_x * mean_y
        mean = total(inverse) / count
        xq = total(x * inverse) / count - mean_x * mean
        yq = total(y * inverse) / count - mean_y * mean
        determinant = xx * yy - xy * xy
        a, b = (xq * yy - yq * xy) / determinant, (yq * xx - xq * xy) / determinant
        normals = np.stack([a, b, mean - a * mean_x - b * mean_y], axis=-1)
        normals /= np.sqrt((normals * normals).sum(axis=-1, keepdims=True))
    # Of pixels in a line only rounding errors are left of the determinant.
    pixel = np.ptp(x) / max(x.size - 1, 1) * np.ptp(y) / max(y.size - 1, 1)
    normals[~(determinant > 1e-3 * pixel**2)] = np.nan
    return normals


def estimate_gravity(normals):
    """The direction of gravity: as parallel to the normals of floors, and as perpendicular to those
    of walls, as possible.

    It begins with the camera's own downward direction. In each step the normals within a threshold
    of being parallel, F, or perpendicular, W, give the next one: the unit vector g with the
    smallest sum of (w . g)^2 over W minus that of (f . g)^2 over F. Where the normals leave a
    choice, as those of a single wall do, it is the one nearest to the direction before.

    Args:
      normals: (..., 3) unit vectors; NaN where unknown.

    Returns:
      (3,) float64 unit vector.
    """
    normals = normals.reshape(-1, 3)
    normals = normals[~np.isnan(normals[:, 0])]
    gravity = np.array([0.0, 1.0, 0.0])
    for threshold, steps in GRAVITY_STEPS:
        for _ in range(steps):
            cosine = np.abs(normals @ gravity)
            floors = normals[cosine > np.cos(np.radians(threshold))]
            walls = normals[cosine < np.sin(np.radians(threshold))]
            if len(floors) + len(walls) == 0:
                return gravity
            stay = PRIOR * len(normals) * np.outer(gravity, gravity)
            _, vectors = np.linalg.eigh(walls.T @ walls - floors.T @ floors - stay)
            found = vectors[:, 0]  # of the smallest eigenvalue
            gravity = found if found @ gravity > 0 else -found
    return gravity
