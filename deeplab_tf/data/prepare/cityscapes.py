"""Cityscapes: finely annotated street scenes of 2048x1024 pixels, 19 classes.

Its 34 label ids become the 19 train ids that are evaluated; all others are void. The splits are
train (2,975 images) and val (500). The 1,525 test images are left out, because their public
labels are dummies that mark everything as void.
"""

from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_sets import CITYSCAPES_IDS
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

PAGE = "https://www.cityscapes-dataset.com/downloads/ (a login is needed)"
IMAGES = Archive(
    "leftImg8bit_trainvaltest.zip", checksum="md5:0a6e97e94b616a514066c9e2adb0c97f", page=PAGE
)
LABELS = Archive(
    "gtFine_trainvaltest.zip", checksum="md5:4237c19de34c8a376e9ba46b495d6f66", page=PAGE
)
IMAGE_ENDING, LABEL_ENDING = "_leftImg8bit.png", "_gtFine_labelIds.png"

# License plates have the label id -1, which an 8-bit PNG stores as 255.
LABEL_IDS = (*range(34), 255)


class Cityscapes(Builder):
    """Cityscapes, fine annotations: 19 classes of street scenes, void elsewhere."""

    archives: ClassVar = {"images": IMAGES, "labels": LABELS}
    expected: ClassVar = {"train": 2975, "val": 500}

    def splits(self, folders):
        """The images of all cities, sorted by city and name."""
        splits = {}
        for split in ("train", "val"):
            images, labels = folders["images"] / "leftImg8bit", folders["labels"] / "gtFine"
            splits[split] = []
            for image in sorted((images / split).glob(f"*/*{IMAGE_ENDING}")):
                name, city = image.name.removesuffix(IMAGE_ENDING), image.parent.name
                label = labels / split / city / f"{name}{LABEL_ENDING}"
                splits[split].append(Example(name, image, label))
        return splits

    def read_label(self, example):
        """The label with train ids."""
        return convert(load_label(example.label, 256), example.label)


def convert(label_ids, path):
    """Convert label ids to train ids.

    Args:
      label_ids: (H, W) uint8 array of a NAME_gtFine_labelIds.png: 0..33, and 255 for id -1.
      path: that file, for the message.

    Returns:
      (H, W) uint8 array of class indices 0..18, 255 = void.

    Raises:
      InputError: naming the file if it has another value.
    """
    unknown = label_ids[~np.isin(label_ids, LABEL_IDS)]
    if unknown.size:
        raise InputError(
            f"{path}: label id {unknown[0]}, but Cityscapes has 0..33; use the original labelIds"
        )
    lookup = np.full(256, VOID, np.uint8)
    lookup[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
    return lookup[label_ids]
