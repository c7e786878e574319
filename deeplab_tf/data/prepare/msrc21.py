"""MSRC-21: 591 photographs of the Microsoft Research Cambridge database (version 2) in 21 classes.

The authors draw 23 classes in colors. They have too few examples of horses and mountains, so these
are void, as black is: TextonBoost and the fully connected CRF are scored on the other 21.

--lists_dir      the folder of TextonBoost's lists, Train.txt, Validation.txt and Test.txt: 276, 59
                 and 256 names such as 7_1_s.bmp. Published figures are for these. Without them the
                 images are divided by the last digit of their number (`split_of`).
--outlines_dir   the folder of the more exact outlines of Malisiewicz and Efros (2007), NAME_GT.mat,
                 in place of the authors' own labels
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_image
from deeplab_tf.data.label_sets import MSRC21
from deeplab_tf.data.lists import read_entries
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder, files_by_stem
from deeplab_tf.data.prepare.colors import classes_of_colors
from deeplab_tf.data.prepare.matlab import load_variable, matrix
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.visualize import encode_picture

# The checksum is the one that a public loader of the data set demands.
ARCHIVE = Archive(
    "msrc_objcategimagedatabase_v2.zip",
    "https://download.microsoft.com/download/3/3/9/339D8A24-47D7-412F-A1E8-1A415BC48A15/"
    "msrc_objcategimagedatabase_v2.zip",
    "md5:8fcd292c7f1e69f91a2ef513746bd52c",
)
LISTS = {"train": "Train.txt", "val": "Validation.txt", "test": "Test.txt"}
SUFFIX = "_GT"  # of the names of labels

# In four public readers of the labels, which agree.
VOID_COLORS = {"void": (0, 0, 0), "horse": (128, 0, 128), "mountain": (64, 0, 0)}
COLORS = (
    *((color, VOID) for color in VOID_COLORS.values()),
    *((color, index) for index, color in enumerate(MSRC21.colors)),
)

# Labels 1..23 of the outlines are the classes in the order of the authors' color table; 0 is void.
AUTHORS_CLASSES = [*MSRC21.names]
AUTHORS_CLASSES.insert(MSRC21.names.index("sheep"), "horse")
AUTHORS_CLASSES.insert(AUTHORS_CLASSES.index("aeroplane"), "mountain")
CLASS_OF_LABEL = np.array(
    [VOID, *(VOID if n in VOID_COLORS else MSRC21.names.index(n) for n in AUTHORS_CLASSES)],
    np.uint8,
)


class Msrc21(Builder):
    """MSRC-21: photographs of 20 kinds of scenes, 21 classes of things and stuff, much void."""

    archives: ClassVar = {"msrc": ARCHIVE}
    OPTIONS: ClassVar = {"lists_dir": "", "outlines_dir": ""}
    PATHS: ClassVar = ("lists_dir", "outlines_dir")

    @property
    def expected(self):
        """The sizes of TextonBoost's lists, or of ours."""
        counts = (276, 59, 256) if self.options["lists_dir"] else (296, 58, 237)
        return dict(zip(LISTS, counts, strict=True))

    def source_files(self):
        """The user's lists and outlines."""
        lists, outlines = self.options["lists_dir"], self.options["outlines_dir"]
        files = [Path(lists, name) for name in LISTS.values()] if lists else []
        return [*files, *(sorted(files_by_stem(outlines, ".mat").values()) if outlines else [])]

    def splits(self, folders):
        """The images of each list in its order, or of our split sorted by name."""
        images = files_by_stem(folders["msrc"], ".bmp")
        outlines = self.options["outlines_dir"]
        labels = files_by_stem(outlines, ".mat") if outlines else images
        if lists := self.options["lists_dir"]:
            chosen = {s: [e.name for e in read_entries(Path(lists, f))] for s, f in LISTS.items()}
        else:
            names = sorted(name for name in images if not name.endswith(SUFFIX))
            chosen = {split: [n for n in names if split_of(n) == split] for split in LISTS}

        def example(name):
            image = _find(images, name, folders["msrc"])
            label = _find(labels, f"{name}{SUFFIX}", outlines or folders["msrc"])
            return Example(name, image, label)

        return {split: [example(name) for name in found] for split, found in chosen.items()}

    def read_image(self, example):
        """The image as a PNG; the original is a BMP."""
        return encode_picture(load_image(example.image))

    def read_label(self, example):
        """The label in the 21 classes."""
        if Path(example.label).suffix == ".mat":
            return read_outlines(example.label)
        return classes_of_colors(load_image(example.label), COLORS, example.label, "MSRC")


def split_of(name):
    """The split of an image if there are no lists, from the last digit of its number.

    Odd digits are for training, 0 for validation, and 2, 4, 6 and 8 for testing. So each of the 20
    scenes is divided in the same way.

    Args:
      name: SCENE_NUMBER_s, such as "7_12_s".

    Returns:
      "train", "val" or "test".

    Raises:
      InputError: if this is not the name of an image of MSRC.
    """
    scene, _, rest = name.partition("_")
    number = rest.removesuffix("_s")
    if not (scene.isdecimal() and number.isdecimal() and rest.endswith("_s")):
        raise InputError(f"{name!r}: not an image of MSRC version 2; use the original archive")
    digit = int(number[-1])
    return "train" if digit % 2 else "test" if digit else "val"


def read_outlines(path):
    """The label map of a file of cleaned outlines.

    Its `newseg` has the number of a segment, from 1, at each pixel, and `newlabels` the label, 1 to
    23, of each segment. Segments beyond the last label are void, and so is 0.

    Args:
      path: NAME_GT.mat.

    Returns:
      (H, W) uint8 array of class indices 0..20, 255 = void.

    Raises:
      InputError: naming the file if it is missing, damaged or of another form.
    """
    segments = matrix(load_variable(path, "newseg"), path)
    labels = np.atleast_1d(load_variable(path, "newlabels")).ravel()
    for what, values, last in (
        ("segment", segments, len(labels) + 1),
        ("label", labels, len(AUTHORS_CLASSES)),
    ):
        known = np.isin(values, np.arange(last + 1))
        if not known.all():
            raise InputError(
                f"{path}: {what} {values[~known][0]}; it should be 0..{last}; use the original file"
            )
    classes = CLASS_OF_LABEL[[0, *labels.astype(int), 0]]
    return classes[segments.astype(int)]


def _find(found, name, folder):
    if name not in found:
        ending = next(iter(found.values())).suffix
        raise InputError(f"{folder}: no {name}{ending}; use the original files")
    return found[name]
