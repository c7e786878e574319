"""The folder layout of PASCAL VOC: lists of examples, their files, and classes.txt.

A data set is a folder with

    JPEGImages/NAME.jpg                       (or .png, .tif, .JPG and so on; see lists.py)
    SegmentationClass/NAME.png                palette or gray PNG of class indices, 255 = void
                                              (or .tif, .bmp, or lossless .webp)
    ImageSets/Segmentation/{train,val}.txt    one NAME per line, or two paths; see lists.py
    classes.txt                               one class per line, in index order; optional

A line of classes.txt is a class name, or a class name and its color: `road 128 64 128` or
`road,128,64,128`. With colors, which must differ, labels may also be RGB PNGs in exactly these
colors.
"""

import re
from pathlib import Path

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
from deeplab_tf.labels import LabelSet

LISTS = "ImageSets/Segmentation"
LABELS_FOLDER = "SegmentationClass"

_CLASS_AND_COLOR = re.compile(r"(.+?)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)")


def read_split(data_dir, split, need_labels=True):
    """List the examples of `ImageSets/Segmentation/{split}.txt`, in its order.

    Args:
      data_dir: folder in VOC layout.
      split: name of the list, such as "train" or "val".
      need_labels: whether every example must have a label; if False, `label` is "" for those
        without one, as in a test split.

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
    return [_find_example(data_dir, entry, need_labels) for entry in read_entries(path, data_dir)]


def list_path(data_dir, split):
    """Path of the file that lists the examples of a split."""
    return Path(data_dir) / LISTS / f"{split}.txt"


def find_files(data_dir, entry):
    """Find the image and the label of an example.

    Args:
      data_dir: folder in VOC layout.
      entry: `Entry` of a list.

    Returns:
      (image, label): Paths; for missing files, the paths where they should be.
    """
    images, labels = Path(data_dir) / IMAGES_FOLDER, Path(data_dir) / LABELS_FOLDER
    if not entry.image:
        image = _with_extension(images / entry.name, IMAGE_EXTENSIONS)
        return image, _with_extension(labels / entry.name, LABEL_EXTENSIONS)
    # A file name without a folder is in the folder of its kind.
    paths = ((images, entry.image), (labels, entry.label))
    return tuple(Path(data_dir) / path if "/" in path else folder / path for folder, path in paths)


def read_label_set(data_dir):
    """The classes of `classes.txt`; VOC's 21 if there is no such file.

    Args:
      data_dir: folder in VOC layout.

    Returns:
      `LabelSet`.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir) / "classes.txt"
    return read_classes(path)[0] if path.is_file() else VOC


def read_colors(data_dir):
    """The colors that `classes.txt` gives the classes, to read RGB labels.

    Args:
      data_dir: folder in VOC layout.

    Returns:
      A tuple of (r, g, b), one for each class; None if the file gives none, because the colors
      of RGB labels cannot be guessed.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir) / "classes.txt"
    return read_classes(path)[1] if path.is_file() else None


def read_classes(path):
    """Read a text file of classes, one per line, all with colors or all without.

    Args:
      path: the file; `classes.txt` in VOC layout.

    Returns:
      (`LabelSet`, its colors); the colors are None if the file gives none, and the `LabelSet`
      then has those of the VOC palette.

    Raises:
      InputError: if the file is missing, not text or empty, repeats a name or a color, or gives
        only some of the classes colors.
    """
    found = [(line, _CLASS_AND_COLOR.fullmatch(line)) for line in read_lines(path)]
    names = [match[1] if match else line for line, match in found]
    colors = [tuple(map(int, match.groups()[1:])) for _, match in found if match]
    if not names:
        raise InputError(f"{path}: lists no class; write one name per line, or delete the file")
    if colors and len(colors) < len(names):
        raise InputError(
            f"{path}: only {len(colors)} of {len(names)} classes have a color; give all or none"
        )
    try:
        _check_differ(names, colors)
        label_set = LabelSet(names, colors) if colors else LabelSet.in_voc_colors(names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return label_set, label_set.colors if colors else None


def _with_extension(path, extensions):
    # .jpg, .JPG or .Jpg: cameras and Windows write capitals.
    for change_case in (str, str.upper, str.title):
        for extension in extensions:
            file = Path(f"{path}{change_case(extension)}")
            if file.is_file():
                return file
    return Path(f"{path}{extensions[0]}")


def _find_example(data_dir, entry, need_labels):
    image, label = find_files(data_dir, entry)
    if not image.is_file():
        raise InputError(f"{image}: no such image; add it or remove {entry.name!r} from the list")
    if label.is_file():
        return Example(entry.name, str(image), str(label))
    if need_labels:
        raise InputError(f"{label}: no such label; add it or remove {entry.name!r} from the list")
    return Example(entry.name, str(image), "")


def _check_differ(names, colors):
    class_of = {}
    for name, color in zip(names, colors, strict=False):
        other = class_of.setdefault(color, name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} have the same color {color}, so RGB labels cannot tell"
                " them apart; give each class its own color, or none a color"
            )
