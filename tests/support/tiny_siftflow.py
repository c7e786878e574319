"""A tiny SIFT Flow in the layout of its published archive."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

from deeplab_tf.data.label_sets import SIFTFLOW, SIFTFLOW_GEOMETRIC

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"


def scene(seed, size=(48, 64)):
    """Image (H, W, 3) uint8, semantic numbers 0..33 and geometric numbers -1..3, int16 (H, W)."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 34, (3, 4)), rng.integers(-1, 4, (3, 4))
    semantic, geometric = (
        cv2.resize(np.int16(x), size[::-1], interpolation=cv2.INTER_NEAREST) for x in numbers
    )
    image = np.dstack([5 * semantic, 60 * (geometric + 1), np.full(size, 90)]).astype(np.uint8)
    return image, semantic, geometric


def write_siftflow(folder, trainval, test, size=(48, 64)):
    """Write images, the two kinds of .mat files and TestSet1.txt.

    Args:
      folder: where to.
      trainval, test: names of images; an image's content depends on its place among all.
      size: (height, width) in pixels.
    """
    folder = Path(folder)
    parts = [folder / part / SCENES for part in ("Images", "SemanticLabels", "GeoLabels")]
    for part in parts:
        part.mkdir(parents=True)
    for seed, name in enumerate([*trainval, *test]):
        image, semantic, geometric = scene(seed, size)
        cv2.imwrite(str(parts[0] / f"{name}.jpg"), image[..., ::-1])
        for part, numbers, classes in (
            (parts[1], np.uint8(semantic), SIFTFLOW),
            (parts[2], np.float64(geometric), SIFTFLOW_GEOMETRIC),
        ):
            names = np.array(classes.names, object)
            scipy.io.savemat(part / f"{name}.mat", {"S": numbers, "names": names})
    lines = "".join(f"{SCENES}\\{name}.jpg\r\n" for name in test)
    (folder / "TestSet1.txt").write_text(lines)
    return folder
