"""Synthetic scenes with labels in two label spaces, for networks with two score heads.

The pictures and the first labels are those of `deeplab_tf.data.synthetic`: objects of random forms
and colors before a background. The second labels, in the label space `shade`, say whether an object
is dark or light, whatever its form; so neither label follows from the other.
"""

import numpy as np

from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.synthetic import CLASSES as FORMS
from deeplab_tf.data.synthetic import write_forms
from deeplab_tf.data.synthetic_files import ensure_data_set, new_data_set
from deeplab_tf.data.voc import classes_file, labels_folder, read_split
from deeplab_tf.labels import LabelSet

SPACE = "shade"
SHADES = ("background", "dark", "light")
LIGHT = 128  # mean level of red, green and blue from which an object is light


def write_synthetic_heads(data_dir, num_train=500, num_val=60, size=(160, 192), seed=0):
    """Write the data set in VOC layout, with splits "train" and "val" and two folders of labels.

    Args:
      data_dir: folder to create; if it exists, it must be empty.
      num_train: number of training images.
      num_val: number of validation images.
      size: (height, width) of the images in pixels.
      seed: each image depends only on the seed, its split and its number.

    Raises:
      InputError: as `write_synthetic`.
    """
    with new_data_set(data_dir, classes_file(SPACE)) as folder:
        write_forms(folder, {"train": num_train, "val": num_val}, size, seed)
        (folder / labels_folder(SPACE)).mkdir()
        color_table = LabelSet.in_voc_colors(SHADES).color_table()
        for scene in [*read_split(folder, "train"), *read_split(folder, "val")]:
            label = shades_of(*load_pair(scene, len(FORMS)))
            file = folder / labels_folder(SPACE) / f"{scene.name}.png"
            file.write_bytes(encode_label(label, color_table))
        (folder / classes_file(SPACE)).write_text("\n".join(SHADES) + "\n")


def ensure_synthetic_heads(data_dir):
    """Write the data set with its default sizes unless it is already in `data_dir`.

    Args:
      data_dir: folder of the data set; made if missing.

    Raises:
      InputError: if `data_dir` holds other files.
    """
    ensure_data_set(data_dir, classes_file(SPACE), write_synthetic_heads)


def shades_of(image, forms):
    """Label the objects of a scene by their mean brightness.

    Args:
      image: (H, W, 3) uint8 RGB.
      forms: (H, W) uint8, the numbers of the objects' forms; 0 is the background. No two objects
        have the same form.

    Returns:
      (H, W) uint8, indices into `SHADES`.

    Example:
      >>> shades_of(np.uint8([[[9] * 3, [99] * 3, [199] * 3]]), np.uint8([[0, 1, 2]]))
      array([[0, 1, 2]], dtype=uint8)
    """
    label = np.zeros_like(forms)
    for form in np.unique(forms[forms > 0]):
        place = forms == form
        label[place] = 2 if image[place].mean() >= LIGHT else 1
    return label
