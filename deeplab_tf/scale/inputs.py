"""The images of a large job: files, lists, patterns, Parquet and TFRecord files, or URLs of them.

The driver lists where the images are; only the workers read them.
"""

import fnmatch
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deeplab_tf.data.lists import IMAGE_EXTENSIONS
from deeplab_tf.data.records import extents_in
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.scale.reader import Reader
from deeplab_tf.scale.session import import_pyarrow
from deeplab_tf.scale.storage import files_below, is_url, join, open_place, read_place

LISTS = (".txt", ".lst")
_TFRECORD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$")
_WILDCARD = re.compile(r"[*?[]")


class Item(NamedTuple):
    """Where an image is.

    Args:
      source: names the image among all of a job: its path or URL, or FILE:NUMBER for a record.
      name: of the image in the table; None: the record may tell.
      label: path of its label file in the folder of the results.
      place: path or URL of the file that holds it.
      record: None: the file is the image; ("tfrecord", offset, size) or ("parquet", row group,
        row of the group).
      refused: why it cannot be labeled; "" if it can.
    """

    source: str
    name: str | None
    label: str
    place: str
    record: tuple | None = None
    refused: str = ""


class Files(NamedTuple):
    """Image files: `places`, and `names`, their paths below a common folder; lists of str."""

    places: list
    names: list

    @property
    def count(self):
        """Number of images."""
        return len(self.places)

    def items(self):
        """Yield the `Item` of each image."""
        for place, name in zip(self.places, self.names, strict=True):
            yield Item(place, name, str(PurePosixPath(name).with_suffix(".png")), place)


class Records(NamedTuple):
    """A file of many images.

    Args:
      place: of the file.
      folder: for the label files.
      records: list of the `record` of each `Item`.
    """

    place: str
    folder: str
    records: list

    @property
    def count(self):
        """Number of images."""
        return len(self.records)

    def items(self):
        """Yield the `Item` of each image."""
        for number, record in enumerate(self.records):
            label = f"{self.folder}/{number:06d}.png"
            yield Item(f"{self.place}:{number}", None, label, self.place, record)


def open_inputs(inputs, out_dir, columns=(None, None)):
    """Find all images.

    Args:
      inputs: list of str, each an image; a folder, whose images in all folders below are meant, or
        without any its Parquet files, or its TFRecord files; a pattern with *, ? or **; a text file
        .txt or .lst with a path or URL in each line, relative to the list's folder; a Parquet or
        TFRecord file. All but lists of patterns may be URLs.
      out_dir: folder of the results, which must not be among the images.
      columns: the arguments of `Reader`.

    Returns:
      List of `Files` and `Records`.

    Raises:
      InputError: naming the input that is missing, empty or of no known kind.
    """
    if not inputs:
        raise InputError("no image is given; give --inputs, or name images after the flags")
    places, roots, results = [], [], f"{_whole(str(out_dir))}/"
    for one in map(str, inputs):
        root, found = _expand(one, str(out_dir))
        if not found:
            raise InputError(f"{one}: no image found; check the path")
        if any(place.startswith(results) for place in found):
            raise InputError(f"{one}: has results of {out_dir} among the images; give another path")
        places += found
        roots.append(root)
    places, base, reader = list(dict.fromkeys(places)), _common_folder(roots), Reader(*columns)
    files = [place for place in places if not _is_records(place)]
    sources = [Files(files, [_below(place, base) for place in files])] if files else []
    records = [place for place in places if _is_records(place)]
    return sources + [_records(place, _below(place, base), reader) for place in records]


def _expand(one, out_dir):
    """(the folder that names are relative to, list of places) of one input."""
    if not is_url(one) and Path(one).is_dir():
        return _whole(one), _in_folder(_whole(one), out_dir)
    if _WILDCARD.search(one) and (is_url(one) or not Path(one).exists()):
        return _matching(_whole(one), out_dir)
    if PurePosixPath(one).suffix.lower() in LISTS:
        return _of_list(one)
    if is_url(one) and not (
        _is_image(one) or _is_records(one)
    ):  # a store has no folders, only names that begin alike
        return one.rstrip("/"), _in_folder(one.rstrip("/"), out_dir)
    if not is_url(one) and not Path(one).is_file():
        raise InputError(f"{one}: no such image; check the path")
    return str(_whole(one)).rpartition("/")[0], [_whole(one)]


