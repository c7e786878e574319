"""What a prepared data set was made from, so that a later run can tell whether that has changed."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.errors import InputError

_REMEDY = "give --overwrite to prepare it again, or another --data_dir"


class Origin(NamedTuple):
    """What a data set was made from; kept in its metadata.json under these names.

    Args:
      options: {name: value} of the builder's options; paths are absolute.
      trust_archives: whether archives that are not the originals were allowed.
      archives: {key: the archive's name with its checksum}; "" if the archive is gone.
      files: `fingerprint` of the user's own files.
    """

    options: dict[str, object]
    trust_archives: bool
    archives: dict[str, str]
    files: str


def fingerprint(paths):
    """A checksum of the paths, sizes and modification times of files; reads no contents.

    Args:
      paths: absolute paths; a file may be missing.

    Returns:
      Hexadecimal digits.
    """
    state = hashlib.sha256()
    for path in map(Path, paths):
        stat = path.stat() if path.exists() else None
        about = (stat.st_size, stat.st_mtime_ns) if stat else "absent"
        state.update(f"{path} {about}\n".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def check_same(folder, metadata, now):
    """Check that a prepared data set was made from the archives, options and files given now.

    Args:
      folder: the data set's folder, for the message.
      metadata: dict, the contents of its metadata.json.
      now: `Origin` of the current run.

    Raises:
      InputError: naming the first difference.
    """
    before = Origin(*(metadata.get(name) for name in Origin._fields))
    if isinstance(before.options, dict) and isinstance(before.archives, dict):
        difference = _difference(before, now)
    else:
        difference = "does not say what it was made from"
    if difference:
        raise InputError(f"{folder}: {difference}; {_REMEDY}")


def _difference(before, now):
    # A text; "" if there is no difference.
    for name, value in now.options.items():
        if before.options.get(name) != value:
            return f"was prepared with {name}={before.options.get(name)}, not {value}"
    if before.trust_archives and not now.trust_archives:
        return "was prepared with --trust_archives, which is not given now"
    for key, archive in now.archives.items():
        if archive and before.archives.get(key) != archive:
            return f"was prepared from {before.archives.get(key)}, not {archive}"
    if before.files != now.files:
        return "images, labels, lists or classes have changed since it was prepared"
    return ""
