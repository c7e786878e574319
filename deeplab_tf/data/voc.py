"""The folder layout of PASCAL VOC: lists of examples, their files, and classes.txt.

A data set is a folder with

    JPEGImages/NAME.jpg                       (or .png, .tif, .JPG and so on; see lists.py)
    SegmentationClass/NAME.png                palette or gray PNG of class indices, 255 = void
                                              (or .tif, .bmp, or lossless .webp)
    ImageSets/Segmentation/{train,val}.txt    one NAME per line, or two paths; see lists.py
    classes.txt                               one line for each value of the labels; optional
    SegmentationClass_SPACE/NAME.png          labels of the same images in another label space, and
    classes_SPACE.txt                         its classes; any number of them
    Depth/NAME.png, camera.txt                depth maps and their camera, for networks that take
                                              depth; see depth.py

A line of classes.txt is a class name, or a class name and its color: `road 128 64 128` or
`road,128,64,128`. With colors, which must differ, labels may also be RGB PNGs in exactly these
colors.

A line that ends with the word void, such as `unlabeled void` or `unlabeled 0 0 0 void`, is no
class: its value is ignored as 255 is. Line k still describes the value k of the label files, but
the classes are numbered without these lines: after `unlabeled void`, `sky`, `road`, a network's
class 0 is sky and class 1 road, and these are the labels that the commands write.
"""

import glob
import itertools
import re
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.data.examples import Example
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.lists import (
    IMAGE_EXTENSIONS,
    IMAGES_FOLDER,
    LABEL_EXTENSIONS,
    read_entries,
    read_lines,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, VOID_COLOR, LabelEncoding, LabelSet, voc_colors

LISTS = "ImageSets/Segmentation"
LABELS_FOLDER = "SegmentationClass"
DEPTH_FOLDER = "Depth"

_MOST_LETTERS = 500  # of a line of classes.txt
_VOID_WORD = r"([\s,]+void)?"
_CLASS_LINE = re.compile(
    rf"(.+?){_VOID_WORD}(?:[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+))?{_VOID_WORD}", re.IGNORECASE
)


def read_split(data_dir, split, need_labels=True, space=""):
    """List the examples of `ImageSets/Segmentation/{split}.txt`, in its order.

    Args:
      data_dir: folder in VOC layout.
      split: name of the list, such as "train" or "val".
      need_labels: whether every example must have a label; if False, `label` is "" for those
        without one, as in a test split.
      space: label space, one of `label_spaces`; "": that of `SegmentationClass`.

    Returns:
      A list of `Example`.

    Raises:
      InputError: if the list is missing, empty or names an example twice, or if an image or a
        needed label is missing or lies outside of `data_dir`.
    """
    data_dir, path = Path(data_dir), list_path(data_dir, split)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; give a data set in VOC layout")
    if not path.is_file():
        raise InputError(f"{path}: no such list; write the names of the split's examples there")
    entries = read_entries(path, data_dir)
    return [_find_example(data_dir, entry, need_labels, space) for entry in entries]


def label_spaces(data_dir):
    """The names of the further label spaces of a folder in VOC layout, a tuple of str."""
    folders = sorted(Path(data_dir).glob(f"{LABELS_FOLDER}_*"))
    return tuple(path.name.removeprefix(f"{LABELS_FOLDER}_") for path in folders if path.is_dir())


def labels_folder(space=""):
    """Name of the folder of the labels of a label space; "": the one that every data set has."""
    return f"{LABELS_FOLDER}_{space}" if space else LABELS_FOLDER


def classes_file(space=""):
    """Name of the file of the classes of a label space."""
    return f"classes_{space}.txt" if space else "classes.txt"


def list_path(data_dir, split):
    """Path of the file that lists the examples of a split."""
    return Path(data_dir) / LISTS / f"{split}.txt"


def find_files(data_dir, entry, space=""):
    """Find the image and the label of an example.

    Args:
      data_dir: folder in VOC layout.
      entry: `Entry` of a list; the path of a label in it is that of `SegmentationClass` only.
      space: see `read_split`.

    Returns:
      (image, label): Paths; for missing files, the paths where they should be.
    """
    images, labels = Path(data_dir) / IMAGES_FOLDER, Path(data_dir) / labels_folder(space)
    named = _with_extension(labels / entry.name, LABEL_EXTENSIONS)
    if not entry.image:
        return _with_extension(images / entry.name, IMAGE_EXTENSIONS), named
    # A file name without a folder is in the folder of its kind.
    paths = ((images, entry.image), (labels, entry.label))
    image, label = (
        Path(data_dir) / path if "/" in path else folder / path for folder, path in paths
    )
    return image, named if space else label


def missing_label(path):
    """What to say about a label that does not exist.

    Args:
      path: Path where the label of an example should be.

    Returns:
      What is wrong, and what to do.
    """
    longer = sorted(path.parent.glob(f"{glob.escape(path.stem)}[-_. ]*.png"))
    if longer:
        suffix = longer[0].stem.removeprefix(path.stem)
        return (
            f"no such label, only {longer[0].name}",
            f"rename the labels, or let prepare-data --dataset=folder --label_suffix={suffix} read"
            " them",
        )
    return "no such label", "add it or remove its name from the list"


def read_label_set(data_dir, space=""):
    """The classes of `classes.txt`; VOC's 21 if there is no such file.

    Args:
      data_dir: folder in VOC layout.
      space: see `read_split`; the classes of any but "" need their file.

    Returns:
      `LabelSet`.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir, classes_file(space))
    return read_classes(path)[0] if path.is_file() or space else VOC


def read_encoding(data_dir, space=""):
    """What the values in the label files mean, according to `classes.txt`.

    Args:
      data_dir: folder in VOC layout.
      space: see `read_split`.

    Returns:
      `LabelEncoding`; None if there is no such file: labels hold the class indices of VOC.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir, classes_file(space))
    return read_classes(path)[1] if path.is_file() else None


