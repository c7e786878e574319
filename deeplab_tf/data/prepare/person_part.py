"""PASCAL-Person-Part: six parts of the body of every person in images of PASCAL VOC 2010.

The annotations of PASCAL-Part divide a person into 24 parts, which are merged into six as in the
DeepLab papers. Everything else, including parts of animals and vehicles, is background.

The papers train on 1,716 and validate on 1,817 images "containing persons", which the archives
do not list. Here these are the images of VOC 2010, ImageSets/Main/{train,val}.txt, in which at
least one pixel of a person's parts is labeled; their numbers can differ a little from the
papers'. If you have the papers' lists, give them as train_list and val_list.
"""

from typing import ClassVar

import numpy as np

from deeplab_tf.data.image_files import image_from
from deeplab_tf.data.label_sets import PERSON_PART
from deeplab_tf.data.prepare import voc2010
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.prepare.matlab import field, load_variable, matrix, structs
from deeplab_tf.errors import InputError

# Named after the data set, because its URL ends in trainval.tar.gz, as that of PASCAL-Context does.
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


class PersonPart(Builder):
    """PASCAL-Person-Part: background and six parts of the human body, no void."""

    archives: ClassVar = {"voc": voc2010.ARCHIVE, "parts": PARTS}
    # Paths of lists of names, one per line; "": the images of VOC's own lists that have parts.
    OPTIONS: ClassVar = {"train_list": "", "val_list": ""}
    PATHS: ClassVar = ("train_list", "val_list")

    def check_options(self):
        """Check that both lists are given or none."""
        if bool(self.options["train_list"]) != bool(self.options["val_list"]):
            raise InputError("--train_list and --val_list: give both or none")

    def splits(self, folders):
        """All images that may have parts."""
        annotations = folders["parts"] / "Annotations_Part"
        return voc2010.annotated_splits(folders["voc"], annotations, **self.options)

    def read_label(self, example):
        """The parts; None if there are none and no user's list names the image."""
        parts = read_parts(example.label)
        if not self.options["train_list"] and not any(mask.any() for _, mask in parts):
            return None
        image = image_from(self.read_image(example), example.image)
        return draw(parts, image.shape[:2], example.label)


def read_parts(path):
    """The parts of all persons in an annotation file.

    Args:
      path: Annotations_Part/NAME.mat.

    Returns:
      A list of (label, mask): the class index 1..6 and an (H, W) bool array, in the file's
      order; empty if there is no person, or no person has parts.

    Raises:
      InputError: naming the file if it is missing, damaged, of another form, or has a part of a
        person that is not among the 24.
    """
    found = []
    for entry in structs(field(load_variable(path, "anno"), "objects", path)):
        if field(entry, "class", path) != PERSON:
            continue
        for part in structs(field(entry, "parts", path)):
            name = field(part, "part_name", path)
            if name not in PART_LABELS:
                raise InputError(
                    f"{path}: unknown part {name!r} of a person; use the original file"
                )
            found.append((PART_LABELS[name], matrix(field(part, "mask", path), path) != 0))
    return found


def draw(parts, shape, path):
    """The label map of an image's parts.

    Args:
      parts: what `read_parts` returns. If parts overlap, the later one is in front, as in the
        public converters.
      shape: (H, W) of the image.
      path: the annotation file, for the message.

    Returns:
      (H, W) uint8 array of class indices 0..6.

    Raises:
      InputError: naming the file if a mask has another size.
    """
    label = np.zeros(shape, np.uint8)
    for index, mask in parts:
        if mask.shape != label.shape:
            raise InputError(
                f"{path}: mask of {mask.shape[1]}x{mask.shape[0]} pixels, but the image has"
                f" {label.shape[1]}x{label.shape[0]}; use both from the original archives"
            )
        label[mask] = index
    return label
