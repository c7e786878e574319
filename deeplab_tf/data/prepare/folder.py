"""The user's own images and labels, in two folders or in VOC layout.

--images_dir --labels_dir --classes    NAME.jpg (or .jpeg, .png, .tif, .bmp, .webp) and NAME.png
                                       (or .tif, .bmp, lossless .webp), or with
                                       --label_suffix=_mask NAME_mask.png, and a file that lists
                                       the classes as classes.txt does (see voc.py); split by
                                       --train_list and --val_list, or by --val_fraction
--voc_dir                              a folder in VOC layout, with its own lists and classes,
                                       further label spaces, depth maps and camera
--max_side                             reduce what is larger than this, in pixels
"""

import functools
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import ClassVar

from deeplab_tf.data.depth import CAMERA_FILE, decode_depth, read_camera
from deeplab_tf.data.examples import Example, read_file
from deeplab_tf.data.image_files import image_from, load_label
from deeplab_tf.data.image_header import find_format
from deeplab_tf.data.inputs import find_depth_maps
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import IMAGE_EXTENSIONS, LABEL_EXTENSIONS, Entry, read_entries
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.prepare.matching import divide, files_by_name, find_listed
from deeplab_tf.data.shrink import shrink, shrink_label
from deeplab_tf.data.voc import (
    DEPTH_FOLDER,
    classes_file,
    label_spaces,
    list_path,
    read_classes,
    read_split,
)
from deeplab_tf.errors import InputError
from deeplab_tf.visualize import encode_picture

SPLITS = ("train", "val")
_WITHOUT_DEPTH = f"rename the folder {DEPTH_FOLDER} to prepare the data without depth"


