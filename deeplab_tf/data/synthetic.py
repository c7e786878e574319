"""A synthetic data set: overlapping objects whose class is their form, not their color.

Every object has a random color with soft shading and mild texture, drawn the same way for all
classes, and its color differs from the background around it. So a network must learn form and
context, and a CRF can find the borders of objects from the colors.
"""

import cv2
import numpy as np

from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.synthetic_files import ensure_data_set, new_data_set, write_scenes
from deeplab_tf.data.voc import LABELS_FOLDER, LISTS
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

_LAST = f"{LISTS}/train.txt"  # tells that the data set is written

SUPERSAMPLING = 4  # forms are drawn this many times larger, then averaged: smooth edges


# Each function returns the parts of a form and the largest angle in radians by which it is rotated.
# A part is a list of closed contours (n, 2) of x and y, in which an inner contour is a hole.
# Coordinates are in units of the radius, with y pointing down.


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
    # A standing person: head, trunk, and limbs of 4 to 6 pixels.
    limb = rng.uniform(4, 6) / radius
    hands = rng.uniform([0.45, -0.6], [0.65, 0.25], (2, 2)) * [[-1, 1], [1, 1]]
    feet = rng.uniform([0.2, 0.9], [0.5, 0.98], (2, 2)) * [[-1, 1], [1, 1]]
    shoulder, hip = np.array([0, -0.38]), np.array([0, 0.2])
    limbs = [(shoulder, hand) for hand in hands] + [(hip, foot) for foot in feet]
    parts = [[0.25 * _ellipse(1.0, 1.0) + [0, -0.74]], [_bar((0, -0.6), (0, 0.26), 0.44)]]
    return parts + [[_bar(start, end, limb)] for start, end in limbs], np.pi / 8


def _ellipse(x_radius, y_radius):
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x_radius * np.cos(angles), y_radius * np.sin(angles)], axis=1)


def _bar(start, end, width):
    # The four corners of a straight bar.
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = (end - start) / np.linalg.norm(end - start)
    across = 0.5 * width * np.array([-along[1], along[0]])
    return np.stack([start - across, end - across, end + across, start + across])


FORMS = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "figure": _figure,
}

CLASSES = ("background", *FORMS)

RADIUS = (26, 38)  # pixels, smallest and largest; wide enough for score maps at stride 8
RADII = {"figure": (42, 52), "triangle": (32, 44)}  # larger, because they are slender
NUM_OBJECTS = (3, 5)  # fewest and most in a picture


def draw_scene(rng, size, num_objects=NUM_OBJECTS):
    """Draw a picture of some objects of different classes, and its label map.

    Args:
      rng: `numpy.random.Generator`; the same state draws the same picture.
      size: (height, width) in pixels.
      num_objects: (fewest, most) objects; fewer if there is no room.

    Returns:
      image (H, W, 3) uint8 RGB; label (H, W) uint8, indices into `CLASSES`.
    """
    image = _paint(rng, _random_color(rng), size, shading=30, texture=14)
    label = np.zeros(size, np.uint8)
    areas = {0: label.size}
    count = rng.integers(num_objects[0], num_objects[1] + 1)
    for index in 1 + rng.permutation(len(FORMS))[:count]:
        coverage = _place(rng, CLASSES[index], label, areas)
        if coverage is None:
            continue
        color = _contrasting_color(rng, image, coverage)
        surface = _paint(rng, color, size, shading=24, texture=7)
        image += coverage[..., None] * (surface - image)
        label[coverage >= 0.5] = index
        areas[index] = np.count_nonzero(coverage >= 0.5)
    image += rng.normal(0, 2, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), label


