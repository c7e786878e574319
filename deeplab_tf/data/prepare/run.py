"""From the original archives to TFRecords that are complete and checked, or not there at all."""

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from deeplab_tf.data.prepare.archives import unpacked
from deeplab_tf.data.prepare.claims import claimed_folder
from deeplab_tf.data.prepare.registry import find_builder
from deeplab_tf.errors import InputError


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
):
    """Write a data set as TFRecords into DATA_DIR/NAME/VERSION, from its original archives.

    Archives that were downloaded or extracted by an earlier run are used as they are. The
    folder appears only when everything in it is written and verified.

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

    Returns:
      `Prepared`.

    Raises:
      InputError: where an archive or an option is at fault, or the data set was prepared with
        other options before.

    Example:
      >>> prepare("voc12", "downloads", "data", manual_dir="archives").counts
      {'train': 1464, 'val': 1449, 'trainval': 2913}
    """
    builder_class = find_builder(dataset)
    options = _complete(builder_class, options or {})
    folder = Path(data_dir) / dataset / str(builder_class.VERSION)
    if folder.is_dir():
        return _earlier(folder, options)
    folders = {
        key: unpacked(archive, download_dir, manual_dir, trust_archives)
        for key, archive in builder_class.needed_archives(options).items()
    }
    expected = {} if trust_archives else builder_class.expected
    with claimed_folder(folder.parent), _temporary_folder(folder) as temporary:
        _build(builder_class, temporary, options, folders, expected)
        if verify:
            verify(temporary)
        (temporary / dataset / folder.name).replace(folder)
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
    builder_class.check_options(options)
    return options


def _earlier(folder, options):
    before = _metadata(folder)["options"]
    for name, value in options.items():
        if before.get(name) != value:
            raise InputError(
                f"{folder}: was prepared with {name}={before.get(name)}, not {value}; delete it,"
                " or give another --data_dir"
            )
    return Prepared(folder, _counts(folder), is_new=False)


@contextlib.contextmanager
def _temporary_folder(folder):
    # Beside the result, so that it only has to be renamed; removed whatever happens.
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}.", suffix=".partial"
    ) as temporary:
        yield Path(temporary)


def _build(builder_class, data_dir, options, folders, expected):
    import tensorflow_datasets as tfds  # the builders have imported it, but not all of us need it

    tfds.disable_progress_bar()  # ours shows the images; theirs would show steps of the writing
    with tqdm(desc=f"preparing {builder_class.name}", unit="image") as bar:
        builder = builder_class(
            data_dir=data_dir, options=options, folders=folders, expected=expected, bar=bar
        )
        with contextlib.redirect_stdout(io.StringIO()):  # theirs: a guess of sizes, all zero
            builder.download_and_prepare(
                download_dir=data_dir / "downloads",  # it has nothing to download
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )


def _counts(folder):
    metadata = _metadata(folder)
    counts = {split: len(names) for split, names in metadata["names"].items()}
    unions = {
        name: sum(counts[split] for split in splits) for name, splits in metadata["lists"].items()
    }
    return counts | unions


def _metadata(folder):
    path = folder / "metadata.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete {folder}") from None
