"""Any images and labels of one's own, in two folders or in VOC layout.

--images_dir --labels_dir --classes    NAME.jpg (or .jpeg, .png) and NAME.png, and a file that
                                       lists the classes; split by --train_list and --val_list,
                                       or by --val_fraction
--voc_dir                              a folder in VOC layout, with its own lists and classes
"""

import functools
from pathlib import Path, PurePosixPath
from typing import ClassVar

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import IMAGE_ENDINGS, Entry, read_entries
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.voc import list_path, read_classes, read_split
from deeplab_tf.errors import InputError

SPLITS = ("train", "val")


class Folder(SegmentationBuilder):
    """Images and labels from folders of the user."""

    lists: ClassVar = {"trainval": ["train", "val"]}
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

    @classmethod
    def check_options(cls, options):
        """Either a folder in VOC layout or the two folders and the classes; one way to split."""
        given = {name for name, value in options.items() if value not in (None, "")}
        if "voc_dir" in given and len(given) > 1:
            other = sorted(given - {"voc_dir"})[0]
            raise InputError(f"--voc_dir and --{other}: a folder in VOC layout needs no more")
        for name in ("images_dir", "labels_dir", "classes"):
            if "voc_dir" not in given and name not in given:
                raise InputError(f"--{name} is missing; give it, or a data set as --voc_dir")
        if "val_fraction" in given and given & {"train_list", "val_list"}:
            raise InputError("--val_fraction and a list: give one or the other")
        if "val_list" in given and "train_list" not in given:
            raise InputError("--val_list without --train_list: say what to train on, too")
        if not 0 <= (options["val_fraction"] or 0) < 1:
            raise InputError(f"--val_fraction={options['val_fraction']}: give 0 or more, below 1")

    @classmethod
    def source_files(cls, options):
        """The classes, the lists, and every image with its label."""
        if options["voc_dir"]:
            lists = [list_path(options["voc_dir"], split) for split in SPLITS]
        else:
            lists = [options[f"{split}_list"] for split in SPLITS]
        examples = [example for found in _splits(options).values() for example in found]
        files = [path for example in examples for path in (example.image, example.label)]
        return [_classes_path(options), *filter(None, lists), *files]

    @property
    def label_set(self):
        """The classes of the list of classes."""
        return self._classes[0]

    def splits(self, folders):
        """What the lists say, or every so-many-th image for validation; items are `Example`s."""
        return _splits(self.options)

    def load(self, item):
        """The image and its label, RGB labels by the colours of the classes."""
        label_set, colors = self._classes
        label = load_label(item.label, label_set.num_classes, colors)
        return Sample(item.name, item.image, label, item.label)

    @functools.cached_property
    def _classes(self):
        # The `LabelSet` and its colours, read once.
        path = _classes_path(self.options)
        if self.options["voc_dir"] and not path.is_file():
            return VOC, None
        return read_classes(path)


def _classes_path(options):
    voc_dir = options["voc_dir"]
    return Path(voc_dir) / "classes.txt" if voc_dir else Path(options["classes"])


def _splits(options):
    # {split: list of `Example`}.
    if voc_dir := options["voc_dir"]:
        found = ["train", *(["val"] if list_path(voc_dir, "val").is_file() else [])]
        return {split: read_split(voc_dir, split) for split in found}
    images = _by_stem(Path(options["images_dir"]), IMAGE_ENDINGS)
    labels = _by_stem(Path(options["labels_dir"]), (".png",))
    if options["train_list"]:
        return _listed(options, images, labels)
    _check_all_have_images(options, images, labels)
    examples = [_example(Entry(name), images, labels) for name in sorted(images)]
    return _every_so_many(examples, options["val_fraction"] or 0)


def _listed(options, images, labels):
    paths = {split: options[f"{split}_list"] for split in SPLITS}
    return {
        split: [_example(entry, images, labels) for entry in read_entries(path)]
        for split, path in paths.items()
        if path
    }


def _check_all_have_images(options, images, labels):
    lonely = sorted(labels.keys() - images.keys())
    if lonely:
        raise InputError(
            f"{labels[lonely[0]]}: no image of this name in {options['images_dir']}; add it, or"
            " say by --train_list and --val_list which to take"
        )


def _every_so_many(examples, fraction):
    # For validation evenly spaced ones in their order; the last of each stretch.
    is_val = [int((i + 1) * fraction) > int(i * fraction) for i in range(len(examples))]
    val = [example for example, chosen in zip(examples, is_val, strict=True) if chosen]
    if fraction and not val:
        raise InputError(
            f"--val_fraction={fraction}: no image of {len(examples)} is left for validation;"
            " give a larger one"
        )
    train = [example for example, chosen in zip(examples, is_val, strict=True) if not chosen]
    return {"train": train, "val": val} if val else {"train": train}


def _by_stem(folder, endings):
    # {name: path} of the files that end so.
    found = {}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in endings and not path.name.startswith("."):
            _check_name(path)
            if path.stem in found:
                raise InputError(f"{path}: {found[path.stem].name} has the same name; remove one")
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no file there ends with {' or '.join(endings)}")
    return found


def _check_name(path):
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path.parent}: the name of the file {path.name!r} is not UTF-8; rename it"
        ) from None


def _example(entry, images, labels):
    image, label = (
        [PurePosixPath(path).with_suffix("") for path in (entry.image, entry.label)]
        if entry.image
        else [PurePosixPath(entry.name), PurePosixPath(PurePosixPath(entry.name).name)]
    )
    return Example(image.name, _find("image", image, images), _find("label", label, labels))


def _find(kind, wanted, found):
    folder = next(iter(found.values())).parent
    # Another folder in the list, as SegmentationClassAug, holds other files of the same names.
    if wanted.parent.name not in ("", folder.name):
        raise InputError(
            f"{folder}: a list has '{wanted}', which is in another folder; give that folder, or"
            " write names alone"
        )
    if wanted.name not in found:
        raise InputError(
            f"{folder}: no {kind} of {wanted.name!r}; add it, or leave {wanted.name!r} out"
        )
    return str(found[wanted.name])
