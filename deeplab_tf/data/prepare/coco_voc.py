"""COCO 2017 with the 21 classes of PASCAL VOC, for training before PASCAL VOC itself.

Objects of the 20 VOC classes get their class; the other 60 categories, and what is not
annotated, are background. Regions that COCO marks as crowds (iscrowd: several objects under one
coarse outline) are void if they are of a VOC class.

COCO's masks overlap. Here smaller objects are in front of larger ones, by the area of their
masks, so that a bottle on a table is seen; public converters follow the order in the file.
"""

import contextlib
import io
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from crf.checks import check_count
from deeplab_tf.data.image_header import MAX_PIXELS, check_pixels
from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Builder
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.labels import VOID

URL = "http://images.cocodataset.org"

# COCO's names of those VOC classes that it names differently.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


# What pycocotools and the checks here raise for other contents than COCO's.
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, AssertionError, IndexError,
              RecursionError)  # fmt: skip


class Region(NamedTuple):
    """One annotated region of an image.

    Args:
      label: class index 1..20.
      mask: its mask as pycocotools' compressed run lengths.
      is_crowd: whether it outlines several objects together.
    """

    label: int
    mask: dict
    is_crowd: bool


class CocoImage(NamedTuple):
    """One image of COCO.

    Args:
      name: its file name without the ending.
      image: Path of the file.
      label: Path of the annotation file of its split.
      image_id: COCO's number of the image.
      source: `Source` of its split.
    """

    name: str
    image: Path
    label: Path
    image_id: int
    source: "Source"


class Source(NamedTuple):
    """An annotation file.

    Args:
      path: Path of the file.
      annotations: its pycocotools index.
      labels: {category id: class index} of the VOC classes.
    """

    path: Path
    annotations: COCO
    labels: dict[int, int]


class CocoVoc(Builder):
    """COCO 2017 as PASCAL VOC: background, 20 kinds of objects, crowds of them void."""

    archives: ClassVar = {
        "train": Archive(
            "train2017.zip",
            f"{URL}/zips/train2017.zip",
            "sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            19336861798,
        ),
        "val": Archive(
            "val2017.zip",
            f"{URL}/zips/val2017.zip",
            "sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            815585330,
        ),
        "annotations": Archive(
            "annotations_trainval2017.zip",
            f"{URL}/annotations/annotations_trainval2017.zip",
            "sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            252907541,
        ),
    }
    # Images with fewer pixels of objects are left out, as in public converters.
    OPTIONS: ClassVar = {"min_pixels": 1000}

    def splits(self, folders):
        """All images, sorted by name; an example is a `CocoImage`."""
        splits = {}
        for split in ("train", "val"):
            path = folders["annotations"] / "annotations" / f"instances_{split}2017.json"
            source, folder = load_source(path), folders[split] / f"{split}2017"
            ids = {entry["file_name"]: entry["id"] for entry in source.annotations.imgs.values()}
            splits[split] = [
                CocoImage(Path(file).stem, folder / file, path, image_id, source)
                for file, image_id in sorted(ids.items())
            ]
        return splits

    def read_label(self, example):
        """The objects of the image; None if they are too small."""
        regions = read_regions(example.source, example.image_id)
        if count_object_pixels(regions) < self.options["min_pixels"]:
            return None
        return draw(regions, image_shape(example.source, example.image_id))