def _whole(place):
    # Not resolved: a link in the path may be what the user calls the folder.
    return place if is_url(place) else str(Path(place).absolute())


def _in_folder(folder, out_dir):
    _check_outside(out_dir, folder, folder)
    names = files_below(folder)
    kinds = (
        [name for name in names if _is_image(name)],
        [name for name in names if name.endswith(".parquet")],
        [name for name in names if _TFRECORD.search(name)],
    )
    return [join(folder, name) for name in next(filter(None, kinds), [])]


def _matching(pattern, out_dir):
    root = pattern[: _WILDCARD.search(pattern).start()].rpartition("/")[0]
    rest = pattern[len(root) + 1 :]
    if "**" in rest:
        _check_outside(out_dir, root, pattern)
    if is_url(pattern) or "**" in rest:
        names = [
            name for name in files_below(root or "/") if _fits(name.split("/"), rest.split("/"))
        ]
    else:  # without a look into the other folders
        found = sorted(path for path in Path(root or "/").glob(rest) if path.is_file())
        names = [str(path)[len(root) + 1 :] for path in found]
    names = [name for name in names if _is_image(name) or _is_records(name)]
    return root, [join(root or "/", name) for name in names if "/." not in f"/{name}"]


def _fits(parts, pattern):
    """Whether the parts of a path fit those of a pattern; ** stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:] or ["*"]
        return any(_fits(parts[start:], rest) for start in range(len(parts)))
    return (
        bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
    )


def _check_outside(out_dir, folder, one):
    if _is_within(out_dir, folder):
        raise InputError(
            f"{one}: the results would be written among the images; give another --out_dir"
        )


def _of_list(path):
    folder = str(_whole(path)).rpartition("/")[0]
    try:
        text = read_place(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8; save it as UTF-8") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    places = [
        line if is_url(line) or line.startswith("/") else join(folder, line) for line in lines
    ]
    return _common_folder([place.rpartition("/")[0] for place in places]), places


def _is_image(place):
    return PurePosixPath(place).suffix.lower() in IMAGE_EXTENSIONS


def _is_records(place):
    return place.endswith(".parquet") or bool(_TFRECORD.search(place))


def _records(place, name, reader):
    filesystem, path = open_place(place)
    try:
        if place.endswith(".parquet"):
            parquet = import_pyarrow("pyarrow.parquet")
            with parquet.ParquetFile(path, filesystem=filesystem) as file:
                groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            records = [("parquet", i, row) for i, rows in enumerate(groups) for row in range(rows)]
        else:
            with filesystem.open_input_file(path) as file:
                records = [("tfrecord", *extent) for extent in extents_in(file, file.size(), place)]
    except (OSError, ValueError) as error:  # of pyarrow, for damaged files, too
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place}: cannot be read ({one_line(error, 200)})") from None
    shard = "".join(re.findall(r"-\d+-of-\d+$", name))
    folder = _TFRECORD.sub("", name).removesuffix(".parquet") + shard
    source = Records(place, folder, records)
    if records:
        reader.check(next(source.items()))
    return source


def _common_folder(folders):
    """The longest path whose names all folders begin with; "" if they have none."""
    parts = [folder.split("/") for folder in folders]
    same = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        same.append(names[0])
    return "/".join(same)


def _below(place, base):
    """The path of a place below a folder, or all of it without what would lead elsewhere."""
    rest = place[len(base) :] if base and place.startswith(f"{base}/") else place
    parts = [part for part in rest.replace("://", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def _is_within(path, folder):
    if is_url(path) or is_url(folder):
        return f"{str(path).rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
