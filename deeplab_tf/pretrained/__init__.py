"""The trained networks that come with the package: the files NAME.npz and their cards, NAME.md.

`SHA256SUMS` is the table of them, in the format of the program sha256sum. `deeplab-tf pack` writes
all three; `notes/` holds the words of the cards that no command can know, such as the terms of the
images that a network was trained on.
"""

import functools
import hashlib
from pathlib import Path

from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file

FOLDER = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"


def pretrained_names():
    """The names of the networks, in the order of the table.

    Returns:
      Tuple of str.
    """
    return tuple(file.removesuffix(".npz") for file in read_sums(FOLDER / SUMS))


def find_pretrained(name):
    """Find the file of a network, and check that it is intact.

    Args:
      name: one of `pretrained_names()`.

    Returns:
      Path of the `.npz` file.

    Raises:
      InputError: if there is no network of this name, or its file is missing or damaged.
    """
    names = pretrained_names()
    if name not in names:
        raise InputError(
            f"no network {name!r} comes with this package; available: {', '.join(names) or 'none'}"
        )
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        raise InputError(f"{path}: missing; install this package again")
    if sum_of(path) != read_sums(FOLDER / SUMS)[path.name]:
        raise InputError(
            f"{path}: damaged or cut off, its SHA-256 is not that of {SUMS}; install this package "
            "again"
        )
    return path


def record_sum(path):
    """Enter a file into the table beside it; without a table there, nothing happens.

    Args:
      path: Path of the file.

    Returns:
      Path of the table, or None.
    """
    table = path.parent / SUMS
    if not table.is_file():
        return None
    write_sums(table, {**read_sums(table), path.name: sum_of(path)})
    return table


def read_sums(table):
    """{file name: SHA-256 in hexadecimal} of a table; empty if there is none."""
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    pairs = (line.split(maxsplit=1) for line in lines)
    return {file: digest for digest, file in pairs}


def write_sums(table, sums):
    """Write what `read_sums` reads."""
    lines = [f"{digest}  {file}\n" for file, digest in sorted(sums.items())]
    write_file(table, "".join(lines).encode())


def sum_of(path):
    """The SHA-256 of a file in hexadecimal."""
    # A command asks for its network about ten times; the file is read again only if it changed.
    status = path.stat()
    return _compute_sum(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _compute_sum(path, *_version):
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
