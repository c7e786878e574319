"""PASCAL VOC 2012 with the additional labels of the Semantic Boundaries Dataset (SBD).

    train  the 1,464 training images of VOC, with VOC's labels
    sbd    the 9,118 images that SBD alone has labelled; those of VOC's train and val are left out
    val    the 1,449 validation images of VOC

`train_aug` is train and sbd (10,582), `trainval_aug` all three (12,031). Images come from VOC's
JPEGImages, and from SBD's img where they are not there.

VOC's labels have a band of void about 5 pixels wide around the objects, SBD's have none. The
published systems were trained on them so; --sbd_void_border=2 draws a band of 4 pixels.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple

import cv2
import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import read_lines
from deeplab_tf.data.prepare import voc12
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.prepare.matlab import field, load_variable, matrix
from deeplab_tf.data.voc import read_split
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

ARCHIVE = Archive(
    "benchmark.tgz",
    "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz",
    "md5:82b4d87ceb2ed10f6038a1cba92111cb",
)
FOLDER = "benchmark_RELEASE/dataset"


class SbdExample(NamedTuple):
    """One image that SBD has labelled.

    Args:
      name: its name in the lists.
      image: Path of the JPEG.
      label: Path of the .mat file.
    """

    name: str
    image: Path
    label: Path


class Voc12Aug(SegmentationBuilder):
    """PASCAL VOC 2012 segmentation with SBD's labels of 9,118 further training images."""

    label_set = VOC
    archives: ClassVar = {"voc": voc12.ARCHIVE, "sbd": ARCHIVE}
    expected: ClassVar = {"train": 1464, "sbd": 9118, "val": 1449}
    lists: ClassVar = {
        "trainval": ["train", "val"],
        "train_aug": ["train", "sbd"],
        "trainval_aug": ["train", "sbd", "val"],
    }
    OPTIONS: ClassVar = {"sbd_void_border": 0}

    @classmethod
    def check_options(cls, options):
        """The border's width in pixels is 0 or more."""
        if options["sbd_void_border"] < 0:
            raise InputError(f"--sbd_void_border={options['sbd_void_border']}: give 0 or more")

    def splits(self, folders):
        """The lists of VOC, and what SBD has beyond them in the order of the names."""
        voc, sbd = folders["voc"] / voc12.FOLDER, folders["sbd"] / FOLDER
        train, val = (read_split(voc, split) for split in ("train", "val"))
        held_back = {example.name for example in train + val}
        names = sorted(_sbd_names(sbd) - held_back)
        return {"train": train, "sbd": [_sbd_example(voc, sbd, n) for n in names], "val": val}

    def load(self, item):
        """The image, and its label from VOC's PNG or from SBD's .mat file."""
        if isinstance(item, Example):
            label = load_label(item.label, self.label_set.num_classes)
        else:
            label = void_borders(load_sbd_label(item.label), self.options["sbd_void_border"])
        return Sample(item.name, item.image, label, item.label)


def load_sbd_label(path):
    """The class map of one of SBD's files cls/NAME.mat.

    Returns:
      (H, W) uint8 array of VOC's class indices; SBD knows no void.

    Raises:
      InputError: naming the file, where it is missing, damaged, or holds something else.
    """
    label = matrix(field(load_variable(path, "GTcls"), "Segmentation", path), path)
    wrong = label[~np.isin(label, np.arange(VOC.num_classes))]
    if wrong.size:
        raise InputError(f"{path}: class {wrong[0]}; SBD has 0..20; take the original file")
    return label.astype(np.uint8)


def void_borders(label, width):
    """A label map with void at the borders between classes.

    Args:
      label: (H, W) uint8 array.
      width: a pixel becomes void where a pixel of another class lies at most so many pixels
        away, to the sides or diagonally; the band is twice as wide.

    Returns:
      (H, W) uint8 array.

    Example:
      >>> void_borders(np.array([[0, 0, 7, 7]], np.uint8), 1)
      array([[  0, 255, 255,   7]], dtype=uint8)
    """
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    is_border = cv2.dilate(label, square) != cv2.erode(label, square)
    return np.where(is_border, np.uint8(VOID), label)


def _sbd_names(sbd):
    names = set()
    for split in ("train", "val"):
        path = sbd / f"{split}.txt"
        if not path.is_file():
            raise InputError(f"{path}: no such list; take the original {ARCHIVE.file_name}")
        names |= set(read_lines(path))
    return names


def _sbd_example(voc, sbd, name):
    image = voc / "JPEGImages" / f"{name}.jpg"
    if not image.is_file():
        image = sbd / "img" / f"{name}.jpg"
    return SbdExample(name, image, sbd / "cls" / f"{name}.mat")
