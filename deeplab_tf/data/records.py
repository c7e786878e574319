"""Opening prepared data sets: TFRecord files in the layout of tensorflow-datasets.

    DATA_DIR/NAME/VERSION/dataset_info.json         the splits and how many records they have
                          metadata.json             classes, names and lists; see METADATA_KEYS
                          NAME-SPLIT.tfrecord-00000-of-00008

A list such as "trainval" is a split or a union of splits; metadata.json says which. Opening a list
only finds where each record starts, so that any record can be read at any time.
"""

import re
import shlex
import struct
from pathlib import Path

from deeplab_tf.data.examples import (
    PREPARE_AGAIN,
    RECORD_FOOTER,
    RECORD_HEADER,
    RecordExample,
)
from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet
from deeplab_tf.untrusted import parse_json

INFO, METADATA = "dataset_info.json", "metadata.json"
METADATA_KEYS = ("classes", "colors", "void_color", "names", "lists")
SPACES = "label_spaces"  # key of the metadata of data sets with further label spaces


def read_prepared(data_dir, dataset, split, space=""):
    """The examples of one list of a prepared data set.

    Args:
      data_dir: the --data_dir of `deeplab-tf prepare-data`.
      dataset: the data set's name.
      split: name of a list, such as "train", "val" or "trainval".
      space: label space, one of `prepared_spaces`; "": the first one.

    Returns:
      A list of `RecordExample`, in the list's order.

    Raises:
      InputError: if the data set is missing, has no such list, or a file is damaged.
    """
    folder = find_prepared(data_dir, dataset)
    metadata = read_metadata(folder)
    splits, lists = metadata["names"], metadata["lists"]
    parts = [split] if split in splits else lists.get(split)
    if parts is None:
        known = ", ".join([*splits, *lists])
        raise InputError(f"{folder}: unknown list {split!r}; available: {known}")
    examples = [
        example for part in parts for example in _read_split(folder, dataset, part, splits[part])
    ]
    if not examples:
        raise InputError(f"{folder}: the list {split!r} is empty; {PREPARE_AGAIN}")
    return [each._replace(label_key=label_key(space)) for each in examples]


def label_key(space=""):
    """Name of the feature of a record with the label of a label space."""
    return f"label_{space}" if space else "label"


def prepared_spaces(data_dir, dataset):
    """The names of the further label spaces of a prepared data set, a tuple of str.

    Raises:
      InputError: if the data set is missing.
    """
    return tuple(read_metadata(find_prepared(data_dir, dataset)).get(SPACES, ()))


def read_prepared_labels(data_dir, dataset, space=""):
    """The `LabelSet` of a prepared data set, in the label space `space`, see `read_prepared`.

    Raises:
      InputError: if the data set is missing, or its metadata has no classes.
    """
    folder = find_prepared(data_dir, dataset)
    metadata = read_metadata(folder)
    try:
        metadata = metadata[SPACES][space] if space else metadata
        return LabelSet(metadata["classes"], metadata["colors"], metadata["void_color"])
    except (KeyError, TypeError, ValueError) as error:  # InputError is a ValueError
        reason = f"its classes or colors are wrong ({error})"
        raise InputError(f"{folder / METADATA}: {reason}; {PREPARE_AGAIN}") from None


def prepared_splits(data_dir, dataset):
    """The names of the splits of a prepared data set; no example is in two of them.

    Raises:
      InputError: if the data set is missing.
    """
    return tuple(read_metadata(find_prepared(data_dir, dataset))["names"])


def find_prepared(data_dir, dataset):
    """The folder of the newest version of a prepared data set.

    Raises:
      InputError: if there is none, with the command that makes it.
    """
    found = [path.parent for path in Path(data_dir, dataset).glob(f"*.*.*/{INFO}")]
    # A copy that somebody keeps next to it, such as "1.0.0-old", is not a version.
    found = [folder for folder in found if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    if not found:
        place = shlex.quote(f"--data_dir={data_dir}")
        raise InputError(
            f"{Path(data_dir, dataset)}: no prepared data; make it with"
            f" deeplab-tf prepare-data --dataset={dataset} {place}"
        )
    return max(found, key=lambda folder: [int(number) for number in folder.name.split(".")])


def check_prepared(folder):
    """Open every file of a prepared data set, without reading the contents of the records.

    Args:
      folder: Path of the data set's files, DATA_DIR/NAME/VERSION.

    Raises:
      InputError: if one is missing or damaged.
    """
    if not (folder / INFO).is_file():
        raise InputError(f"{folder / INFO}: no such file; {PREPARE_AGAIN}")
    for split, names in read_metadata(folder)["names"].items():
        _read_split(folder, folder.parent.name, split, names)


def read_metadata(folder):
    """The contents of metadata.json: a dict with at least `METADATA_KEYS`.

    Args:
      folder: Path of the data set's files, DATA_DIR/NAME/VERSION.

    Raises:
      InputError: if the file is missing or has other contents.
    """
    path = folder / METADATA
    try:
        metadata = parse_json(path.read_text(encoding="utf-8"))
        defect = _defect(metadata)
    except (OSError, ValueError) as error:
        defect = f"cannot be read ({error})"
    if defect:
        raise InputError(f"{path}: {defect}; {PREPARE_AGAIN}")
    return metadata


def record_extents(path):
    """Where the records of a TFRecord file are.

    Args:
      path: the file.

    Returns:
      A list of (offset, size) of the records' data, in bytes.

    Raises:
      InputError: if the file ends within a record.
    """
    with Path(path).open("rb") as file:
        return extents_in(file, Path(path).stat().st_size, path)


def extents_in(file, end, path):
    """`record_extents` of an open file.

    Args:
      file: binary file that can seek.
      end: its size in bytes.
      path: its name, for the message.
    """
    extents, start = [], 0
    while start < end:
        file.seek(start)
        header = file.read(RECORD_HEADER)
        # A header that is cut off gets a size that leads beyond the end of the file.
        size = struct.unpack("<Q", header[:8])[0] if len(header) == RECORD_HEADER else end
        extents.append((start + RECORD_HEADER, size))
        start += RECORD_HEADER + size + RECORD_FOOTER
    if start != end:
        raise InputError(f"{path}: cut off or damaged; {PREPARE_AGAIN}")
    return extents


def _read_split(folder, dataset, split, names):
    paths = sorted(folder.glob(f"{dataset}-{split}.tfrecord-*"))
    if not paths or not paths[-1].name.endswith(f"-of-{len(paths):05d}"):
        raise InputError(f"{folder}: files of {split!r} are missing; {PREPARE_AGAIN}")
    places = [(str(path), *extent) for path in paths for extent in record_extents(path)]
    if len(places) != len(names):
        raise InputError(
            f"{folder}: {len(places)} records of {split!r} but {len(names)} names; {PREPARE_AGAIN}"
        )
    return [RecordExample(name, *place) for name, place in zip(names, places, strict=True)]


def _defect(metadata):
    # What is wrong with the metadata; "" if nothing is.
    if not isinstance(metadata, dict):
        return "not a JSON object"
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        return f"{missing[0]!r} is missing"
    splits, lists = metadata["names"], metadata["lists"]
    if not (_is_table_of_lists(splits) and _is_table_of_lists(lists)):
        return "'names' and 'lists' must contain lists of names"
    unknown = [part for parts in lists.values() for part in parts if part not in splits]
    return f"a list contains {unknown[0]!r}, which is not a split" if unknown else ""


def _is_table_of_lists(table):
    return isinstance(table, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in table.values()
    )
