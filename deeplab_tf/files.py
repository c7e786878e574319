"""Writing files and folders that appear under their name only when they are complete."""

import contextlib
import tempfile
from pathlib import Path

from deeplab_tf.errors import InputError


def write_file(path, contents):
    """Write bytes to a file, creating its folder; a file that exists is replaced at once.

    Args:
      path: where to.
      contents: bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(contents)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path, overwrite=False):
    """A folder to fill inside `with`, which gets its name when that ends without an error.

    Args:
      path: where the folder shall be.
      overwrite: whether a folder that lies there and holds something is replaced.

    Yields:
      Path of the empty folder to fill, beside `path`.

    Raises:
      InputError: where `path` is a file, or a folder that holds something and may not be
        replaced.
      OSError: where that came to be while the folder was being filled.
    """
    path = Path(path)
    check_new_folder(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f"{path.name}.", suffix=".partial"
    ) as temporary:
        filled = Path(temporary) / "new"
        filled.mkdir()
        yield filled
        if overwrite and path.exists():
            path.replace(Path(temporary) / "old")
        filled.replace(path)  # fails where somebody has filled `path` meanwhile


def check_new_folder(path, overwrite=False):
    """Raise at once what `new_folder` would, before any work is done.

    Raises:
      InputError: as `new_folder`.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give the name of a folder")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise InputError(f"{path}: exists and is not empty; delete it or allow to overwrite it")