class Folder(Builder):
    """The user's own images and labels."""

    OPTIONS: ClassVar = {
        "images_dir": None,
        "labels_dir": None,
        "label_suffix": None,
        "classes": None,
        "train_list": None,
        "val_list": None,
        "val_fraction": None,
        "voc_dir": None,
        "max_side": None,
    }
    PATHS: ClassVar = tuple(
        name for name in OPTIONS if name not in ("label_suffix", "val_fraction", "max_side")
    )

    def check_options(self):
        """Check that the data and the way to split it are each given in exactly one way."""
        given = {name for name, value in self.options.items() if value not in (None, "")}
        given.discard("max_side")  # goes with all others
        if "voc_dir" in given and len(given) > 1:
            other = sorted(given - {"voc_dir"})[0]
            raise InputError(f"--voc_dir and --{other}: give --voc_dir alone")
        for name in ("images_dir", "labels_dir", "classes"):
            if "voc_dir" not in given and name not in given:
                raise InputError(
                    f"--{name} is missing; give it, or a folder in VOC layout as --voc_dir"
                )
        if "val_fraction" in given and given & {"train_list", "val_list"}:
            raise InputError("--val_fraction and a list: give one or the other")
        if "val_list" in given and "train_list" not in given:
            raise InputError("--val_list without --train_list: also give the list to train on")
        fraction = self.options["val_fraction"]
        if not 0 <= (fraction or 0) < 1:
            raise InputError(f"--val_fraction={fraction}: give at least 0 and less than 1")

    def source_files(self):
        """The classes, the lists, and every image with its label."""
        if voc_dir := self.options["voc_dir"]:
            lists = [list_path(voc_dir, split) for split in SPLITS]
        else:
            lists = filter(None, (self.options[f"{split}_list"] for split in SPLITS))
        files = [path for example in self._examples for path in (example.image, example.label)]
        for space, (*_, labels) in self._spaces.items():
            files += [Path(voc_dir, classes_file(space)), *labels.values()]
        if self._depth_maps:
            files += [Path(voc_dir, CAMERA_FILE), *self._depth_maps.values()]
        return [self._classes_path, *lists, *files]

    def splits(self, folders):
        """The examples of the lists, or all, with evenly spaced ones for validation."""
        return self._splits

    def read_image(self, example):
        """The image file; as PNG, already turned, if it is neither JPEG nor PNG.

        A JPEG or PNG keeps its EXIF orientation: it is turned when it is read, because people draw
        labels on what viewers show. With --max_side, what is larger is reduced, to a PNG.
        """
        contents, max_side = read_file(example.image), self.options["max_side"]
        is_usual = find_format(contents) in ("JPEG", "PNG")
        if is_usual and max_side is None:
            return contents
        image = image_from(contents, example.image)
        small = shrink(image, max_side)
        return contents if is_usual and small is image else encode_picture(small)

    def read_label(self, example):
        """The label's class indices; the file may have their colors, or values to ignore."""
        label_set, encoding = self._classes
        label = load_label(example.label, label_set.num_classes, encoding)
        return shrink_label(label, self.options["max_side"])

    def read_further(self, space, example):
        """The label's class indices in a further label space of the VOC layout."""
        label_set, encoding, labels = self._spaces[space]
        label = load_label(labels[example.name], label_set.num_classes, encoding)
        return shrink_label(label, self.options["max_side"])

    def read_depth(self, example):
        """The depth map of the VOC layout."""
        path = self._depth_maps[example.name]
        try:
            return decode_depth(read_file(path))
        except InputError as error:
            raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None

    @property
    def label_set(self):
        """The classes of --classes or of the VOC layout's classes.txt."""
        return self._classes[0]

    @property
    def further_labels(self):
        """The classes of the further label spaces of the VOC layout."""
        return {space: label_set for space, (label_set, *_) in self._spaces.items()}

    @property
    def camera(self):
        """The camera of the VOC layout's depth maps; None if it has none."""
        if not self._depth_maps:
            return None
        path = Path(self.options["voc_dir"], CAMERA_FILE)
        if self.options["max_side"]:
            raise InputError(
                f"--max_side: the depth maps in {path.parent / DEPTH_FOLDER} are not reduced; "
                f"leave it out, or {_WITHOUT_DEPTH}"
            )
        if (camera := read_camera(path)) is None:
            raise InputError(
                f"{path}: no such file, but prepared depth maps need their camera matrix; write "
                f"fx fy cx cy there, in pixels, or {_WITHOUT_DEPTH}"
            )
        return camera

    @property
    def _classes_path(self):
        voc_dir = self.options["voc_dir"]
        return Path(voc_dir) / "classes.txt" if voc_dir else Path(self.options["classes"])

    @functools.cached_property
    def _classes(self):
        # The `LabelSet` and the `LabelEncoding`, or None for class indices.
        if self.options["voc_dir"] and not self._classes_path.is_file():
            return VOC, None
        return read_classes(self._classes_path)

    @functools.cached_property
    def _spaces(self):
        # {further label space: (its `LabelSet`, `LabelEncoding`, {name of an example: its label})}.
        voc_dir, spaces = self.options["voc_dir"], {}
        for space in label_spaces(voc_dir) if voc_dir else ():
            classes = read_classes(Path(voc_dir, classes_file(space)))
            examples = [
                each for split in self._splits for each in read_split(voc_dir, split, space=space)
            ]
            spaces[space] = *classes, {each.name: each.label for each in examples}
        return spaces

    @functools.cached_property
    def _depth_maps(self):
        # {name of an example: the path of its depth map}; empty if there is no folder of them.
        voc_dir = self.options["voc_dir"]
        if not voc_dir or not Path(voc_dir, DEPTH_FOLDER).is_dir():
            return {}
        found = find_depth_maps(self._examples, "voc", voc_dir, True, _WITHOUT_DEPTH)
        return {example.name: path for example, path in found}

    @property
    def _examples(self):
        return [example for found in self._splits.values() for example in found]

    @functools.cached_property
    def _splits(self):
        if voc_dir := self.options["voc_dir"]:
            found = ["train", *(["val"] if list_path(voc_dir, "val").is_file() else [])]
            return {split: read_split(voc_dir, split) for split in found}
        images, labels = self._images_and_labels()
        if self.options["train_list"]:
            paths = {split: self.options[f"{split}_list"] for split in SPLITS}
            lists = {split: read_entries(path) for split, path in paths.items() if path}
            if not all(entry.label for entries in lists.values() for entry in entries):
                self._check_suffix(images, labels)
            return {
                split: [self._example(entry, images, labels) for entry in entries]
                for split, entries in lists.items()
            }
        self._check_suffix(images, labels)
        if without_image := sorted(labels.keys() - images.keys()):
            raise InputError(
                f"{labels[without_image[0]]}: no image of this name in"
                f" {self.options['images_dir']}; add it, or name the images to use by"
                " --train_list and --val_list"
            )
        examples = [self._example(Entry(name), images, labels) for name in sorted(images)]
        return divide(examples, self.options["val_fraction"] or 0)

    def _images_and_labels(self):
        # {name: path} of all images, and of all labels without --label_suffix.
        folders = Path(self.options["images_dir"]), Path(self.options["labels_dir"])
        suffix = self.options["label_suffix"] or ""
        images, labels = (
            files_by_name(folders[0], IMAGE_EXTENSIONS),
            files_by_name(folders[1], LABEL_EXTENSIONS),
        )
        if not suffix:
            return images, labels
        if folders[0] == folders[1]:
            images = {name: path for name, path in images.items() if not name.endswith(suffix)}
        labels = {
            name.removesuffix(suffix): path
            for name, path in labels.items()
            if name.endswith(suffix)
        }
        if not labels:
            raise InputError(f"{folders[1]}: no label there ends with {suffix}")
        return images, labels

    def _check_suffix(self, images, labels):
        # Without --label_suffix, labels should not all have the same addition to the images' names.
        if self.options["label_suffix"]:
            return
        added = Counter(
            name[length:]
            for name in labels
            for length in range(1, len(name))
            if name[:length] in images
        )
        suffix, count = max(added.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        # In a folder of both, every PNG is found as an image and as a label.
        is_shared = self.options["images_dir"] == self.options["labels_dir"]
        same = 0 if is_shared else len(images.keys() & labels.keys())
        if count > same and 2 * count >= len(labels):
            label = next(path for name, path in labels.items() if name.endswith(suffix))
            raise InputError(
                f"{label}: labels are named like their image with {suffix!r} added; give"
                f" --label_suffix={suffix}"
            )

    def _example(self, entry, images, labels):
        if entry.image:
            paths = (PurePosixPath(path) for path in (entry.image, entry.label))
            image, label = (path.with_suffix("") for path in paths)
            label = label.with_name(label.name.removesuffix(self.options["label_suffix"] or ""))
        else:
            image = PurePosixPath(entry.name)
            label = PurePosixPath(image.name)
        return Example(
            image.name, find_listed("image", image, images), find_listed("label", label, labels)
        )