def read_classes(path):
    """Read a text file of classes, one per line, all with colors or all without.

    Args:
      path: the file; `classes.txt` in VOC layout.

    Returns:
      (`LabelSet`, `LabelEncoding`); without colors in the file, each class gets the color of its
      value in the VOC palette.

    Raises:
      InputError: if the file is missing or not text, names fewer than two classes or one class
        twice, gives two classes one color, or gives only some of the classes colors.
    """
    found = read_lines(path)
    if not found:
        raise InputError(f"{path}: lists no class; write one name per line, or delete the file")
    try:
        _check_lines(found)
        lines = [_parse_class(line) for line in found]
        return _label_set(lines), _encoding(lines)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _ClassLine(NamedTuple):
    name: str
    color: tuple | None
    is_void: bool


def _check_lines(lines):
    if len(lines) > VOID:
        raise InputError(f"{len(lines)} class names; give at most {VOID}: the value {VOID} is void")
    longest = max(map(len, lines))
    if longest > _MOST_LETTERS:
        raise InputError(
            f"a line of {longest} characters; write one class per line, at most {_MOST_LETTERS} "
            "characters long"
        )


def _parse_class(line):
    name, before, *color, after = _CLASS_LINE.fullmatch(line).groups()
    is_void = bool(before or after) or name.lower() == "void"
    return _ClassLine(name, tuple(map(int, color)) if color[0] else None, is_void)


def _label_set(lines):
    _check_class_lines(lines)
    classes = [(value, line) for value, line in enumerate(lines) if not line.is_void]
    palette = voc_colors(len(lines)).tolist()
    colors = [line.color or palette[value] for value, line in classes]
    void_colors = [line.color for line in lines if line.is_void and line.color]
    return LabelSet([line.name for _, line in classes], colors, [*void_colors, VOID_COLOR][0])


def _encoding(lines):
    indices = itertools.count()
    classes = tuple(VOID if line.is_void else next(indices) for line in lines)
    return LabelEncoding(classes, [line.color for line in lines] if lines[0].color else None)


def _check_class_lines(lines):
    if all(line.is_void for line in lines):
        raise InputError("every line is marked as void; name the classes to learn without 'void'")
    colored = sum(line.color is not None for line in lines)
    if 0 < colored < len(lines):
        raise InputError(f"only {colored} of {len(lines)} classes have a color; give all or none")
    name_of = {}
    for line in lines:
        # Ignored values may share their color.
        name = "void" if line.is_void else line.name
        other = name_of.setdefault(line.color, name) if line.color else name
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} have the same color {line.color}, so RGB labels cannot"
                " tell them apart; give each class its own color, or no class a color"
            )


def _with_extension(path, extensions):
    # .jpg, .JPG or .Jpg: cameras and Windows write capitals.
    for change_case in (str, str.upper, str.title):
        for extension in extensions:
            file = Path(f"{path}{change_case(extension)}")
            if file.is_file():
                return file
    return Path(f"{path}{extensions[0]}")


def _find_example(data_dir, entry, need_labels, space):
    image, label = find_files(data_dir, entry, space)
    if not image.is_file():
        raise InputError(f"{image}: no such image; add it or remove {entry.name!r} from the list")
    if label.is_file():
        return Example(entry.name, str(image), str(label))
    if need_labels:
        raise InputError("{}: {}; {}".format(label, *missing_label(label)))
    return Example(entry.name, str(image), "")
