"""Any images and labels of one's own, in two folders or in VOC layout.

--images_dir --labels_dir --classes    NAME.jpg (or .jpeg, .png) and NAME.png, and a
                                       classes.txt; split by --train_list and --val_list,
                                       or by --val_fraction
--voc_dir                              a folder in VOC layout, with its own lists and classes
"""

from pathlib import Path
from typing import ClassVar

from deeplab_tf.data.examples import Example
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.data.voc import (
    IMAGE_ENDINGS,
    LISTS,
    load_label,
    read_colors,
    read_label_set,
    read_split,
)
from deeplab_tf.errors import InputError


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

    @classmethod
    def check_options(cls, options):
        """Either a folder in VOC layout or the two folders and the classes; one way to split."""
        given = {name for name, value in options.items() if value is not None}
        if "voc_dir" in given and len(given) > 1:
            other = sorted(given - {"voc_dir"})[0]
            raise InputError(f"--voc_dir and --{other}: a folder in VOC layout needs no more")
        for name in ("images_dir", "labels_dir", "classes"):
            if "voc_dir" not in given and name not in given:
                raise InputError(f"--{name} is missing; give it, or a data set as --voc_dir")
        if "val_fraction" in given and given & {"train_list", "val_list"}:
            raise InputError("--val_fraction and a list: give one or the other")
        if not 0 <= (options["val_fraction"] or 0) < 1:
            raise InputError(f"--val_fraction={options['val_fraction']}: give 0 or more, below 1")

    @property
    def label_set(self):
        """The classes of classes.txt."""
        return read_label_set(self._classes_dir())

    def splits(self, folders):
        """What the lists say, or every so-many-th image for validation; items are `Example`s."""
        if voc_dir := self.options["voc_dir"]:
            lists = Path(voc_dir) / LISTS
            found = ["train", *(["val"] if (lists / "val.txt").is_file() else [])]
            return {split: read_split(voc_dir, split) for split in found}
        images = _by_stem(self.options["images_dir"], IMAGE_ENDINGS)
        labels = _by_stem(self.options["labels_dir"], (".png",))
        splits = self._listed() or self._every_so_many(sorted(images), labels)
        return {
            split: [Example(name, *_pair(name, images, labels)) for name in names]
            for split, names in splits.items()
        }

    def load(self, item):
        """The image and its label, RGB labels by the colours of classes.txt."""
        colors = read_colors(self._classes_dir())
        label = load_label(item.label, self.label_set.num_classes, colors)
        return Sample(item.name, item.image, label, item.label)

    def _classes_dir(self):
        if self.options["voc_dir"]:
            return Path(self.options["voc_dir"])
        classes = Path(self.options["classes"])
        if classes.name != "classes.txt" or not classes.is_file():
            raise InputError(f"--classes={classes}: give the path of a file named classes.txt")
        return classes.parent

    def _listed(self):
        paths = {split: self.options[f"{split}_list"] for split in ("train", "val")}
        return {split: _names(Path(path)) for split, path in paths.items() if path is not None}

    def _every_so_many(self, names, labels):
        lonely = sorted(labels.keys() - set(names))
        if lonely:
            raise InputError(
                f"{labels[lonely[0]]}: no image of this name in {self.options['images_dir']};"
                " add it, or say by --train_list and --val_list which to take"
            )
        fraction = self.options["val_fraction"] or 0
        # Evenly spaced over the names in their order; the last of each stretch.
        val = [n for i, n in enumerate(names) if int((i + 1) * fraction) > int(i * fraction)]
        if fraction and not val:
            raise InputError(
                f"--val_fraction={fraction}: no image of {len(names)} is left for validation;"
                " give a larger one"
            )
        train = [name for name in names if name not in set(val)]
        return {"train": train, "val": val} if val else {"train": train}


def _by_stem(folder, endings):
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in endings and not path.name.startswith("."):
            if path.stem in found:
                raise InputError(f"{path}: {found[path.stem].name} has the same name; remove one")
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no file there ends with {' or '.join(endings)}")
    return found


def _names(path):
    if not path.is_file():
        raise InputError(f"{path}: no such list; write one image name a line")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Path(line).stem if line.lower().endswith(IMAGE_ENDINGS) else line for line in lines if line
    ]


def _pair(name, images, labels):
    for kind, found in (("image", images), ("label", labels)):
        if name not in found:
            folder = next(iter(found.values())).parent
            raise InputError(f"{folder}: no {kind} of {name!r}; add it, or leave {name!r} out")
    return str(images[name]), str(labels[name])
