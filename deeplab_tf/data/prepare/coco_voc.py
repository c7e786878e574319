"""COCO 2017 as the 21 classes of PASCAL VOC, for training before PASCAL VOC itself.

Objects of the 20 VOC classes get their class; the other 60 categories, and what is not
annotated, are background. Regions that COCO marks as crowds (iscrowd: several objects under one
coarse outline) are void where they are of a VOC class.

Masks of COCO overlap. Here smaller objects are in front of larger ones, by the area of their
masks, so that a bottle on a table is seen; public converters let the order of the file decide.
"""

import contextlib
import io
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from deeplab_tf.data.label_sets import VOC
from deeplab_tf.data.prepare.archives import Archive
from deeplab_tf.data.prepare.builder import Sample, SegmentationBuilder
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

URL = "http://images.cocodataset.org"
ARCHIVES = {
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

# COCO's name for each VOC class that it calls differently.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


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
      path: Path of the file.
      image_id: COCO's number of it.
      source: `Source` of its split.
    """

    name: str
    path: Path
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


class CocoVoc(SegmentationBuilder):
    """COCO 2017 as PASCAL VOC: background, 20 kinds of objects, crowds of them void."""

    label_set = VOC
    archives: ClassVar = ARCHIVES
    lists: ClassVar = {"trainval": ["train", "val"]}
    # Images with fewer pixels of objects are left out, as in public converters.
    OPTIONS: ClassVar = {"min_pixels": 1000}

    def splits(self, folders):
        """All images by name; an item is a `CocoImage`."""
        return {split: _list_images(folders, split) for split in ("train", "val")}

    def load(self, item):
        """The image and its objects; None where these are too small."""
        regions = read_regions(item.source, item.image_id)
        if count_object_pixels(regions) < self.options["min_pixels"]:
            return None
        label = draw(regions, image_shape(item.source, item.image_id))
        return Sample(item.name, item.path, label, item.source.path)


def load_source(path):
    """Read an annotation file.

    Args:
      path: annotations/instances_train2017.json or the like.

    Returns:
      `Source`.

    Raises:
      InputError: naming the file, where it cannot be read, is of another form, or lacks a
        category for one of the 20 classes.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress by printing
            annotations = COCO(str(path))
        _check_keys(annotations)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; is the archive complete?") from None
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: no COCO annotations ({reason}); extract it anew") from None
    return Source(path, annotations, _class_labels(annotations, path))


def image_shape(source, image_id):
    """(H, W) of an image as its annotation file has it."""
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
      InputError: where a mask has another form than COCO's, or another size than its image.
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
    """The number of pixels that `draw` gives a class of objects."""
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
    label = np.zeros(shape, np.uint8)
    for region in sorted(regions, key=_depth):
        value = VOID if region.is_crowd else region.label
        label[run_lengths.decode(region.mask) != 0] = value
    return label


def _list_images(folders, split):
    source = load_source(folders["annotations"] / "annotations" / f"instances_{split}2017.json")
    files = {entry["file_name"]: entry["id"] for entry in source.annotations.imgs.values()}
    folder = folders[split] / f"{split}2017"
    return [
        CocoImage(Path(file).stem, folder / file, files[file], source) for file in sorted(files)
    ]


def _check_keys(annotations):
    # What is needed and COCO's own index does not ask for.
    needed = ((annotations.imgs, {"file_name", "height", "width"}), (annotations.cats, {"name"}))
    for entries, keys in needed:
        for entry in entries.values():
            if not keys <= entry.keys():
                raise KeyError(*sorted(keys - entry.keys()))


def _class_labels(annotations, path):
    ids = {entry["name"]: entry["id"] for entry in annotations.cats.values()}
    labels = {}
    for label, name in enumerate(VOC.names[1:], start=1):
        coco_name = COCO_NAMES.get(name, name)
        if coco_name not in ids:
            raise InputError(f"{path}: has no category {coco_name!r}; take the original file")
        labels[ids[coco_name]] = label
    return labels


def _depth(region):
    # Crowds behind all objects, then the largest object first.
    return not region.is_crowd, -int(run_lengths.area(region.mask))


def _run_lengths(segmentation, shape, place):
    # pycocotools reads beyond its memory at masks that are not as they should be, so they are
    # checked before.
    if isinstance(segmentation, dict):
        _check_counts(segmentation, shape, place)
        return run_lengths.frPyObjects(segmentation, *shape)
    if not isinstance(segmentation, list):
        raise InputError(f"{place}: neither polygons nor run lengths; extract the file anew")
    polygons = [_polygon(points, shape, place) for points in segmentation]
    polygons = [points for points in polygons if len(points) >= 6]  # others enclose nothing
    if not polygons:
        return run_lengths.encode(np.zeros(shape, np.uint8, order="F"))
    return run_lengths.merge(run_lengths.frPyObjects(polygons, *shape))


def _check_counts(segmentation, shape, place):
    counts = np.asarray(segmentation.get("counts"))
    fits = (
        segmentation.get("size") == list(shape)
        and counts.dtype.kind == "i"
        and counts.min() >= 0
        and counts.sum() == shape[0] * shape[1]
    )
    if not fits:
        raise InputError(f"{place}: its run lengths do not fit its image; extract the file anew")


def _polygon(points, shape, place):
    try:
        points = np.asarray(points, np.float64).ravel()
    except (TypeError, ValueError):
        points = np.array([np.nan])
    far = 2 * max(shape)
    if len(points) % 2 or not (np.abs(points) <= far).all():
        raise InputError(
            f"{place}: its polygon is no list of x, y in its image; extract the file anew"
        )
    return points.tolist()
