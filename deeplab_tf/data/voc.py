"""Reading data sets in the layout of PASCAL VOC.

A data set is a folder with

    JPEGImages/NAME.jpg                       (or .jpeg or .png, or .JPG and so on)
    SegmentationClass/NAME.png                palette or grey PNG of class indices, 255 = void
    ImageSets/Segmentation/{train,val}.txt    one NAME a line, or two paths; see lists.py
    classes.txt                               one class a line, in index order; may be absent

A line of classes.txt is a class name, or a class name and its colour: `road 128 64 128`. With
colours, which must differ, labels may also be RGB PNGs in exactly these colours. Commas may take
the place of the spaces: `road,128,64,128`.
"""

import re
from pathlib import Path

import tensorflow as tf

from deeplab_tf.data.examples import Example, read_file
from deeplab_tf.data.lists import (
    IMAGE_ENDINGS,
    IMAGES_FOLDER,
    parse_entry,
    read_entries,
    read_lines,
)
from deeplab_tf.data.png import SIGNATURE, decode_label
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOC, VOID, LabelSet

LISTS = "ImageSets/Segmentation"
LABELS_FOLDER = "SegmentationClass"

# How the two kinds of image files begin, and how a JPEG ends.
JPEG_START, PNG_START = b"\xff\xd8", SIGNATURE[:2]
JPEG_END = b"\xff\xd9"

_CLASS_AND_COLOR = re.compile(r"(.+?)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)")


def read_split(data_dir, split, need_labels=True):
    """The examples that `ImageSets/Segmentation/{split}.txt` lists, in its order.

    Args:
      data_dir: folder in VOC layout.
      split: name of the list, such as "train" or "val".
      need_labels: whether a label must exist for each; otherwise `label` is "" where it does
        not, as for a test split.

    Returns:
      A list of `Example`.

    Raises:
      InputError: where the list is missing, empty or names an example twice, or where an image
        or a needed label is missing or would lie outside of `data_dir`.
    """
    data_dir, path = Path(data_dir), list_path(data_dir, split)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; give a data set in VOC layout")
    if not path.is_file():
        raise InputError(f"{path}: no such list; write the names of the split's examples there")
    return [_find_example(data_dir, entry, need_labels) for entry in read_entries(path)]


def list_path(data_dir, split):
    """Path of the file that lists the examples of a split."""
    return Path(data_dir) / LISTS / f"{split}.txt"


def find_files(data_dir, line):
    """Where the image and the label of an example lie, or should lie where they are missing.

    Args:
      data_dir: folder in VOC layout.
      line: of a list: the example's name, or the paths of its files.

    Returns:
      (image, label), paths.

    Raises:
      InputError: where the line leads out of the folder.
    """
    return _files(Path(data_dir), parse_entry(line))


