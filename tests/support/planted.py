"""Typical defects of users' data, to plant in a small data set in VOC layout.

`DEFECTS[name].plant(folder)` spoils the data set in `folder`, made by `write_small_set`, and
returns the file that a check should name.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from handmade_png import chunk

from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.synthetic import CLASSES, write_synthetic
from deeplab_tf.labels import VOID, LabelSet

FIRST = "train_0000"  # in the order of the list, and of names
COLORS = LabelSet.in_voc_colors(CLASSES).color_table()

SIDE = 32
THREE = LabelSet.in_voc_colors(("sky", "road", "car"))


def blocks(*values):
    """A label of equally wide upright stripes, `SIDE` pixels high and wide."""
    return np.repeat(np.repeat(np.uint8([values]), SIDE, 0), SIDE // len(values), 1)


def write_example(folder, name, label, image=None):
    """Write an example of two files, from contents or from a label (H, W) and a black image."""
    if isinstance(label, np.ndarray):
        label = encode_label(label, THREE.color_table())
    if image is None:
        image = cv2.imencode(".jpg", np.zeros((SIDE, SIDE, 3), np.uint8))[1].tobytes()
    example = Example(name, f"{folder}/{name}.jpg", f"{folder}/{name}.png")
    Path(example.image).write_bytes(image)
    Path(example.label).write_bytes(label)
    return example


def kinds(findings):
    """The severities and kinds of findings."""
    return [(finding.severity, finding.kind) for finding in findings]


class Defect(NamedTuple):
    """A kind of finding, and the function that plants what should be found."""

    kind: str
    plant: object


def write_small_set(folder):
    """Write eight images of 128x128 without a defect; every class occurs on them."""
    write_synthetic(folder, num_train=6, num_val=2, size=(128, 128))


def image_path(folder, name=FIRST):
    """Path of an image."""
    return Path(folder, "JPEGImages", f"{name}.jpg")


def label_path(folder, name=FIRST):
    """Path of a label."""
    return Path(folder, "SegmentationClass", f"{name}.png")


def all_labels(folder):
    """Paths of all labels."""
    return sorted(Path(folder, "SegmentationClass").iterdir())


def read_label(path):
    """A label file as (H, W) uint8, whatever its values."""
    return load_label(path, 255)


def write_label(path, label):
    """Write a palette PNG with the colors of the small data set."""
    path.write_bytes(encode_label(label.astype(np.uint8), COLORS))


def split_path(folder, split="train"):
    """Path of a list."""
    return Path(folder, "ImageSets", "Segmentation", f"{split}.txt")


def png(array):
    """A PNG of gray levels, RGB or RGBA, of 8 or 16 bits."""
    if array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    return cv2.imencode(".png", np.ascontiguousarray(array))[1].tobytes()


def exif(orientation, order=">"):
    """EXIF data that gives an orientation, after the name of a camera."""
    name = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"cam\0")
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    head = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "IH", 8, 2)
    return head + name + entry + bytes(4)


def with_orientation(jpeg, orientation, order=">"):
    """A JPEG with an EXIF segment that gives its orientation."""
    data = b"Exif\0\0" + exif(orientation, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def png_with_orientation(contents, orientation, order=">", at_the_end=False):
    """A PNG with an EXIF chunk that gives its orientation, before or after the pixels."""
    place = len(contents) - 12 if at_the_end else 33
    return contents[:place] + chunk(b"eXIf", exif(orientation, order)) + contents[place:]


def cmyk_jpeg(gray):
    """A CMYK JPEG whose four components are all the same gray levels (H, W)."""
    jpeg = cv2.imencode(".jpg", gray)[1].tobytes()
    frame, scan = jpeg.index(b"\xff\xc0"), jpeg.index(b"\xff\xda")
    tables = jpeg[:frame] + jpeg[frame + 2 + 11 : scan]
    sizes = jpeg[frame + 4 : frame + 9]  # bits, height, width
    components = b"".join(bytes([number, 0x11, 0]) for number in range(1, 5))
    header = b"\xff\xc0" + struct.pack(">H", 20) + sizes + b"\4" + components
    pixels = jpeg[scan + 2 + 8 : -2]  # one scan of one component
    scans = (b"\xff\xda\0\x08\1" + bytes([n]) + b"\0\0\x3f\0" + pixels for n in range(1, 5))
    return tables + header + b"".join(scans) + jpeg[-2:]


def _change_label(change):
    def plant(folder):
        path = label_path(folder)
        write_label(path, change(read_label(path)))
        return path

    return plant


def _change_labels(change):
    def plant(folder):
        for path in all_labels(folder):
            write_label(path, change(read_label(path)))
        return all_labels(folder)[0]

    return plant


def _label_contents(contents_of):
    def plant(folder):
        path = label_path(folder)
        path.write_bytes(contents_of(read_label(path)))
        return path

    return plant


def _image_contents(contents_of):
    def plant(folder):
        path = image_path(folder)
        path.write_bytes(contents_of(load_image(path), path.read_bytes()))
        return path

    return plant


def _cut(path_of):
    def plant(folder):
        path = path_of(folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return plant


def _remove(path_of):
    def plant(folder):
        path_of(folder).unlink()
        return path_of(folder)

    return plant


def _set_pixel(value):
    def change(label):
        label = label.copy()
        label[0, 0] = value
        return label

    return change


def _gray_shades(label):
    return cv2.cvtColor(COLORS[label], cv2.COLOR_RGB2GRAY)


def _smooth_colors(folder):
    names = [f"{name} {r} {g} {b}" for name, (r, g, b) in zip(CLASSES, COLORS, strict=False)]
    Path(folder, "classes.txt").write_text("\n".join(names))
    path = label_path(folder)
    path.write_bytes(png(cv2.GaussianBlur(COLORS[read_label(path)], (3, 3), 0)))
    return path


def _shades_among_indices(folder):
    # With so many classes the gray shades of the colors are below the number of classes.
    names = [*CLASSES, *(f"other {number}" for number in range(150))]
    Path(folder, "classes.txt").write_text("\n".join(names))
    return _label_contents(lambda label: png(_gray_shades(label)))(folder)


def _other_palette(folder):
    # Same colors in the picture, but the indices in another order.
    path = label_path(folder)
    order = np.roll(np.arange(len(CLASSES)), 1)
    table = COLORS.copy()
    table[order] = COLORS[: len(CLASSES)]
    path.write_bytes(encode_label(order[read_label(path)].astype(np.uint8), table))
    return path


def _resized(label):
    half = cv2.resize(label, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(half, label.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _png_of_16_bits(folder):
    path = image_path(folder)
    image = load_image(path).astype(np.uint16) * 16  # of 12 bits
    path.unlink()
    path.with_suffix(".png").write_bytes(png(image))
    return path.with_suffix(".png")


def _list_text(text_of, place="list 'train'"):
    def plant(folder):
        path = split_path(folder)
        path.write_text(text_of(path.read_text()))
        return place

    return plant


def _jpeg_beside(folder):
    path = label_path(folder)
    path.with_suffix(".jpg").write_bytes(cv2.imencode(".jpg", read_label(path))[1].tobytes())
    path.unlink()
    return path


def _jpeg(label):
    return cv2.imencode(".jpg", label)[1].tobytes()


def _rgba(label):
    return png(np.dstack([COLORS[label], np.full(label.shape, 255, np.uint8)]))


DEFECTS = {
    "60 classes against 21": Defect("label_value", _change_label(_set_pixel(59))),
    "gray shades of the colors": Defect(
        "label_value", _label_contents(lambda label: png(_gray_shades(label)))
    ),
    "indices from 1": Defect("label_value", _change_labels(lambda label: label + 1)),
    "mask of 0 and 128": Defect("label_mask", _change_label(lambda label: label.clip(0, 1) * 128)),
    "mask of 0, 128 and 255": Defect(
        "label_mask", _change_label(lambda label: np.choose(label % 3, [0, 128, 255]))
    ),
    "all objects are 255": Defect(
        "void_object", _change_labels(lambda label: label.clip(0, 1) * VOID)
    ),
    "one class is 255": Defect(
        "void_object", _change_labels(lambda label: np.where(label == 3, VOID, label))
    ),
    "nothing but void": Defect("void_only", _change_label(lambda label: np.full_like(label, VOID))),
    "resized with interpolation": Defect("label_interpolated", _change_labels(_resized)),
    "gray among palette": Defect("label_mix", _shades_among_indices),
    "palette in another order": Defect("label_palette", _other_palette),
    "RGB, no colors": Defect("label_rgb", _label_contents(lambda label: png(COLORS[label]))),
    "RGB with smooth edges": Defect("label_colors", _smooth_colors),
    "JPEG named png": Defect("label_jpeg", _label_contents(_jpeg)),
    "JPEG beside": Defect("label_jpeg", _jpeg_beside),
    "alpha": Defect("label_alpha", _label_contents(_rgba)),
    "label of 16 bits": Defect(
        "label_16bit", _label_contents(lambda label: png(label.astype(np.uint16)))
    ),
    "label cut short": Defect("label_unreadable", _cut(label_path)),
    "label missing": Defect("label_missing", _remove(label_path)),
    "other size": Defect("label_size", _change_label(lambda label: label[:-1])),
    "image cut short": Defect("image_unreadable", _cut(image_path)),
    "image cut short, with an end": Defect(
        "image_unreadable", _image_contents(lambda _, jpeg: jpeg[:-300] + jpeg[-2:])
    ),
    "image of another format": Defect(
        "image_unreadable", _image_contents(lambda image, _: b"GIF89a" + image.tobytes())
    ),
    "image missing": Defect("image_missing", _remove(image_path)),
    "CMYK": Defect("image_cmyk", _image_contents(lambda image, _: cmyk_jpeg(image[..., 0]))),
    "image of 16 bits": Defect("image_16bit", _png_of_16_bits),
    "EXIF": Defect("image_rotated", _image_contents(lambda _, jpeg: with_orientation(jpeg, 6))),
    "empty list": Defect("list_empty", _list_text(lambda _: "\n")),
    "duplicate": Defect("list_duplicate", _list_text(lambda text: f"{text}{FIRST}\n")),
    "train in val": Defect(
        "list_overlap", _list_text(lambda text: f"{text}val_0000\n", "list 'val'")
    ),
}