def write_synthetic(
    data_dir, num_train=500, num_val=60, size=(160, 192), seed=0, num_objects=NUM_OBJECTS
):
    """Write the data set in VOC layout, with splits "train" and "val".

    It is written to a temporary folder next to `data_dir` and then renamed, so a folder that
    exists is complete.

    Args:
      data_dir: folder to create; if it exists, it must be empty.
      num_train: number of training images.
      num_val: number of validation images.
      size: (height, width) of the images in pixels.
      seed: each image depends only on the seed, its split and its number.
      num_objects: (fewest, most) objects in an image; with (1, 1) an image shows one class and
        the background, as the images of a classifier do.

    Raises:
      InputError: if `data_dir` holds files, or a number or size is out of its range.
    """
    with new_data_set(data_dir, _LAST) as folder:
        write_forms(folder, {"train": num_train, "val": num_val}, size, seed, num_objects)


def ensure_synthetic(data_dir):
    """Write the data set with its default sizes unless it is already in `data_dir`.

    Args:
      data_dir: folder of the data set; made if missing.

    Raises:
      InputError: if `data_dir` holds other files.
    """
    ensure_data_set(data_dir, _LAST, write_synthetic)


def write_forms(folder, counts, size, seed, num_objects=NUM_OBJECTS):
    """Write the scenes into an empty folder.

    Args:
      folder: its path.
      counts: {split: number of images}.
      size, seed, num_objects: as for `write_synthetic`.
    """
    if not 1 <= num_objects[0] <= num_objects[1] <= len(FORMS):
        raise InputError(f"num_objects {num_objects}; give (fewest, most) from 1 to {len(FORMS)}")
    color_table = LabelSet.in_voc_colors(CLASSES).color_table()

    def draw(split_number, number):
        rng = np.random.default_rng([seed, split_number, number])
        image, label = draw_scene(rng, size, num_objects)
        return image, {LABELS_FOLDER: encode_label(label, color_table)}

    write_scenes(folder, counts, size, CLASSES, draw)


def _draw_form(rng, form, center, radius, size):
    """Draw one object of a form, of random proportions and orientation.

    Args:
      rng: `numpy.random.Generator`.
      form: a key of `FORMS`.
      center: (x, y) in pixels.
      radius: radius of the circle around the object, in pixels.
      size: (height, width) of the picture in pixels.

    Returns:
      (H, W) float32, the part of each pixel that the object covers, 0..1.
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


def _place(rng, form, label, areas):
    # Coverage (H, W) in 0..1 of a new object that leaves at least 70 % of every other object
    # visible; None if there is no room after 20 tries.
    height, width = label.shape
    for _ in range(20):
        radius = rng.uniform(*RADII.get(form, RADIUS))
        # Up to a quarter of the radius may be outside of the picture.
        margin = 0.75 * radius
        center = rng.uniform(margin, [width - margin, height - margin])
        coverage = _draw_form(rng, form, center, radius, label.shape)
        seen = np.bincount(label[coverage < 0.5], minlength=len(CLASSES))
        if all(seen[index] >= 0.7 * area for index, area in areas.items() if index):
            return coverage
    return None


def _contrasting_color(rng, image, coverage):
    # The first of 30 random colors that differs by 80 levels from 95 % of the pixels around the
    # object, or else the one that differs most.
    mask = (coverage > 0).astype(np.uint8)
    around = image[cv2.dilate(mask, np.ones((7, 7), np.uint8)) > mask]
    best, best_distance = None, -1.0
    for _ in range(30):
        color = _random_color(rng)
        distance = np.percentile(np.linalg.norm(around - color, axis=1), 5)
        if distance > best_distance:
            best, best_distance = color, distance
        if best_distance > 80:
            break
    return best


def _random_color(rng):
    return rng.uniform(15, 240, 3).astype(np.float32)


def _paint(rng, color, size, shading, texture):
    # (H, W, 3) float32: a surface of one color, lighter toward one side, with soft spots.
    height, width = size
    direction = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope = shading * (np.cos(direction) * x + np.sin(direction) * y)
    spots = rng.normal(0, texture, (*rng.integers(5, 10, 2), 3)).astype(np.float32)
    spots = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return color + slope[..., None] + spots
