"""Reading data sets in the layout of PASCAL VOC.

A data set is a folder with

    JPEGImages/NAME.jpg                       (or .jpeg or .png)
    SegmentationClass/NAME.png                palette or grey PNG of class indices, 255 = void
    ImageSets/Segmentation/{train,val}.txt    one NAME a line
    classes.txt                               one class a line, in index order; may be absent

A line of classes.txt is a class name, or a class name and its colour: `road 128 64 128`. With
colours, labels may also be RGB PNGs in exactly these colours.
"""

from pathlib import Path

import tensorflow as tf

from deeplab_tf.data.examples import Example, read_file
from deeplab_tf.data.labels import VOC, VOID, LabelSet
from deeplab_tf.data.png import decode_label
from deeplab_tf.errors import InputError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
LISTS = "ImageSets/Segmentation"


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
        or a needed label is missing.
    """
    data_dir = Path(data_dir)
    names = _read_names(data_dir, split)
    return [_find_example(data_dir, name, need_labels) for name in names]


def list_path(data_dir, split):
    """Path of the file that lists the examples of a split."""
    return Path(data_dir) / LISTS / f"{split}.txt"


def find_files(data_dir, name):
    """Where the image and the label of an example lie, or should lie where they are missing.

    Returns:
      (image, label), paths.
    """
    images = [Path(data_dir) / "JPEGImages" / (name + ending) for ending in IMAGE_ENDINGS]
    image = next((path for path in images if path.is_file()), images[0])
    return image, Path(data_dir) / "SegmentationClass" / f"{name}.png"


def read_lines(path):
    """The lines of a text file that are not blank, without the white space around them.

    Raises:
      InputError: naming the file, where it is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8; write it anew") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_label_set(data_dir):
    """The classes that `classes.txt` lists; VOC's 21 where there is no such file.

    Classes without a colour of their own get the VOC palette's.

    Raises:
      InputError: where the file is empty or repeats a name, or only some classes have colours.
    """
    path = Path(data_dir) / "classes.txt"
    if not path.is_file():
        return LabelSet.in_voc_colors(VOC)
    names, colors = _read_classes(path)
    try:
        return LabelSet(names, colors) if colors else LabelSet.in_voc_colors(names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_colors(data_dir):
    """The colours that `classes.txt` gives the classes, by which RGB labels are read.

    Returns:
      A tuple of (r, g, b), one for each class; None where the file gives none, because RGB
      labels in unknown colours must not be guessed at.
    """
    path = Path(data_dir) / "classes.txt"
    has_colors = path.is_file() and _read_classes(path)[1]
    return read_label_set(data_dir).colors if has_colors else None


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
    # This op reads PNG as well, and can be told to be accurate about JPEG.
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def _image_from(contents, place):
    try:
        return decode_image(contents).numpy()
    except tf.errors.InvalidArgumentError:
        raise InputError(
            f"{place}: cannot be read as JPEG or PNG image (damaged or cut off?); replace it"
        ) from None


def _label_from(contents, place, num_classes, colors):
    try:
        label = decode_label(contents, colors).numpy()
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    wrong = label[(label >= num_classes) & (label != VOID)]
    if wrong.size:
        raise InputError(_wrong_value(place, wrong.max(), num_classes))
    return label


def _read_names(data_dir, split):
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; give a data set in VOC layout")
    path = list_path(data_dir, split)
    if not path.is_file():
        raise InputError(f"{path}: no such list; write the names of the split's examples there")
    names = read_lines(path)
    if not names:
        raise InputError(f"{path}: lists no example; write one name a line")
    seen = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: lists {name!r} twice; remove one")
        seen.add(name)
    return names


def _find_example(data_dir, name, need_labels):
    image, label = find_files(data_dir, name)
    if not image.is_file():
        raise InputError(f"{image}: no such image; add it or take {name!r} off the list")
    if label.is_file():
        return Example(name, str(image), str(label))
    if need_labels:
        raise InputError(f"{label}: no such label; add it or take {name!r} off the list")
    return Example(name, str(image), "")


def _read_classes(path):
    names, colors = [], []
    for line in read_lines(path):
        words = line.rsplit(maxsplit=3)
        if len(words) == 4 and all(word.isdecimal() for word in words[1:]):
            names.append(words[0])
            colors.append(tuple(int(word) for word in words[1:]))
        else:
            names.append(line)
    if not names:
        raise InputError(f"{path}: lists no class; write one name a line, or delete the file")
    if colors and len(colors) < len(names):
        raise InputError(
            f"{path}: only {len(colors)} of {len(names)} classes have a color; give all or none"
        )
    return tuple(names), tuple(colors)


def _size(array):
    return f"{array.shape[1]}x{array.shape[0]}"


def _wrong_value(path, value, num_classes):
    return (
        f"{path}: label value {value} but only {num_classes} classes (0..{num_classes - 1},"
        f" {VOID} = void); mend the label or the list of classes"
    )