def load_source(path):
    """Read an annotation file.

    Args:
      path: annotations/instances_train2017.json or the like.

    Returns:
      `Source`.

    Raises:
      InputError: naming the file if it cannot be read, is of another form, or lacks a category
        for one of the 20 classes.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            annotations = COCO(str(path))
        _check_entries(annotations)
        ids = {entry["name"]: entry["id"] for entry in annotations.cats.values()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check that the archive is complete") from None
    except _MALFORMED as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{path}: not COCO annotations ({reason}); extract it again") from None
    labels = {}
    for label, name in enumerate(VOC.names[1:], start=1):
        coco_name = COCO_NAMES.get(name, name)
        if coco_name not in ids:
            raise InputError(f"{path}: has no category {coco_name!r}; use the original file")
        labels[ids[coco_name]] = label
    return Source(path, annotations, labels)


def _check_entries(annotations):
    """Raise one of `_MALFORMED` for fields that pycocotools does not require, or look at."""
    for entry in annotations.imgs.values():
        if not isinstance(entry["file_name"], str):
            raise TypeError("a file name that is no text")
        for side in (entry["height"], entry["width"]):
            if check_count(side, "height and width", 1) > MAX_PIXELS:
                raise ValueError(f"an image with {side} rows or columns")
        check_pixels(entry["width"], entry["height"])
    for entry in annotations.anns.values():
        hash((entry["category_id"], entry["id"]))


def image_shape(source, image_id):
    """(H, W) of an image according to its annotation file."""
    entry = source.annotations.imgs[image_id]
    return entry["height"], entry["width"]


def read_regions(source, image_id):
    """The regions of VOC classes in one image, in the order of the file.

    Args:
      source: `Source`.
      image_id: COCO's number of the image.

    Returns:
      A list of `Region`.

    Raises:
      InputError: if a mask has another form than COCO's, or another size than its image.
    """
    shape = image_shape(source, image_id)
    regions = []
    for entry in source.annotations.imgToAnns.get(image_id, []):
        if entry["category_id"] in source.labels:
            place = f"{source.path}: annotation {entry['id']}"
            mask = _run_lengths(entry.get("segmentation"), shape, place)
            is_crowd = bool(entry.get("iscrowd", 0))
            regions.append(Region(source.labels[entry["category_id"]], mask, is_crowd))
    return regions


def count_object_pixels(regions):
    """The number of pixels to which `draw` gives a class of objects."""
    masks = [region.mask for region in regions if not region.is_crowd]
    return int(run_lengths.area(run_lengths.merge(masks))) if masks else 0


def draw(regions, shape):
    """The label map of an image's regions.

    Args:
      regions: list of `Region`.
      shape: (H, W) of the image.

    Returns:
      (H, W) uint8 array of class indices 0..20, 255 = void.
    """

    def depth(region):
        # Crowds behind all objects, then the largest object first.
        return not region.is_crowd, -int(run_lengths.area(region.mask))

    label = np.zeros(shape, np.uint8)
    for region in sorted(regions, key=depth):
        value = VOID if region.is_crowd else region.label
        label[run_lengths.decode(region.mask) != 0] = value
    return label


def _run_lengths(segmentation, shape, place):
    # A malformed mask would make pycocotools read out of bounds, so masks are checked first.
    if isinstance(segmentation, dict):
        counts = _whole_numbers(segmentation.get("counts"))
        fits = segmentation.get("size") == list(shape) and sum(counts) == shape[0] * shape[1]
        if not fits:
            what = "its run lengths do not fit its image"
            raise InputError(f"{place}: {what}; extract the file again")
        return run_lengths.frPyObjects(segmentation, *shape)
    if not isinstance(segmentation, list):
        raise InputError(f"{place}: neither polygons nor run lengths; extract the file again")
    polygons = [_polygon(points, shape, place) for points in segmentation]
    polygons = [points for points in polygons if len(points) >= 6]  # 3 points or more
    if not polygons:
        return run_lengths.encode(np.zeros(shape, np.uint8, order="F"))
    return run_lengths.merge(run_lengths.frPyObjects(polygons, *shape))


def _whole_numbers(values):
    """A list of whole numbers from 0; an empty one if it is something else."""
    is_list = isinstance(values, list) and all(type(value) is int for value in values)
    return values if is_list and min(values, default=0) >= 0 else []


def _polygon(points, shape, place):
    try:
        points = np.asarray(points, np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        points = np.array([np.nan])
    far = 2 * max(shape)  # points may lie a little outside of the image
    if len(points) % 2 or not (np.abs(points) <= far).all():
        what = "its polygon is not a list of x, y in its image"
        raise InputError(f"{place}: {what}; extract the file again")
    return points.tolist()
