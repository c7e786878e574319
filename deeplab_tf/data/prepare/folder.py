"""The user's own images and labels, in two folders or in VOC layout.

--images_dir --labels_dir --classes    NAME.jpg (or .jpeg, .png, .tif, .bmp, .webp) and NAME.png
                                       (or .tif, .bmp, lossless .webp), and a file that lists the
                                       classes; split by --train_list and --val_list, or by
                                       --val_fraction
--voc_dir                              a folder in VOC layout, with its own lists and classes
"""

import functools
from pathlib import Path, PurePosixPath
from typing import ClassVar

from deeplab_tf.data.examples import Example, read_file
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.data.image_header import find_format
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import IMAGE_EXTENSIONS, LABEL_EXTENSIONS, Entry, read_entries
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.data.voc import list_path, read_classes, read_split
from deeplab_tf.errors import InputError
from deeplab_tf.visualize import encode_picture

SPLITS = ("train", "val")


class Folder(Builder):
    """The user's own images and labels."""

    OPTIONS: ClassVar = {
        "images_dir": None,
        "labels_dir": None,
        "classes": None,
        "train_list": None,
        "val_list": None,
        "val_fraction": None,
        "voc_dir": None,
    }
    PATHS: ClassVar = tuple(name for name in OPTIONS if name != "val_fraction")

    def check_options(self):
        """Check that the data and the way to split it are each given in exactly one way."""
        given = {name for name, value in self.options.items() if value not in (None, "")}
        if "voc_dir" in given and len(given) > 1:
            other = sorted(given - {"voc_dir"})[0]
            raise InputError(f"--voc_dir and --{other}: give --voc_dir alone")
        for name in ("images_dir", "labels_dir", "classes"):
            if "voc_dir" not in given and name not in given:
                raise InputError(f"--{name} is missing; give it, or a data set as --voc_dir")
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
        examples = [example for found in self._splits.values() for example in found]
        files = [path for example in examples for path in (example.image, example.label)]
        return [self._classes_path, *lists, *files]

    def splits(self, folders):
        """The examples of the lists, or all, with evenly spaced ones for validation."""
        return self._splits

    def read_image(self, example):
        """The image file; as PNG, already turned, if it is neither JPEG nor PNG.

        A JPEG or PNG keeps its EXIF orientation: it is turned when it is read, because people draw
        labels on what viewers show.
        """
        contents = read_file(example.image)
        if find_format(contents) in ("JPEG", "PNG"):
            return contents
        return encode_picture(load_image(example.image))

    def read_label(self, example):
        """The label, whose class indices may be drawn in the colors of the classes."""
        label_set, colors = self._classes
        return load_label(example.label, label_set.num_classes, colors)

    @property
    def label_set(self):
        """The classes of --classes or of the VOC layout's classes.txt."""
        return self._classes[0]

    @property
    def _classes_path(self):
        voc_dir = self.options["voc_dir"]
        return Path(voc_dir) / "classes.txt" if voc_dir else Path(self.options["classes"])

    @functools.cached_property
    def _classes(self):
        # The `LabelSet` and its colors, or None for the colors.
        if self.options["voc_dir"] and not self._classes_path.is_file():
            return VOC, None
        return read_classes(self._classes_path)

    @functools.cached_property
    def _splits(self):
        if voc_dir := self.options["voc_dir"]:
            found = ["train", *(["val"] if list_path(voc_dir, "val").is_file() else [])]
            return {split: read_split(voc_dir, split) for split in found}
        images = _by_stem(Path(self.options["images_dir"]), IMAGE_EXTENSIONS)
        labels = _by_stem(Path(self.options["labels_dir"]), LABEL_EXTENSIONS)
        if self.options["train_list"]:
            paths = {split: self.options[f"{split}_list"] for split in SPLITS}
            return {
                split: [_example(entry, images, labels) for entry in read_entries(path)]
                for split, path in paths.items()
                if path
            }
        if without_image := sorted(labels.keys() - images.keys()):
            raise InputError(
                f"{labels[without_image[0]]}: no image of this name in"
                f" {self.options['images_dir']}; add it, or name the images to use by"
                " --train_list and --val_list"
            )
        examples = [_example(Entry(name), images, labels) for name in sorted(images)]
        return _divide(examples, self.options["val_fraction"] or 0)


def _divide(examples, fraction):
    # An image is for validation if its fraction completes a whole number: with a fraction of 0.2,
    # every fifth image.
    splits = {"train": [], "val": []}
    for i, example in enumerate(examples):
        is_val = int((i + 1) * fraction) > int(i * fraction)
        splits["val" if is_val else "train"].append(example)
    if fraction and not splits["val"]:
        raise InputError(
            f"--val_fraction={fraction}: no image of {len(examples)} is left for validation;"
            " give a larger one"
        )
    return {split: found for split, found in splits.items() if found or split == "train"}


def _by_stem(folder, extensions):
    # {name without extension: path} of the files with these extensions.
    found = {}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in extensions or path.name.startswith("."):
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{folder}: the name of the file {path.name!r} is not UTF-8; rename it"
            ) from None
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem].name} has the same name; remove one")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no file there ends with {' or '.join(extensions)}")
    return found


def _example(entry, images, labels):
    if entry.image:
        image, label = (PurePosixPath(path).with_suffix("") for path in (entry.image, entry.label))
    else:
        image = PurePosixPath(entry.name)
        label = PurePosixPath(image.name)
    return Example(image.name, _find("image", image, images), _find("label", label, labels))


def _find(kind, wanted, found):
    folder = next(iter(found.values())).parent
    # Another folder in the list, such as SegmentationClassAug, has other files of the same names.
    if wanted.parent.name not in ("", folder.name):
        raise InputError(
            f"{folder}: a list has '{wanted}', which is in another folder; give that folder, or"
            " write only names"
        )
    if wanted.name not in found:
        raise InputError(
            f"{folder}: no {kind} of {wanted.name!r}; add it, or leave {wanted.name!r} out"
        )
    return str(found[wanted.name])
