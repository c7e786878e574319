"""The forms of the synthetic data set, drawn with smooth edges."""

import cv2
import numpy as np

SUPERSAMPLING = 4  # drawn so many times larger, then averaged: edges one pixel wide


def draw_form(rng, form, center, radius, size):
    """Draw one object of a form, of random proportions and orientation.

    Args:
      rng: `numpy.random.Generator`.
      form: a key of `FORMS`.
      center: (x, y) in pixels.
      radius: of the circle around the object, in pixels.
      size: (height, width) of the picture in pixels.

    Returns:
      (H, W) float32, the share of each pixel that the object covers, 0..1.
    """
    parts, largest_angle = FORMS[form](rng, radius)
    angle = rng.uniform(-largest_angle, largest_angle)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    canvas = np.zeros([SUPERSAMPLING * side for side in size], np.uint8)
    for contours in parts:
        drawn = [
            np.rint(SUPERSAMPLING * (radius * points @ turn + center)).astype(np.int32)
            for points in contours
        ]
        cv2.fillPoly(canvas, drawn, 255)
    mean = cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return mean.astype(np.float32) / 255


# Each form gives its parts and the largest angle it is turned by. A part is a list of closed
# contours (n, 2), where an inner contour is a hole; coordinates are in units of the radius,
# y downwards.


def _disc(rng, radius):
    del radius
    return [[_ellipse(1.0, rng.uniform(0.8, 1.0))]], np.pi


def _ring(rng, radius):
    del radius
    inner = rng.uniform(0.42, 0.52)
    return [[_ellipse(1.0, 1.0), _ellipse(inner, inner)]], np.pi


def _square(rng, radius):
    del radius
    x, y = 0.8, 0.8 * rng.uniform(0.85, 1.0)
    return [[np.array([[-x, -y], [x, -y], [x, y], [-x, y]])]], np.pi


def _triangle(rng, radius):
    del radius
    corners = np.arange(3) * 2 * np.pi / 3 + rng.uniform(-0.15, 0.15, 3)
    return [[np.stack([np.sin(corners), -np.cos(corners)], axis=1)]], np.pi


def _cross(rng, radius):
    del radius
    width = rng.uniform(0.5, 0.62)
    return [[_bar((-1, 0), (1, 0), width)], [_bar((0, -1), (0, 1), width)]], np.pi


def _figure(rng, radius):
    # A standing person: head and trunk, and limbs of 4 to 6 pixels.
    limb = rng.uniform(4, 6) / radius
    hands = rng.uniform([0.45, -0.6], [0.65, 0.25], (2, 2)) * [[-1, 1], [1, 1]]
    feet = rng.uniform([0.2, 0.9], [0.5, 0.98], (2, 2)) * [[-1, 1], [1, 1]]
    shoulder, hip = np.array([0, -0.38]), np.array([0, 0.2])
    limbs = [(shoulder, hand) for hand in hands] + [(hip, foot) for foot in feet]
    parts = [[0.25 * _ellipse(1.0, 1.0) + [0, -0.74]], [_bar((0, -0.6), (0, 0.26), 0.44)]]
    return parts + [[_bar(start, end, limb)] for start, end in limbs], np.pi / 8


FORMS = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "figure": _figure,
}


def _ellipse(x_radius, y_radius):
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x_radius * np.cos(angles), y_radius * np.sin(angles)], axis=1)


def _bar(start, end, width):
    # The four corners of a straight bar.
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = (end - start) / np.linalg.norm(end - start)
    across = 0.5 * width * np.array([-along[1], along[0]])
    return np.stack([start - across, end - across, end + across, start + across])
