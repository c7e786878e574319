"""The table of data sets: their names, classes, how each is opened, and what prepares it.

To add a data set:

1. Add a row to `DATASETS` below. The classes are a `LabelSet`, as in label_sets.py.
2. If `deeplab-tf prepare-data` should make it, write a builder class in prepare/NAME.py.
   prepare/builder.py describes builders; prepare/voc12.py is the shortest example. Options of a
   builder also need flags, in commands/prepare_data.py.

Everything else, such as the flag --dataset, reads this table.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.data.depth import CAMERA_FILE, Camera, read_camera
from deeplab_tf.data.label_sets import (
    CAMVID,
    CITYSCAPES,
    MSRC21,
    NYUDV2,
    PASCAL_CONTEXT,
    PERSON_PART,
    SIFTFLOW,
    VOC,
)
from deeplab_tf.data.records import (
    find_prepared,
    prepared_spaces,
    read_metadata,
    read_prepared,
    read_prepared_labels,
)
from deeplab_tf.data.synthetic import ensure_synthetic
from deeplab_tf.data.synthetic_depth import ensure_synthetic_depth
from deeplab_tf.data.synthetic_heads import ensure_synthetic_heads
from deeplab_tf.data.synthetic_rooms import ensure_synthetic_rooms
from deeplab_tf.data.voc import label_spaces, read_encoding, read_label_set, read_split
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet

# {name: function that writes the data set into a folder unless it is there}.
SYNTHETIC = {
    "synthetic": ensure_synthetic,
    "synthetic_depth": ensure_synthetic_depth,
    "synthetic_heads": ensure_synthetic_heads,
    "synthetic_rooms": ensure_synthetic_rooms,
}


def _open_voc_layout(name, data_dir, split, need_labels, space=""):
    return read_split(data_dir, split, need_labels, space), read_label_set(data_dir, space)


def _open_synthetic(name, data_dir, split, need_labels, space=""):
    SYNTHETIC[name](data_dir)  # written on first use
    return _open_voc_layout(name, data_dir, split, need_labels, space)


def _open_records(name, data_dir, split, need_labels, space=""):
    examples = read_prepared(data_dir, name, split, space)
    return examples, read_prepared_labels(data_dir, name, space)


class Dataset(NamedTuple):
    """One row of the table.

    Args:
      name: what --dataset calls it.
      label_set: its classes; None if its own files list them.
      open: a function of (name, data_dir, split, need_labels, space), which are the arguments of
        `open_dataset`; it returns what `open_dataset` does.
      builder: name of the class in prepare/NAME.py that makes it; "" if it is not prepared.
    """

    name: str
    label_set: LabelSet | None
    open: Callable
    builder: str = ""


DATASETS = {
    row.name: row
    for row in (
        Dataset("voc", None, _open_voc_layout),  # any folder in VOC layout
        Dataset("synthetic", None, _open_synthetic),
        Dataset("synthetic_depth", None, _open_synthetic),
        Dataset("synthetic_heads", None, _open_synthetic),
        Dataset("synthetic_rooms", None, _open_synthetic),
        Dataset("voc12", VOC, _open_records, "Voc12"),
        Dataset("voc12_aug", VOC, _open_records, "Voc12Aug"),
        Dataset("voc11_sbd", VOC, _open_records, "Voc11Sbd"),
        Dataset("pascal_context", PASCAL_CONTEXT, _open_records, "PascalContext"),
        Dataset("person_part", PERSON_PART, _open_records, "PersonPart"),
        Dataset("cityscapes", CITYSCAPES, _open_records, "Cityscapes"),
        Dataset("coco_voc", VOC, _open_records, "CocoVoc"),
        Dataset("camvid", CAMVID, _open_records, "Camvid"),
        Dataset("msrc21", MSRC21, _open_records, "Msrc21"),
        Dataset("nyudv2", NYUDV2, _open_records, "Nyudv2"),
        Dataset("siftflow", SIFTFLOW, _open_records, "Siftflow"),
        Dataset("folder", None, _open_records, "Folder"),  # the user's own images
    )
}
"""All data sets by name, each with its classes if they are known in advance."""

# The names of the data sets that `deeplab-tf prepare-data` makes, and {name: classes} of those
# whose classes are known in advance.
PREPARED = tuple(name for name, row in DATASETS.items() if row.builder)
LABEL_SETS = {name: row.label_set for name, row in DATASETS.items() if row.label_set}


def open_dataset(dataset, data_dir, split, need_labels=True, space=""):
    """The examples of one split and the classes of a data set.

    Args:
      dataset: name of a row of `DATASETS`: "voc" for any folder in VOC layout; "synthetic",
        "synthetic_depth", "synthetic_rooms" or "synthetic_heads" for a built-in one, which is
        written into `data_dir` on first use; or a data set that `deeplab-tf prepare-data` wrote
        into `data_dir`.
      data_dir: the data set's folder.
      split: name of the list of examples, such as "train" or "val".
      need_labels: whether every example must have a label; see `read_split`.
      space: label space, one of `further_spaces`; "": the first one, which every data set has.

    Returns:
      (list of `Example` or of `RecordExample`, `LabelSet`).

    Raises:
      InputError: if the name is unknown or the folder is incomplete.
    """
    if dataset not in DATASETS:
        raise _unknown(dataset, DATASETS)
    return DATASETS[dataset].open(dataset, data_dir, split, need_labels, space)


def label_encoding(dataset, data_dir, space=""):
    """The `LabelEncoding` of a data set's label files; None: they hold class indices.

    Args:
      dataset, data_dir, space: as for `open_dataset`.
    """
    return None if dataset in PREPARED else read_encoding(data_dir, space)


def further_spaces(dataset, data_dir):
    """The names of a data set's label spaces besides the first one, a tuple of str.

    Args:
      dataset, data_dir: as for `open_dataset`.

    Raises:
      InputError: if a prepared data set is missing.
    """
    if dataset in PREPARED:
        return prepared_spaces(data_dir, dataset)
    if dataset in SYNTHETIC:
        SYNTHETIC[dataset](data_dir)
    return label_spaces(data_dir)


def dataset_camera(dataset, data_dir):
    """The `Camera` of a data set's depth maps; None if it has none.

    It is in the file camera.txt of a folder in VOC layout: fx fy cx cy, in pixels.

    Args:
      dataset, data_dir: as for `open_dataset`.

    Raises:
      InputError: if the data set is missing, or its camera is not one.
    """
    if dataset not in PREPARED:
        return read_camera(Path(data_dir, CAMERA_FILE))
    text = read_metadata(find_prepared(data_dir, dataset)).get("camera")
    return Camera.parse(text) if text else None


def find_builder(dataset):
    """The class that prepares a data set.

    It is imported only here, because builders need large packages.

    Args:
      dataset: name of the data set, one of `PREPARED`.

    Returns:
      A subclass of `prepare.builder.Builder`.

    Raises:
      InputError: if nothing prepares a data set of this name.
    """
    if dataset not in PREPARED:
        raise _unknown(dataset, PREPARED)
    module = importlib.import_module(f"deeplab_tf.data.prepare.{dataset}")
    return getattr(module, DATASETS[dataset].builder)


def _unknown(dataset, names):
    return InputError(f"unknown dataset {dataset!r}; available: {', '.join(names)}")
