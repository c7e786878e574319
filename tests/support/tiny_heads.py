"""A tiny data set in VOC layout with labels in two label spaces."""

from pathlib import Path

import cv2
import numpy as np

from deeplab_tf.data.label_png import encode_label

SIZE = (48, 60)
# Levels of red that tell the three things, and of blue that tell the two surfaces.
COLORS = ((30, 120, 220), (40, 200))


def scene(seed, size=SIZE):
    """Image (H, W, 3) uint8 RGB of flat colors, label of things and label of surfaces (H, W)."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, len(levels), (2, 2), np.uint8) for levels in COLORS]
    things, surfaces = (cv2.resize(x, size[::-1], interpolation=cv2.INTER_NEAREST) for x in parts)
    red, blue = np.uint8(COLORS[0])[things], np.uint8(COLORS[1])[surfaces]
    return np.dstack([red, np.full_like(red, 100), blue]), things, surfaces


def write_tiny_heads(folder, train=4, val=2, size=SIZE):
    """Write `train` + `val` scenes, named 0, 1, ..., into a new folder.

    The label space of surfaces has the value 0 for what is not labeled, before its classes.
    """
    folder = Path(folder)
    names = "JPEGImages", "SegmentationClass", "SegmentationClass_surface", "ImageSets/Segmentation"
    for name in names:
        (folder / name).mkdir(parents=True)
    for seed in range(train + val):
        image, things, surfaces = scene(seed, size)
        cv2.imwrite(str(folder / names[0] / f"{seed}.png"), image[..., ::-1])
        (folder / names[1] / f"{seed}.png").write_bytes(encode_label(things))
        (folder / names[2] / f"{seed}.png").write_bytes(encode_label(surfaces + np.uint8(1)))
    for split, seeds in (("train", range(train)), ("val", range(train, train + val))):
        lines = "".join(f"{seed}\n" for seed in seeds)
        (folder / names[3] / f"{split}.txt").write_text(lines)
    (folder / "classes.txt").write_text("sky\nroad\ncar\n")
    (folder / "classes_surface.txt").write_text("unlabeled void\nflat\nupright\n")
    return folder
