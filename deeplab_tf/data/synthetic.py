"""A data set drawn by the project itself: overlapping shapes told apart by form, not by colour.

Every object has a random colour, soft shading and mild texture of its own, from the same
distribution for all classes, and stands out from what lies behind it. So a network must learn
form and context, and a CRF finds the label borders again in the colours.
"""

from pathlib import Path

import cv2
import numpy as np

from deeplab_tf.data.image_files import encode_label
from deeplab_tf.data.shapes import FORMS, draw_form
from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder
from deeplab_tf.labels import LabelSet

CLASSES = ("background", *FORMS)

RADIUS = (26, 38)  # pixels, smallest and largest; wide enough for score maps at stride 8
RADII = {"figure": (42, 52), "triangle": (32, 44)}  # the slender ones
NUM_OBJECTS = (3, 5)  # least and most in a picture
SMALLEST_SIDE = 128  # pixels; below, the objects have no room
JPEG_OPTIONS = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    # Colour at full resolution: at half of it, colour edges would be two pixels wide.
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


def draw_scene(rng, size, num_objects=NUM_OBJECTS):
    """One picture of some objects of different classes, and its label map.

    Args:
      rng: `numpy.random.Generator`; the same state draws the same picture.
      size: (height, width) in pixels.
      num_objects: (least, most) objects; fewer where there is no room.

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

    It is written to a temporary folder beside `data_dir` and then renamed, so that a folder
    that exists is complete.

    Args:
      data_dir: folder to make; it may exist only if it is empty.
      num_train: number of training images.
      num_val: number of validation images.
      size: (height, width) of the images in pixels.
      seed: each image depends on the seed, its split and its number alone.
      num_objects: (least, most) objects in an image; with (1, 1) an image shows one class beside
        the background, as those of an image classifier do.

    Raises:
      InputError: where `data_dir` holds files, or a number or size is too small.
    """
    data_dir = Path(data_dir)
    if not 1 <= num_objects[0] <= num_objects[1] <= len(FORMS):
        raise InputError(f"num_objects {num_objects}; give (least, most) from 1 to {len(FORMS)}")
    if num_train < 1 or num_val < 1 or min(size) < SMALLEST_SIDE:
        raise InputError(
            f"{num_train} + {num_val} images of {size}; give at least one image for each split"
            f" and {SMALLEST_SIDE} pixels a side"
        )
    try:
        with new_folder(data_dir) as folder:
            _write(folder, {"train": num_train, "val": num_val}, size, seed, num_objects)
    except OSError:
        # Another worker that started with this one may have been faster with the same files.
        if not _is_written(data_dir):
            raise


def ensure_synthetic(data_dir):
    """Write the data set with its default sizes where `data_dir` does not hold one yet.

    Raises:
      InputError: where `data_dir` holds other files.
    """
    if not _is_written(Path(data_dir)):
        write_synthetic(data_dir)


def _is_written(data_dir):
    return (data_dir / "ImageSets" / "Segmentation" / "train.txt").is_file()


def _write(data_dir, counts, size, seed, num_objects):
    lists = data_dir / "ImageSets" / "Segmentation"
    for folder in (data_dir / "JPEGImages", data_dir / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    color_table = LabelSet.in_voc_colors(CLASSES).color_table()
    for split_number, (split, count) in enumerate(counts.items()):
        names = [f"{split}_{number:04d}" for number in range(count)]
        for number, name in enumerate(names):
            rng = np.random.default_rng([seed, split_number, number])
            image, label = draw_scene(rng, size, num_objects)
            jpeg = cv2.imencode(".jpg", image[..., ::-1], JPEG_OPTIONS)[1].tobytes()
            (data_dir / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg)
            png = encode_label(label, color_table)
            (data_dir / "SegmentationClass" / f"{name}.png").write_bytes(png)
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
    (data_dir / "classes.txt").write_text("\n".join(CLASSES) + "\n")


def _place(rng, form, label, areas):
    # Coverage (H, W) in 0..1 of a new object that leaves enough of every other one in view.
    height, width = label.shape
    for _ in range(20):
        radius = rng.uniform(*RADII.get(form, RADIUS))
        # Up to a quarter of the radius may lie outside the picture.
        margin = 0.75 * radius
        center = rng.uniform(margin, [width - margin, height - margin])
        coverage = draw_form(rng, form, center, radius, label.shape)
        seen = np.bincount(label[coverage < 0.5], minlength=len(CLASSES))
        if all(seen[index] >= 0.7 * area for index, area in areas.items() if index):
            return coverage
    return None


def _contrasting_color(rng, image, coverage):
    # The first of 30 colours that differs by 80 levels from nearly all that the object borders
    # on, or else the one that differs most.
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
    # (H, W, 3) float32: a colour, lighter on one side, with soft spots.
    height, width = size
    direction = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope = shading * (np.cos(direction) * x + np.sin(direction) * y)
    spots = rng.normal(0, texture, (*rng.integers(5, 10, 2), 3)).astype(np.float32)
    spots = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return color + slope[..., None] + spots
