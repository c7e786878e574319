"""Text files that list the examples of a data set, one a line.

A line is the name of an example, `2007_000032`, with or without the ending of its image, or the
paths of its image and of its label, as many lists of VOC with SBD's labels have them:

    /JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png

Paths are those within the data set's folder, whether they begin with a slash or not.
"""

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deeplab_tf.data.examples import read_file
from deeplab_tf.errors import InputError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
IMAGES_FOLDER = "JPEGImages"

# Names may hold spaces, so what separates two paths is the ending of the first.
_PATH = r"(.+?\.(?:jpg|jpeg|png))"
_PAIR = re.compile(rf"{_PATH}\s+{_PATH}", re.IGNORECASE)


class Entry(NamedTuple):
    """What one line of a list says.

    Args:
      name: the name of the example; of a path, what is left without the folder JPEGImages and
        the ending.
      image: path of its image within the data set's folder; "" where the line is a name.
      label: path of its label; "" where the line is a name.
    """

    name: str
    image: str = ""
    label: str = ""


def read_lines(path):
    """The lines of a text file that are not blank, without the white space around them.

    Raises:
      InputError: naming the file, where it is missing or no text.
    """
    try:
        text = read_file(path).decode("utf-8-sig")  # some editors put a mark before the text
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8; write it anew") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def parse_entry(line):
    """The `Entry` of a line of a list.

    Raises:
      InputError: where it leads out of the data set's folder.

    Example:
      >>> parse_entry("a.jpg")
      Entry(name='a', image='', label='')
      >>> parse_entry("/JPEGImages/a.jpg /masks/a.png")
      Entry(name='a', image='JPEGImages/a.jpg', label='masks/a.png')
    """
    pair = _PAIR.fullmatch(line)
    paths = [path.lstrip("/") for path in (pair.groups() if pair else [line])]
    if any(".." in PurePosixPath(path).parts for path in paths):
        raise InputError(f"{line!r} leads out of the data set's folder; give a path within it")
    name = paths[0].removeprefix(f"{IMAGES_FOLDER}/")
    if name.lower().endswith(IMAGE_ENDINGS):
        name = name[: name.rindex(".")]
    return Entry(name, *paths) if pair else Entry(name)


def read_entries(path):
    """What the lines of a list say, in their order.

    Args:
      path: the file.

    Returns:
      A list of `Entry`.

    Raises:
      InputError: where the file is missing, no text, or empty, where a line leads out of the
        data set's folder, or where an example is listed twice.
    """
    lines = read_lines(Path(path))
    if not lines:
        raise InputError(f"{path}: lists no example; write one name a line")
    entries = {}
    for line in lines:
        try:
            entry = parse_entry(line)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if entry.name in entries:
            raise InputError(f"{path}: lists {entry.name!r} twice; remove one")
        entries[entry.name] = entry
    return list(entries.values())
