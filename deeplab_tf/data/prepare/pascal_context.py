"""PASCAL-Context: every pixel of the images of PASCAL VOC 2010, as 59 classes and background.

The authors' label maps hold 459 classes, listed in labels.txt. The 59 most frequent of them are
the classes of the benchmark; all pixels of the other 400 are background. The split is that of
VOC 2010, ImageSets/Main/{train,val}.txt: 4,998 and 5,105 images.
"""

from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import Example, read_file
from deeplab_tf.data.label_sets import PASCAL_CONTEXT
from deeplab_tf.data.prepare import voc2010
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.prepare.matlab import load_variable, matrix
from deeplab_tf.errors import InputError

# Its address ends in trainval.tar.gz, as that of PASCAL-Part does. Nobody has published a
# checksum of it.
LABELS = Archive(
    "pascal_context_trainval.tar.gz",
    "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
)

# The authors' list of the 59 classes (59_labels.txt) calls three of them differently from their
# list of all 459 (labels.txt). Either name is found.
OTHER_NAMES = {"table": "diningtable", "cloth": "clothes", "bedclothes": "bedcloth"}


class PascalContext(SegmentationBuilder):
    """PASCAL-Context: background and 59 classes of objects and stuff, no void."""

    label_set = PASCAL_CONTEXT
    archives: ClassVar = {"voc": voc2010.ARCHIVE, "labels": LABELS}
    expected: ClassVar = {"train": 4998, "val": 5105}
    lists: ClassVar = {"trainval": ["train", "val"]}

    def splits(self, folders):
        """The images of VOC 2010 that have a label map; an item is an `Example`."""
        self._lookup = class_lookup(folders["labels"] / "labels.txt")
        maps = {path.stem: path for path in (folders["labels"] / "trainval").glob("*.mat")}
        return {
            split: [
                Example(name, voc2010.image_path(folders["voc"], name), maps[name])
                for name in names
                if name in maps
            ]
            for split, names in voc2010.read_main_lists(folders["voc"]).items()
        }

    def load(self, item):
        """The image, and its label map with the classes of the benchmark."""
        label_map = load_variable(item.label, "LabelMap")
        label = convert(label_map, self._lookup, item.label)
        return Sample(item.name, item.image, label, item.label)


def class_lookup(path):
    """What each of the 459 classes becomes, found by the names in the authors' list.

    Args:
      path: labels.txt, with a line such as "2: aeroplane" for each class.

    Returns:
      (largest index + 1,) uint8 array: the index in `PASCAL_CONTEXT` for each index of the
      label maps; 0, background, for the classes that are not among the 59.

    Raises:
      InputError: where the file is missing or no such list, or lacks one of the 59 classes.
    """
    indices = _read_indices(path)
    lookup = np.zeros(max(indices.values()) + 1, np.uint8)
    for label, name in enumerate(PASCAL_CONTEXT.names[1:], start=1):
        index = indices.get(name, indices.get(OTHER_NAMES.get(name)))
        if index is None:
            raise InputError(f"{path}: has no class {name!r}; take the original list")
        lookup[index] = label
    return lookup


def convert(label_map, lookup, path):
    """A label map of the authors' 459 classes as one of the 59 and background.

    Args:
      label_map: (H, W) array of whole numbers; 0 where nothing was labelled.
      lookup: (n,) uint8 array from `class_lookup`.
      path: where the label map comes from, for the message.

    Returns:
      (H, W) uint8 array of class indices 0..59.

    Raises:
      InputError: naming the file, where the map holds an index of no class.
    """
    label_map = matrix(label_map, path)
    known = (label_map >= 0) & (label_map < len(lookup)) & (label_map % 1 == 0)
    if not known.all():
        raise InputError(
            f"{path}: label {label_map[~known][0]} but labels.txt ends at {len(lookup) - 1};"
            " label maps and list must come from the same archive"
        )
    return lookup[label_map.astype(np.int64)]


def _read_indices(path):
    # {name: index} of lines such as "45: bus".
    indices = {}
    for line in read_file(path).decode("utf-8", "replace").splitlines():
        number, _, name = line.partition(":")
        if not line.strip():
            continue
        if not number.strip().isdecimal() or not name.strip():
            raise InputError(f"{path}: line {line!r} is not 'NUMBER: NAME'; take the original list")
        indices[name.strip()] = int(number)
    if not indices:
        raise InputError(f"{path}: lists no class; take the original list")
    return indices
