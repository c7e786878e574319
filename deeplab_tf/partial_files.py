"""Temporary files and folders beside results; their locks tell what killed processes have left."""

import contextlib
import errno
import fcntl
import secrets
import shutil
import tempfile
from pathlib import Path

ENDING = ".partial"  # of their names
LOCKED = errno.EAGAIN, errno.EACCES  # another process holds the lock
_LOCK = ".lock"  # the file in a temporary folder that is locked; a temporary file is locked itself
_swept = set()  # folders in which this process has deleted what killed ones left


@contextlib.contextmanager
def workplace(path, is_file=False):
    """A temporary folder or file beside `path`, which nobody else uses, deleted at the end.

    What killed processes left there is deleted, too: the operating system has released their locks.

    Args:
      path: Path of the result; its folder is created if it is missing.
      is_file: whether to make a file, which takes a fraction of the time of a folder.

    Yields:
      Path, of an empty file or of a folder that holds nothing but the file that is locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.absolute() not in _swept:
        _swept.add(path.parent.absolute())
        remove_leftovers(path.parent)
    start, lock = f".{path.name[:40]}.", None
    while lock is None:
        if is_file:  # mkstemp would make one that nobody else may read
            partial = path.with_name(f"{start}{secrets.token_hex(4)}{ENDING}")
            partial.touch(exist_ok=False)
        else:
            partial = Path(tempfile.mkdtemp(ENDING, start, path.parent))
        lock = _lock_in(partial, fcntl.LOCK_EX)
    try:
        yield partial
    finally:
        lock.close()
        _delete(partial)


def remove_leftovers(folder):
    """Delete the temporary files and folders that killed processes have left in a folder.

    Those of processes that still work are kept. Whoever writes into a folder for the first time
    does this anyway.
    """
    folder = Path(folder)
    files = folder.glob(f".*.{8 * '[0-9a-f]'}{ENDING}")
    sweep(path for path in files if path.is_file())
    sweep(path.parent for path in folder.glob(f".*{ENDING}/{_LOCK}"))


def _lock_in(partial, how):
    """Lock a temporary file or folder; None if it is locked already, or gone. Closing releases."""
    try:
        file = (partial / _LOCK).open("a") if partial.is_dir() else partial.open("r+")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, how)
    except OSError as error:
        # A file system without locks: those who make something go on, and nobody deletes it.
        if error.errno in LOCKED or how & fcntl.LOCK_NB:
            file.close()
            return None
    # Another process may have taken it for a leftover before it was locked.
    return file if partial.exists() else file.close()


def sweep(partials):
    """Delete temporary files and folders, unless a process still works in them."""
    for partial in partials:
        with contextlib.suppress(OSError):
            if lock := _lock_in(partial, fcntl.LOCK_EX | fcntl.LOCK_NB):
                with lock:
                    _delete(partial)


def _delete(partial):
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
