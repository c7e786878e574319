"""Synthetic scenes of color and depth, whose classes differ in depth alone.

The pictures are those of `deeplab_tf.data.synthetic`: objects of random forms and colors before a
background. Here the class of an object is not its form but how far away it is, which its picture
does not show. So a network for color can find the objects, but not their classes.
"""

from pathlib import Path

import cv2
import numpy as np

from deeplab_tf.data.depth import CAMERA_FILE, MILLIMETERS, Camera
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.synthetic import CLASSES as FORMS
from deeplab_tf.data.synthetic import write_forms
from deeplab_tf.data.synthetic_files import ensure_data_set, new_data_set
from deeplab_tf.data.voc import DEPTH_FOLDER, read_split
from deeplab_tf.labels import LabelSet

# The distances of each class in meters, from and to.
DISTANCES = {"background": (6.0, 7.0), "near": (1.2, 1.5), "middle": (2.0, 2.5), "far": (3.4, 4.2)}
CLASSES = tuple(DISTANCES)


def write_synthetic_depth(data_dir, num_train=200, num_val=40, size=(160, 192), seed=0):
    """Write the data set in VOC layout, with splits "train" and "val", `Depth` and camera.txt.

    Args:
      data_dir: folder to create; if it exists, it must be empty.
      num_train: number of training images.
      num_val: number of validation images.
      size: (height, width) of the images in pixels.
      seed: each image depends only on the seed, its split and its number.

    Raises:
      InputError: as `write_synthetic`.
    """
    with new_data_set(data_dir, CAMERA_FILE) as folder:
        write_forms(folder, {"train": num_train, "val": num_val}, size, seed)
        (folder / DEPTH_FOLDER).mkdir()
        color_table = LabelSet.in_voc_colors(CLASSES).color_table()
        for split_number, split in enumerate(("train", "val")):
            for number, scene in enumerate(read_split(folder, split)):
                forms = load_label(scene.label, len(FORMS))
                rng = np.random.default_rng([seed, split_number, number, 1])
                depth, label = place_in_depth(rng, forms)
                Path(scene.label).write_bytes(encode_label(label, color_table))
                cv2.imwrite(str(folder / DEPTH_FOLDER / f"{scene.name}.png"), depth)
        (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
        camera = Camera(size[1], size[1], (size[1] - 1) / 2, (size[0] - 1) / 2)
        (folder / CAMERA_FILE).write_text(f"{camera}\n")


def ensure_synthetic_depth(data_dir):
    """Write the data set with its default sizes unless it is already in `data_dir`.

    Args:
      data_dir: folder of the data set; made if missing.

    Raises:
      InputError: if `data_dir` holds other files.
    """
    ensure_data_set(data_dir, CAMERA_FILE, write_synthetic_depth)


def place_in_depth(rng, forms):
    """Give every object of a scene a distance, which is its class.

    Args:
      rng: `numpy.random.Generator`.
      forms: (H, W) uint8, the numbers of the objects' forms; 0 is the background.

    Returns:
      depth (H, W) uint16 in millimeters; label (H, W) uint8, indices into `CLASSES`.
    """
    height, width = forms.shape
    across = np.linspace(-1, 1, width) + np.linspace(-1, 1, height)[:, None]  # -2..2
    depth, label = np.zeros(forms.shape), np.zeros(forms.shape, np.uint8)
    for form in np.unique(forms):
        index = rng.integers(1, len(CLASSES)) if form else 0
        nearest, farthest = DISTANCES[CLASSES[index]]
        # A plane that is a little turned, within the distances of its class.
        distance = rng.uniform(nearest, farthest) + rng.uniform(-0.02, 0.02) * across
        depth[forms == form] = np.clip(distance, nearest, farthest)[forms == form]
        label[forms == form] = index
    return np.rint(MILLIMETERS * depth).astype(np.uint16), label