def read_label_set(data_dir):
    """The classes that `classes.txt` lists; VOC's 21 where there is no such file.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir) / "classes.txt"
    return read_classes(path)[0] if path.is_file() else LabelSet.in_voc_colors(VOC)


def read_colors(data_dir):
    """The colours that `classes.txt` gives the classes, by which RGB labels are read.

    Returns:
      A tuple of (r, g, b), one for each class; None where the file gives none, because RGB
      labels in unknown colours must not be guessed at.

    Raises:
      InputError: as `read_classes`.
    """
    path = Path(data_dir) / "classes.txt"
    return read_classes(path)[1] if path.is_file() else None


def read_classes(path):
    """The classes that a text file lists, one a line, with their colours or without.

    Args:
      path: the file; `classes.txt` in VOC layout.

    Returns:
      (`LabelSet`, its colours); the colours are None where the file gives none, and those of the
      `LabelSet` then the VOC palette's.

    Raises:
      InputError: where the file is missing, no text or empty, repeats a name or a colour, or
        gives only some of the classes colours.
    """
    found = [(line, _CLASS_AND_COLOR.fullmatch(line)) for line in read_lines(path)]
    names = [match[1] if match else line for line, match in found]
    colors = [tuple(map(int, match.groups()[1:])) for _, match in found if match]
    if not names:
        raise InputError(f"{path}: lists no class; write one name a line, or delete the file")
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


def load_image(path):
    """An image file as (H, W, 3) uint8 RGB array.

    Raises:
      InputError: naming the file, where it is missing, truncated, or no JPEG or PNG.
    """
    return _image_from(read_file(path), path)


def load_label(path, num_classes, colors=None):
    """A label file as (H, W) uint8 array of class indices, 255 = void.

    Args:
      path: PNG file.
      num_classes: number of classes; other indices than 0..num_classes-1 and 255 are refused.
      colors: the classes' colours, for RGB labels; see `decode_label`.

    Raises:
      InputError: naming the file, where it is missing, no PNG of class indices, or holds an
        index of no class.
    """
    return _label_from(read_file(path), path, num_classes, colors)


def load_pair(example, num_classes, colors=None):
    """Image (H, W, 3) and label (H, W), both uint8, of an `Example` or a `RecordExample`.

    Raises:
      InputError: as `load_image` and `load_label`, and where their sizes differ.
    """
    image_contents, label_contents = example.read()
    image = _image_from(image_contents, example.image)
    label = _label_from(label_contents, example.label, num_classes, colors)
    if image.shape[:2] != label.shape:
        raise InputError(
            f"{example.label}: size {_size(label)} differs from the image's {_size(image)}"
            f" ({example.image}); make them equal"
        )
    return image, label


def decode_image(contents):
    """The bytes of a JPEG or PNG as (H, W, 3) uint8 RGB tensor; works inside tf.data.

    Raises:
      tf.errors.InvalidArgumentError: where they are damaged, cut off, or of another format.
    """
    # The op reads PNG as well, and can be told to be accurate about JPEG; but it takes GIF and WebP
    # too, and nothing else here does.
    start = contents[:2] if isinstance(contents, bytes) else tf.strings.substr(contents, 0, 2)
    is_known = (start == JPEG_START) | (start == PNG_START)
    with tf.control_dependencies([tf.debugging.Assert(is_known, ["neither JPEG nor PNG"])]):
        contents = tf.identity(contents)
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def _image_from(contents, place):
    try:
        return decode_image(contents).numpy()
    except tf.errors.InvalidArgumentError:
        if contents and not contents.startswith((JPEG_START, PNG_START)):
            what = "cannot be read: neither JPEG nor PNG, whatever its name says; convert it"
        else:
            what = "cannot be read as JPEG or PNG image (damaged or cut off?); replace it"
        raise InputError(f"{place}: {what}") from None


def _label_from(contents, place, num_classes, colors):
    try:
        label = decode_label(contents, colors).numpy()
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    wrong = label[(label >= num_classes) & (label != VOID)]
    if wrong.size:
        raise InputError(_wrong_value(place, wrong.max(), num_classes))
    return label


def _files(data_dir, entry):
    images, labels = data_dir / IMAGES_FOLDER, data_dir / LABELS_FOLDER
    if not entry.image:
        image = _with_ending(images / entry.name, IMAGE_ENDINGS)
        return image, _with_ending(labels / entry.name, (".png",))
    # A file name alone lies where files of its kind do.
    paths = ((images, entry.image), (labels, entry.label))
    return tuple(data_dir / path if "/" in path else folder / path for folder, path in paths)


def _with_ending(path, endings):
    # In small letters or capitals, as cameras and Windows write them.
    for spell in (str, str.upper, str.title):
        for ending in endings:
            file = Path(f"{path}{spell(ending)}")
            if file.is_file():
                return file
    return Path(f"{path}{endings[0]}")


def _find_example(data_dir, entry, need_labels):
    image, label = _files(data_dir, entry)
    if not image.is_file():
        raise InputError(f"{image}: no such image; add it or take {entry.name!r} off the list")
    if label.is_file():
        return Example(entry.name, str(image), str(label))
    if need_labels:
        raise InputError(f"{label}: no such label; add it or take {entry.name!r} off the list")
    return Example(entry.name, str(image), "")


def _check_differ(names, colors):
    class_of = {}
    for name, color in zip(names, colors, strict=False):
        other = class_of.setdefault(color, name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} have the same color {color}, by which RGB labels cannot"
                " tell them apart; give each class its own, or all of them none"
            )


def _size(array):
    return f"{array.shape[1]}x{array.shape[0]}"


def _wrong_value(path, value, num_classes):
    return (
        f"{path}: label value {value} but only {num_classes} classes (0..{num_classes - 1},"
        f" {VOID} = void); mend the label or the list of classes"
    )
