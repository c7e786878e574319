"""PASCAL VOC 2012 with the additional labels of the Semantic Boundaries Dataset (SBD).

    train  the 1,464 training images of VOC, with VOC's labels
    sbd    the 9,118 images that only SBD has labeled, without those of VOC's train and val
    val    the 1,449 validation images of VOC

`train_aug` is train and sbd (10,582 images), `trainval_aug` all three (12,031). Images come from
VOC's JPEGImages, or from SBD's img if they are not there.

VOC's labels have a band of void about 5 pixels wide around the objects, SBD's have none. The
published systems were trained on these labels as they are; --sbd_void_border=2 draws a band of 4
pixels.
"""

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.lists import read_lines
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.matlab import field, load_variable, matrix
from deeplab_tf.data.prepare.voc12 import ARCHIVE as VOC_ARCHIVE
from deeplab_tf.data.prepare.voc12 import FOLDER as VOC_FOLDER
from deeplab_tf.data.prepare.voc12 import Voc12
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

ARCHIVE = Archive(
    "benchmark.tgz",
    "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz",
    "md5:82b4d87ceb2ed10f6038a1cba92111cb",
)
FOLDER = "benchmark_RELEASE/dataset"


class Voc12Aug(Voc12):
    """PASCAL VOC 2012 segmentation with SBD's labels of 9,118 further training images."""

    archives: ClassVar = {"voc": VOC_ARCHIVE, "sbd": ARCHIVE}
    expected: ClassVar = {"train": 1464, "sbd": 9118, "val": 1449}
    lists: ClassVar = {
        "trainval": ["train", "val"],
        "train_aug": ["train", "sbd"],
        "trainval_aug": ["train", "sbd", "val"],
    }
    OPTIONS: ClassVar = {"sbd_void_border": 0}

    def check_options(self):
        """Check that the border's width in pixels is 0 or more."""
        if self.options["sbd_void_border"] < 0:
            raise InputError(f"--sbd_void_border={self.options['sbd_void_border']}: give 0 or more")

    def splits(self, folders):
        """VOC's lists, and the images that only SBD has labeled, sorted by name."""
        voc_splits = super().splits(folders)
        in_voc = {example.name for examples in voc_splits.values() for example in examples}
        voc, sbd = folders["voc"] / VOC_FOLDER, folders["sbd"] / FOLDER
        # SBD's lists divide the images differently: some of VOC's val are in SBD's train.
        names = {name for split in ("train", "val") for name in read_lines(sbd / f"{split}.txt")}
        examples = [sbd_example(name, voc, sbd) for name in sorted(names - in_voc)]
        return {"train": voc_splits["train"], "sbd": examples, "val": voc_splits["val"]}

    def read_label(self, example):
        """The label from VOC's PNG or from SBD's .mat file."""
        if Path(example.label).suffix != ".mat":
            return super().read_label(example)
        return void_borders(load_sbd_label(example.label), self.options["sbd_void_border"])


def sbd_example(name, voc, sbd):
    """The `Example` of an image that SBD has labeled.

    Args:
      name: its name.
      voc: Path of a folder in VOC layout, whose image is used if it has one.
      sbd: Path of SBD's folder `FOLDER`, whose image is used otherwise.
    """
    image = voc / "JPEGImages" / f"{name}.jpg"
    if not image.is_file():
        image = sbd / "img" / f"{name}.jpg"
    return Example(name, image, sbd / "cls" / f"{name}.mat")


def load_sbd_label(path):
    """Read the label map of one of SBD's files cls/NAME.mat.

    Returns:
      (H, W) uint8 array of VOC's class indices; SBD has no void.

    Raises:
      InputError: naming the file if it is missing, damaged, or holds something else.
    """
    label = matrix(field(load_variable(path, "GTcls"), "Segmentation", path), path)
    wrong = label[~np.isin(label, np.arange(21))]
    if wrong.size:
        raise InputError(f"{path}: class {wrong[0]}; SBD has 0..20; use the original file")
    return label.astype(np.uint8)


def void_borders(label, width):
    """A label map with void at the borders between classes.

    Args:
      label: (H, W) uint8 array.
      width: a pixel becomes void if a pixel of another class is at most this many pixels away,
        horizontally, vertically or diagonally; so the band is twice as wide.

    Returns:
      (H, W) uint8 array.

    Example:
      >>> void_borders(np.array([[0, 0, 7, 7]], np.uint8), 1)
      array([[  0, 255, 255,   7]], dtype=uint8)
    """
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # The largest and the smallest label in the square differ if it holds two classes.
    is_border = cv2.dilate(label, square) != cv2.erode(label, square)
    return np.where(is_border, np.uint8(VOID), label)
