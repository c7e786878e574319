"""Text files that list the examples of a data set, one per line.

A line is the name of an example, `2007_000032`, with or without its image's extension; or it has
the paths of the image and the label, as in many lists of VOC with SBD's labels:

    /JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png

Paths are relative to the data set's folder, even if they begin with a slash. Absolute paths of
files in this folder are understood, too.
"""

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deeplab_tf.data.examples import read_file
from deeplab_tf.errors import InputError

LABEL_EXTENSIONS = (".png", ".tif", ".tiff", ".bmp", ".webp")
IMAGE_EXTENSIONS = (".jpg", ".jpeg", *LABEL_EXTENSIONS, ".npy")
IMAGES_FOLDER = "JPEGImages"

# Names may contain spaces, so the first path ends at its file extension.
_PATH = rf"(.+?(?:{'|'.join(map(re.escape, IMAGE_EXTENSIONS))}))"
_FILE = re.compile(_PATH, re.IGNORECASE)
_PAIR = re.compile(rf"{_PATH}\s+(.+)", re.IGNORECASE)  # the second path is matched by itself: fast
# What file systems take: bytes of a name without its extension, and of a path in a folder.
_LONGEST_NAME, _LONGEST_PATH = 250, 3000


class Entry(NamedTuple):
    """The content of one line of a list.

    Args:
      name: the name of the example; if the line has paths, the image's path without
        "JPEGImages/" and the file extension.
      image: path of the image within the data set's folder; "" if the line is a name.
      label: path of the label; "" if the line is a name.
    """

    name: str
    image: str = ""
    label: str = ""


def read_lines(path):
    """Read the lines of a text file that are not blank, without the white space around them.

    Raises:
      InputError: naming the file, if it is missing or not text.
    """
    try:
        text = read_file(path).decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8; save it as UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def parse_entry(line, data_dir=None):
    """Parse a line of a list into an `Entry`.

    Args:
      line: the text.
      data_dir: the data set's folder, for absolute paths; None: there are none.

    Raises:
      InputError: if it leads out of the data set's folder, or no file can have such a name.

    Example:
      >>> parse_entry("a.jpg")
      Entry(name='a', image='', label='')
      >>> parse_entry("/JPEGImages/a.jpg /masks/a.png")
      Entry(name='a', image='JPEGImages/a.jpg', label='masks/a.png')
    """
    pair = _PAIR.fullmatch(line)
    if pair and not _FILE.fullmatch(pair[2]):
        pair = None
    paths = pair.groups() if pair else [line]
    for path in paths:
        _check_can_exist(path)
    paths = [_relative(path, data_dir) for path in paths]
    if any(".." in PurePosixPath(path).parts for path in paths):
        raise InputError(f"{line!r} leads out of the data set's folder; give a path inside it")
    name = paths[0].removeprefix(f"{IMAGES_FOLDER}/")
    if name.lower().endswith(IMAGE_EXTENSIONS):
        name = name[: name.rindex(".")]
    return Entry(name, *paths) if pair else Entry(name)


def _check_can_exist(path):
    """Raise `InputError` for what the system would refuse to look up."""
    longest = max(len(name.encode()) for name in path.split("/"))
    if "\0" in path or longest > _LONGEST_NAME or len(path.encode()) > _LONGEST_PATH:
        raise InputError(f"{path[:80]!r}... is no name of a file; correct the line")


def _relative(path, data_dir):
    """A path of a list, relative to the data set's folder; see the top of this file."""
    if data_dir is not None and path.startswith("/"):
        file, folder = Path(path), Path(data_dir)
        # The folder or the path may contain links.
        for absolute, base in (
            (file, folder.absolute()),
            (file.parent.resolve() / file.name, folder.resolve()),
        ):
            if absolute.is_relative_to(base):
                return str(absolute.relative_to(base))
        if file.is_file() and not (folder / path.lstrip("/")).exists():
            raise InputError(
                f"{path!r} is outside of the data set's folder {data_dir}; move it there, and "
                "write its path relative to that folder"
            )
    return path.lstrip("/")


def read_entries(path, data_dir=None):
    """Read the entries of a list, in their order.

    Args:
      path: the file.
      data_dir: see `parse_entry`.

    Returns:
      A list of `Entry`.

    Raises:
      InputError: if the file is missing, not text, or empty, if a line leads out of the data
        set's folder, or if an example is listed twice.
    """
    lines = read_lines(Path(path))
    if not lines:
        raise InputError(f"{path}: lists no example; write one name per line")
    entries = {}
    for line in lines:
        try:
            entry = parse_entry(line, data_dir)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if entry.name in entries:
            raise InputError(f"{path}: lists {entry.name!r} twice; remove one")
        entries[entry.name] = entry
    return list(entries.values())
