"""Writing files and folders atomically, and locking folders against other processes."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import tempfile
from pathlib import Path

from deeplab_tf.errors import InputError

_HARMLESS, _MOST_TIMES = 1 << 30, 200  # bytes; times the size of the archive


@contextlib.contextmanager
def whole_file(path):
    """Write a file under a temporary name; it gets its own name when the `with` block ends.

    Readers see either the old file or the complete new one, even if this process is killed. After
    an error the old file stays.

    Args:
      path: the file; its folder is created if it is missing.

    Yields:
      Path to write to, which does not exist yet, with the file extension of `path`.

    Example:
      >>> with whole_file("runs/last.keras") as partial:
      ...     model.save(partial)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_file(path, contents):
    """Write bytes to a file as `whole_file` does.

    Args:
      path: the file; its folder is created if it is missing.
      contents: bytes.
    """
    with whole_file(path) as partial:
        partial.write_bytes(contents)


def is_bomb(unpacked, packed):
    """Whether an archive of `packed` bytes has so much in it that it was made to fill a disk.

    Real data shrinks less; what is smaller than a gigabyte does no harm.

    Args:
      unpacked: bytes of what is in it.
      packed: bytes of the file.
    """
    return unpacked > _HARMLESS and unpacked > _MOST_TIMES * packed


def check_expansion(archive, path):
    """Raise `InputError` if the members of an open `zipfile.ZipFile` claim too much; see `is_bomb`.

    Args:
      archive: the open file.
      path: its path.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    if is_bomb(unpacked, Path(path).stat().st_size):
        raise InputError(
            f"{path}: a small file that claims to hold {unpacked:,} bytes; do not use it"
        )


def parse_json(text):
    """What a JSON document holds.

    Args:
      text: str or bytes.

    Raises:
      ValueError: if it is no JSON, or has so many levels that no program of ours wrote it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists within lists, too deep to be read") from None


@contextlib.contextmanager
def new_folder(path, overwrite=False):
    """A folder to fill, which gets its name when the `with` block ends without an error.

    Args:
      path: the folder to make.
      overwrite: whether an existing folder that is not empty is replaced.

    Yields:
      Path of the empty folder to fill, on the same file system as `path`.

    Raises:
      InputError: if `path` is a file, or a folder that is not empty and may not be replaced.
      OSError: if another process filled `path` in the meantime.
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
        filled.replace(path)  # fails if another process has filled `path` meanwhile


def check_new_folder(path, overwrite=False):
    """Raise the errors of `new_folder` early, before any work is done.

    Raises:
      InputError: as `new_folder`.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give the name of a folder")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise InputError(f"{path}: exists and is not empty; delete it or use --overwrite")


def check_new_file(path, overwrite=False):
    """Raise `InputError` if a file exists that may not be replaced."""
    if Path(path).exists() and not overwrite:
        raise InputError(f"{path}: exists; give another --out, or use --overwrite")


@contextlib.contextmanager
def lock_folder(path, user="another run", remedy="wait until it ends"):
    """Keep other processes out of a folder while `with` lasts.

    The operating system releases the lock if the process is killed. The folder is created if it
    is missing; if it stays empty it is removed again, with the parents created for it. Folders
    named *.partial, which a killed process left in it, are deleted.

    Args:
      path: the folder. A file named "lock" in it names the process that holds it.
      user: who else may hold the lock, for the message.
      remedy: what to do in that case, for the message.

    Yields:
      Path of the folder.

    Raises:
      InputError: if another process holds the lock.
    """
    path = Path(path)
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _locked(path / "lock", user, remedy) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        for leftover in path.glob("*.partial"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        try:
            yield path
        finally:
            (path / "lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                for folder in created:
                    folder.rmdir()


def _locked(path, user, remedy):
    """Open a lock file and lock it; closing it releases the lock."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # its folder was just removed
            file = path.open("a+")
            _lock(file, path, user, remedy)
            # The previous holder deletes the file when it is done, so the file that was locked
            # here may no longer be the one at `path`.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
            file.close()


def _lock(file, path, user, remedy):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            # Some network file systems have no locks.
            print(f"warning: {path} cannot be locked: {error.strerror}", flush=True)
            return
        file.seek(0)
        holder = file.read().strip() or "a process that has just started"
        file.close()
        raise InputError(f"{path.parent} is in use by {user} ({holder}): {remedy}") from None
