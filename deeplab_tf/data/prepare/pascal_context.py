"""PASCAL-Context: every pixel of the images of PASCAL VOC 2010, as 59 classes and background.

The authors' label maps have 459 classes, listed in labels.txt. The 59 most frequent of them are
the classes of the benchmark; all pixels of the other 400 are background. The split is that of
VOC 2010, ImageSets/Main/{train,val}.txt: 4,998 and 5,105 images.
"""

from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.label_sets import PASCAL_CONTEXT
from deeplab_tf.data.prepare import voc2010
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.prepare.matlab import load_variable, matrix
from deeplab_tf.errors import InputError

# Named after the data set, because its URL ends in trainval.tar.gz, as that of PASCAL-Part does.
# Nobody has published a checksum of it.
LABELS = Archive(
    "pascal_context_trainval.tar.gz",
    "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
)

_MOST_DIGITS = 5  # of a number of a class; label maps have 16 bits

# The authors' list of the 59 classes (59_labels.txt) has other names for three of them than their
# list of all 459 (labels.txt). Both names are accepted.
OTHER_NAMES = {"table": "diningtable", "cloth": "clothes", "bedclothes": "bedcloth"}


class PascalContext(Builder):
    """PASCAL-Context: background and 59 classes of objects and stuff, no void."""

    archives: ClassVar = {"voc": voc2010.ARCHIVE, "labels": LABELS}
    expected: ClassVar = {"train": 4998, "val": 5105}

    def splits(self, folders):
        """The images of VOC 2010 that have a label map."""
        self._lookup = class_lookup(folders["labels"] / "labels.txt")  # for read_label
        splits = voc2010.annotated_splits(folders["voc"], folders["labels"] / "trainval")
        return {
            split: [example for example in examples if example.label.is_file()]
            for split, examples in splits.items()
        }

    def read_label(self, example):
        """The label map in the classes of the benchmark."""
        return convert(load_variable(example.label, "LabelMap"), self._lookup, example.label)


def class_lookup(path):
    """Find the benchmark's class for each of the 459 classes, by name in the authors' list.

    Args:
      path: labels.txt, with a line such as "2: aeroplane" for each class.

    Returns:
      (largest index + 1,) uint8 array: the index in `PASCAL_CONTEXT` for each index of the
      label maps; 0, background, for the classes that are not among the 59.

    Raises:
      InputError: if the file is missing or is not such a list, or lacks one of the 59 classes.
    """
    indices = {}
    for line in read_file(path).decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        number, name = (part.strip() for part in line.partition(":")[::2])
        if not number.isdecimal() or len(number) > _MOST_DIGITS or not name:
            raise InputError(
                f"{path}: line {line[:80]!r} is not 'NUMBER: NAME'; use the original list"
            )
        indices[name] = int(number)
    if not indices:
        raise InputError(f"{path}: lists no class; use the original list")
    lookup = np.zeros(max(indices.values()) + 1, np.uint8)
    for label, name in enumerate(PASCAL_CONTEXT.names[1:], start=1):
        index = indices.get(name, indices.get(OTHER_NAMES.get(name)))
        if index is None:
            raise InputError(f"{path}: has no class {name!r}; use the original list")
        lookup[index] = label
    return lookup


def convert(label_map, lookup, path):
    """Convert a label map of the authors' 459 classes to the 59 and background.

    Args:
      label_map: (H, W) array of whole numbers; 0 = not labeled.
      lookup: (n,) uint8 array from `class_lookup`.
      path: the file of the label map, for the message.

    Returns:
      (H, W) uint8 array of class indices 0..59.

    Raises:
      InputError: naming the file if the map has an index of no class.
    """
    label_map = matrix(label_map, path)
    known = (label_map >= 0) & (label_map < len(lookup)) & (label_map % 1 == 0)
    if not known.all():
        raise InputError(
            f"{path}: label {label_map[~known][0]} but labels.txt ends at {len(lookup) - 1};"
            " label maps and list must come from the same archive"
        )
    return lookup[label_map.astype(np.int64)]
