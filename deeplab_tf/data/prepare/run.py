"""From the original archives to TFRecords that are complete and checked, or not there at all."""

import contextlib
import errno
import io
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from deeplab_tf.data.prepare.archives import known_contents, unpacked
from deeplab_tf.data.prepare.origin import Origin, check_same, fingerprint
from deeplab_tf.data.prepare.registry import find_builder
from deeplab_tf.data.records import check_prepared, read_metadata
from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder

FULL_DISK = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class Prepared(NamedTuple):
    """A prepared data set.

    Args:
      folder: Path of its files, DATA_DIR/NAME/VERSION.
      counts: {list: number of images} of the splits and of the unions of splits.
      is_new: whether it was made now; False where an earlier run has made it.
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

    Archives that were downloaded or extracted by an earlier run are used as they are. The
    folder appears only when everything in it is written and verified. Where it is there already,
    its files are looked at, and that it would be made of the same again.

    Args:
      dataset: its name, one of `BUILDERS`.
      download_dir: folder for what is downloaded and extracted.
      data_dir: folder for the result.
      manual_dir: folder of archives that a person has downloaded.
      options: {name: value} of the data set's `OPTIONS` that shall differ from their defaults.
      trust_archives: whether archives with other checksums, sizes and numbers of images than
        the originals' are taken.
      verify: a function called with a folder as `data_dir` before the result gets its name;
        what it raises stops the run, and nothing is left.
      overwrite: whether a result that is there is made anew, and replaced when that is done.

    Returns:
      `Prepared`.

    Raises:
      InputError: where an archive or an option is at fault, the disk is full, or what was
        prepared before is damaged or was made of something else.

    Example:
      >>> prepare("voc12", "downloads", "data", manual_dir="archives").counts
      {'train': 1464, 'val': 1449, 'trainval': 2913}
    """
    builder_class = find_builder(dataset)
    options = _complete(builder_class, options or {})
    folder = Path(data_dir) / dataset / str(builder_class.VERSION)
    archives, places = builder_class.needed_archives(options), (download_dir, manual_dir)
    files = fingerprint(builder_class.source_files(options))
    if folder.is_dir() and not overwrite:
        names = {k: known_contents(a, *places, trust_archives) for k, a in archives.items()}
        return _earlier(folder, Origin(options, trust_archives, names, files))
    with _full_disk_told(download_dir, "--download_dir"):
        folders = {k: unpacked(a, *places, trust_archives) for k, a in archives.items()}
    names = {key: contents.name for key, contents in folders.items()}
    origin = Origin(options, trust_archives, names, files)
    with lock_folder(folder.parent), _temporary_folder(folder) as temporary:
        with _full_disk_told(data_dir, "--data_dir"):
            _build(builder_class, temporary, origin, folders)
        if verify:
            verify(temporary)
        _move(temporary / dataset / folder.name, folder, overwrite)
    return Prepared(folder, _counts(folder), is_new=True)


def _complete(builder_class, options):
    known = builder_class.OPTIONS
    for name in options:
        if name not in known:
            raise InputError(
                f"--{name}: {builder_class.name} has no such option;"
                f" it has {', '.join(f'--{option}' for option in known) or 'none'}"
            )
    options = {**known, **options}
    for name in builder_class.PATHS:
        # The same file is the same however it is written, and from wherever.
        options[name] = options[name] and str(Path(options[name]).resolve())
    builder_class.check_options(options)
    return options


def _earlier(folder, origin):
    check_same(folder, read_metadata(folder), origin)
    check_prepared(folder)
    return Prepared(folder, _counts(folder), is_new=False)


@contextlib.contextmanager
def _full_disk_told(folder, flag):
    try:
        yield
    except Exception as error:  # tensorflow-datasets makes others of TensorFlow's and the system's
        if not any(reason in str(error) for reason in FULL_DISK):
            raise
        raise InputError(
            f"{folder}: its disk is full; make room there, or give another {flag}"
        ) from None


@contextlib.contextmanager
def _temporary_folder(folder):
    # Beside the result, so that it only has to be renamed; removed whatever happens.
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}.", suffix=".partial"
    ) as temporary:
        yield Path(temporary)


def _move(made, folder, overwrite):
    if overwrite and folder.is_dir():
        folder.replace(made.with_name(f"{made.name}.old"))  # goes with the temporary folder
    made.replace(folder)  # fails where another run has made it meanwhile


def _build(builder_class, data_dir, origin, folders):
    import tensorflow_datasets as tfds  # the builders have imported it, but not all of us need it

    data_dir = data_dir.absolute()  # theirs would take a leading ~ for somebody's home
    tfds.disable_progress_bar()  # ours shows the images; theirs would show steps of the writing
    with tqdm(desc=f"preparing {builder_class.name}", unit="image") as bar:
        builder = builder_class(
            data_dir=data_dir,
            origin=origin,
            folders=folders,
            expected={} if origin.trust_archives else builder_class.expected,
            bar=bar,
        )
        with contextlib.redirect_stdout(io.StringIO()):  # theirs: a guess of sizes, all zero
            builder.download_and_prepare(
                download_dir=data_dir / "downloads",  # it has nothing to download
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )


def _counts(folder):
    metadata = read_metadata(folder)
    counts = {split: len(names) for split, names in metadata["names"].items()}
    unions = {
        name: sum(counts[split] for split in splits) for name, splits in metadata["lists"].items()
    }
    return counts | unions
