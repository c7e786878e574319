"""A tiny data set of color and depth in VOC layout."""

from pathlib import Path

import cv2
import numpy as np
from tiny_model import blocks

from deeplab_tf.data.label_png import encode_label

SIZE = (70, 90)
CAMERA = "90 90 45 35"


def scene(seed, size=SIZE):
    """Color (H, W, 3) uint8, depth (H, W) uint16 in millimeters, label: whether it is far."""
    far = blocks(*size, cell=40, seed=seed)[..., 0] > 127
    steps = np.random.default_rng(seed).integers(0, 300, size)
    return blocks(*size, seed=seed + 10), np.uint16(1000 + 2000 * far + steps), np.uint8(far)


def write_tiny_depth(folder, train=4, val=2, size=SIZE):
    """Write `train` + `val` scenes, named 0, 1, ..., into a new folder."""
    folder = Path(folder)
    for name in ("JPEGImages", "SegmentationClass", "Depth", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for seed in range(train + val):
        color, depth, label = scene(seed, size)
        cv2.imwrite(str(folder / "JPEGImages" / f"{seed}.png"), color[..., ::-1])
        cv2.imwrite(str(folder / "Depth" / f"{seed}.png"), depth)
        (folder / "SegmentationClass" / f"{seed}.png").write_bytes(encode_label(label))
    for split, seeds in (("train", range(train)), ("val", range(train, train + val))):
        names = "".join(f"{seed}\n" for seed in seeds)
        (folder / "ImageSets/Segmentation" / f"{split}.txt").write_text(names)
    (folder / "classes.txt").write_text("near\nfar\n")
    (folder / "camera.txt").write_text(CAMERA)
    return folder
