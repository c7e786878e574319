"""Folders that one run at a time works in, and that hold no remains of a run that was killed."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from deeplab_tf.errors import InputError


@contextlib.contextmanager
def claimed_folder(path):
    """A folder that no other process works in while `with` lasts.

    It is made where it is absent, and removed again, with the parents made for it, where it
    stays empty. What a killed run left in it under a name ending with .partial is deleted.

    Args:
      path: the folder.

    Yields:
      its Path.

    Raises:
      InputError: where another process has claimed it.
    """
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        _lock(handle, path)  # the system frees it even where the process is killed
        for remains in path.glob("*.partial"):
            shutil.rmtree(remains)
        yield path
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):  # not empty
            for folder in missing:
                folder.rmdir()


def _lock(handle, path):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path}: another run is working here; wait until it ends") from None
