"""From the original archives to TFRecords that are complete and checked, or not there at all."""

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.data.datasets import find_builder
from deeplab_tf.data.prepare.archives import known_contents, unpacked
from deeplab_tf.data.prepare.builder import VERSION
from deeplab_tf.data.prepare.origin import Origin, check_same, fingerprint
from deeplab_tf.data.prepare.writer import write_records
from deeplab_tf.data.records import check_prepared, read_metadata
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder, new_folder

FULL_DISK = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class Prepared(NamedTuple):
    """A prepared data set.

    Args:
      folder: Path of its files, DATA_DIR/NAME/VERSION.
      counts: {list: number of images} of the splits and of the unions of splits.
      is_new: True if this run made it, False if an earlier one did.
    """

    folder: Path
    counts: dict[str, int]
    is_new: bool


def prepare(
    dataset,
    download_dir,
    data_dir,
    manual_dir=None,
    options=None,
    trust_archives=False,
    verify=None,
    overwrite=False,
):
    """Write a data set as TFRecords into DATA_DIR/NAME/VERSION, from its original archives.

    Archives that an earlier run downloaded or extracted are used again. The folder appears only
    when everything in it is written and verified. If it is already there, only its files are
    checked, and whether it was made from the same archives, files and options.

    Args:
      dataset: its name, one of `PREPARED` in datasets.py.
      download_dir: folder for what is downloaded and extracted.
      data_dir: folder for the result.
      manual_dir: folder of archives that a person has downloaded.
      options: {name: value} of the builder's `OPTIONS` that differ from their defaults.
      trust_archives: whether to accept archives whose checksums, sizes and numbers of images are
        not those of the originals.
      verify: a function called with a folder as `data_dir` before the result gets its name; if it
        raises, the run stops and nothing is kept.
      overwrite: whether to make an existing result again; it is replaced at the very end.

    Returns:
      `Prepared`.

    Raises:
      InputError: if an archive or an option is wrong, the disk is full, or the existing result is
        damaged or was made from something else.

    Example:
      >>> prepare("voc12", "downloads", "data", manual_dir="archives").counts
      {'train': 1464, 'val': 1449, 'trainval': 2913}
    """
    builder = find_builder(dataset)(dataset, options)
    folder = Path(data_dir) / dataset / VERSION
    files = fingerprint(builder.source_files())
    place = download_dir, manual_dir, trust_archives
    if folder.is_dir() and not overwrite:
        names = {key: known_contents(a, *place) for key, a in builder.archives.items()}
        origin = Origin(builder.options, trust_archives, names, files)
        check_same(folder, read_metadata(folder), origin)
        check_prepared(folder)
        return Prepared(folder, _counts(folder), is_new=False)
    with _full_disk_reported(download_dir, "--download_dir"):
        folders = {key: unpacked(a, *place) for key, a in builder.archives.items()}
    names = {key: contents.name for key, contents in folders.items()}
    origin = Origin(builder.options, trust_archives, names, files)
    with lock_folder(folder.parent), new_folder(folder, overwrite) as unfinished:
        with _full_disk_reported(data_dir, "--data_dir"):
            write_records(builder, folders, origin, unfinished)
        if verify:
            verify(unfinished)
        # tensorflow-datasets always writes into NAME/VERSION below the given folder.
        for path in list((unfinished / dataset / VERSION).iterdir()):
            path.rename(unfinished / path.name)
        shutil.rmtree(unfinished / dataset)
    return Prepared(folder, _counts(folder), is_new=True)


@contextlib.contextmanager
def _full_disk_reported(folder, flag):
    try:
        yield
    except Exception as error:  # tensorflow-datasets wraps the errors of TensorFlow and the system
        if not any(reason in str(error) for reason in FULL_DISK):
            raise
        raise InputError(
            f"{folder}: its disk is full; make room there, or give another {flag}"
        ) from None


def _counts(folder):
    metadata = read_metadata(folder)
    counts = {split: len(names) for split, names in metadata["names"].items()}
    unions = {
        name: sum(counts[split] for split in splits) for name, splits in metadata["lists"].items()
    }
    return counts | unions
