"""PASCAL-Person-Part: six parts of the body of every person in images of PASCAL VOC 2010.

The annotations of PASCAL-Part divide a person into 24 parts, which are merged into six as the
DeepLab papers do. Everything else, parts of animals and vehicles too, is background.

The papers train on 1,716 and validate on 1,817 images "containing persons", which the archives
do not list. Here these are the images of VOC 2010, ImageSets/Main/{train,val}.txt, in which at
least one pixel of a person's parts is labelled; their numbers can differ a little from the
papers'. Who has the papers' lists gives them as train_list and val_list.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_image
from deeplab_tf.data.label_sets import PERSON_PART
from deeplab_tf.data.prepare import voc2010
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.prepare.matlab import field, load_variable, mask, structs
from deeplab_tf.errors import InputError

# Its address ends in trainval.tar.gz, as that of PASCAL-Context does.
PARTS = Archive(
    "pascal_part_trainval.tar.gz",
    "http://roozbehm.info/pascal-parts/trainval.tar.gz",
    "md5:2fa0a19ee9b5e43b2bee520166111120",
)
PERSON = "person"

# Checked against three public converters of this data set, which agree: hands belong to the
# lower arms, feet to the lower legs, the neck to the torso.
MERGED = {
    "head": "head leye reye lear rear lebrow rebrow nose mouth hair",
    "torso": "torso neck",
    "upper_arms": "luarm ruarm",
    "lower_arms": "llarm rlarm lhand rhand",
    "upper_legs": "luleg ruleg",
    "lower_legs": "llleg rlleg lfoot rfoot",
}
PART_LABELS = {
    part: PERSON_PART.names.index(name) for name, parts in MERGED.items() for part in parts.split()
}


class PersonPart(SegmentationBuilder):
    """PASCAL-Person-Part: background and six parts of the human body, no void."""

    label_set = PERSON_PART
    archives: ClassVar = {"voc": voc2010.ARCHIVE, "parts": PARTS}
    lists: ClassVar = {"trainval": ["train", "val"]}
    # Paths of lists of names, one a line; "" takes all images of VOC's own list with parts.
    OPTIONS: ClassVar = {"train_list": "", "val_list": ""}
    PATHS: ClassVar = ("train_list", "val_list")

    def splits(self, folders):
        """All images that may have parts; an item is an `Example`."""
        annotations = folders["parts"] / "Annotations_Part"
        return {
            split: [
                Example(name, voc2010.image_path(folders["voc"], name), annotations / f"{name}.mat")
                for name in names
            ]
            for split, names in self._lists(folders["voc"]).items()
        }

    def load(self, item):
        """The image and its parts; None where no list asks for it and no part is labelled."""
        parts = read_parts(item.label)
        has_parts = any(part.any() for _, part in parts)
        if not has_parts and not self.options["train_list"]:
            return None
        shape = load_image(item.image).shape[:2]
        return Sample(item.name, item.image, draw(parts, shape, item.label), item.label)

    def _lists(self, folder):
        paths = {"train": self.options["train_list"], "val": self.options["val_list"]}
        if not any(paths.values()):
            return voc2010.read_main_lists(folder)
        if not all(paths.values()):
            raise InputError("--train_list and --val_list: give both or none")
        return {split: voc2010.read_names(Path(path)) for split, path in paths.items()}


def read_parts(path):
    """The parts of all persons that an annotation file holds.

    Args:
      path: Annotations_Part/NAME.mat.

    Returns:
      A list of (label, mask): the class index 1..6 and an (H, W) bool array, in the file's
      order; empty where there is no person, or none of them has parts.

    Raises:
      InputError: naming the file, where it is missing, damaged, of another form, or holds a
        part of a person that is not among the 24.
    """
    objects = structs(field(load_variable(path, "anno"), "objects", path))
    persons = [entry for entry in objects if field(entry, "class", path) == PERSON]
    parts = [part for person in persons for part in structs(field(person, "parts", path))]
    return [_read_part(part, path) for part in parts]


def draw(parts, shape, path):
    """The label map of an image's parts.

    Args:
      parts: what `read_parts` gives. Where parts overlap the later one is in front, as in the
        public converters.
      shape: (H, W) of the image.
      path: the annotation file, for the message.

    Returns:
      (H, W) uint8 array of class indices 0..6.

    Raises:
      InputError: naming the file, where a mask is of another size.
    """
    label = np.zeros(shape, np.uint8)
    for index, part_mask in parts:
        if part_mask.shape != label.shape:
            raise InputError(
                f"{path}: mask of {part_mask.shape[1]}x{part_mask.shape[0]} pixels, but the image"
                f" has {label.shape[1]}x{label.shape[0]}; take both from the original archives"
            )
        label[part_mask] = index
    return label


def _read_part(part, path):
    name = field(part, "part_name", path)
    if name not in PART_LABELS:
        raise InputError(f"{path}: unknown part {name!r} of a person; take the original file")
    return PART_LABELS[name], mask(field(part, "mask", path), path)
