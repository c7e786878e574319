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
        """Yield the `Item` of each image; of two with the same label file, one is refused."""
        taken = set()
        for place, name in zip(self.places, self.names, strict=True):
            label = str(PurePosixPath(name).with_suffix(".png"))
            refused = f"{name}: {label} has the labels of another image; rename it"
            yield Item(place, name, label, place, refused=refused if label in taken else "")
            taken.add(label)


class Records(NamedTuple):
    """A file of many images: its `place`, and `records`, the `record` of each `Item`."""

    place: str
    records: list

    @property
    def count(self):
        """Number of images."""
        return len(self.records)

    def items(self):
        """Yield the `Item` of each image."""
        stem = _TFRECORD.sub("", PurePosixPath(self.place).name).removesuffix(".parquet")
        stem += "".join(re.findall(r"-\d+-of-\d+$", self.place))
        for number, record in enumerate(self.records):
            label = f"{stem}/{number:06d}.png"
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
    images, roots, sources, reader = [], [], [], Reader(*columns)
    for one in map(str, inputs):
        root, found = _expand(one, str(out_dir))
        if not found:
            raise InputError(f"{one}: no image found; check the path")
        if any(place.startswith(f"{_whole(str(out_dir))}/") for place in found):
            raise InputError(f"{one}: has results of {out_dir} among the images; give another path")
        files = [place for place in found if not _is_records(place)]
        sources += [_records(place, reader) for place in found if _is_records(place)]
        if files:
            images += files
            roots.append(root)
    if images:
        base = _common_folder(roots)
        unique = list(dict.fromkeys(images))  # in order
        sources.insert(0, Files(unique, [_below(place, base) for place in unique]))
    return sources


def _expand(one, out_dir):
    """(the folder that names are relative to, list of places) of one input."""
    if not is_url(one) and Path(one).is_dir():
        return _whole(one), _in_folder(_whole(one), out_dir)
    if _WILDCARD.search(one) and (is_url(one) or not Path(one).exists()):
        return _matching(_whole(one), out_dir)
    if PurePosixPath(one).suffix.lower() in LISTS:
        return _of_list(one)
    known = PurePosixPath(one).suffix.lower() in IMAGE_EXTENSIONS or _is_records(one)
    if is_url(one) and not known:  # a store has no folders, only names that begin alike
        return one.rstrip("/"), _in_folder(one.rstrip("/"), out_dir)
    if not is_url(one) and not Path(one).is_file():
        raise InputError(f"{one}: no such image; check the path")
    return str(_whole(one)).rpartition("/")[0], [_whole(one)]


def _whole(place):
    # Not resolved: a link in the path may be what the user calls the folder.
    return place if is_url(place) else str(Path(place).absolute())


def _in_folder(folder, out_dir):
    if _is_within(out_dir, folder):
        raise InputError(
            f"{folder}: the results would be written among the images; give another --out_dir"
        )
    names = files_below(folder)
    kinds = (
        [name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS],
        [name for name in names if name.endswith(".parquet")],
        [name for name in names if _TFRECORD.search(name)],
    )
    return [join(folder, name) for name in next(filter(None, kinds), [])]


def _matching(pattern, out_dir):
    fixed = pattern[: _WILDCARD.search(pattern).start()]
    root = fixed.rpartition("/")[0]
    if _is_within(out_dir, root) and "**" in pattern:
        raise InputError(
            f"{pattern}: the results would be written among the images; give another --out_dir"
        )
    rest = pattern[len(root) + 1 :]
    if not is_url(pattern):
        found = sorted(str(path) for path in Path(root or "/").glob(rest) if path.is_file())
        return root, [place for place in found if "/." not in place[len(root) :]]
    expression = re.compile(_regular(rest))
    return root, [join(root, name) for name in files_below(root) if expression.fullmatch(name)]


def _regular(pattern):
    """A pattern of folders as a regular expression; ** stands for any number of folders."""
    parts = []
    for part in pattern.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
        else:
            one = fnmatch.translate(part).replace(".*", "[^/]*").removesuffix(r"\Z")
            parts.append(f"(?:{one})/")
    return "".join(parts).removesuffix("/")


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


def _is_records(place):
    return place.endswith(".parquet") or bool(_TFRECORD.search(place))


def _records(place, reader):
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
    source = Records(place, records)
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
