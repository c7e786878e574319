"""Writing files and folders atomically, and locking folders against other processes."""

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
from pathlib import Path

from deeplab_tf.errors import InputError
from deeplab_tf.partial_files import ENDING, LOCKED, sweep, workplace

_OF_WRITING = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS  # reading has none of them


@contextlib.contextmanager
def whole_file(path):
    """Write a file under a temporary name; it gets its own name when the `with` block ends.

    Readers see either the old file or the complete new one, even if this process is killed or
    another one writes the same file. After an error the old file stays.

    Args:
      path: the file; its folder is created if it is missing.

    Yields:
      Path to write to, which does not exist yet, with the name of `path`.

    Raises:
      OSError: naming `path`, if it cannot be written.

    Example:
      >>> with whole_file("runs/last.keras") as partial:
      ...     model.save(partial)
    """
    with whole_files([path]) as (partial,):
        yield partial


@contextlib.contextmanager
def whole_files(paths):
    """Write files of one folder that belong together, as `whole_file` writes one.

    If they replace old ones, the last one is missing for a moment, so that a process that is killed
    leaves no file of this kind beside others of the old kind.

    Args:
      paths: the files, the one that readers open last.

    Yields:
      List of paths to write to, in one folder.
    """
    *others, last = map(Path, paths)
    with _named(last), workplace(last) as folder:
        partials = [folder / path.name for path in (*others, last)]
        yield partials
        if others:
            last.unlink(missing_ok=True)
        for partial, path in zip(partials, (*others, last), strict=True):
            partial.replace(path)


def write_file(path, contents):
    """Write bytes to a file as `whole_file` does, in less time.

    Args:
      path: the file; its folder is created if it is missing.
      contents: bytes.
    """
    path = Path(path)
    with _named(path), workplace(path, is_file=True) as partial:
        partial.write_bytes(contents)
        partial.replace(path)


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
      OSError: naming `path`, if it cannot be written, or if it was taken away, or filled by another
        process, in the meantime.
    """
    path = Path(path)
    check_new_folder(path, overwrite)
    with _named(path), workplace(path) as folder:
        filled = folder / "new"
        filled.mkdir()
        with _same_folder(filled, path):
            yield filled
        if overwrite and path.exists():
            _exchange(filled, path)
        else:
            try:
                filled.replace(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                what = "Another process has just filled it"
                raise OSError(errno.ENOTEMPTY, what, str(path)) from None


@contextlib.contextmanager
def _named(path):
    """Turn errors of the system into an OSError that names the result, not a temporary file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        code, name = getattr(error, "errno", None), getattr(error, "filename", None)
        if not code:  # libraries in C and C++ have errors of their own
            code = next((code for code in _OF_WRITING if os.strerror(code) in str(error)), None)
        if not code or (name is not None and ENDING not in os.fsdecode(name)):
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


@contextlib.contextmanager
def _same_folder(folder, path):
    """Raise OSError if a folder is another one at the end, or gone.

    Files that are written by their paths make missing folders again: without the files before.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        same = folder.is_dir() and os.path.samestat(folder.stat(), os.fstat(descriptor))
    finally:
        os.close(descriptor)
    if not same:
        what = "Moved, deleted or unmounted while it was written"
        raise FileNotFoundError(errno.ENOENT, what, str(path))


def _exchange(new, old):
    """Let two folders change their names, so that at each moment one of them is there."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <stdio.h>
    if renameat2 and renameat2(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
        return
    # Not every file system can do it, such as NFS: then there is a moment without either.
    old.replace(new.with_name("old"))
    new.replace(old)


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
    is missing; if it stays empty it is removed again, with the parents created for it. Files and
    folders named *.partial, which a killed process left in it, are deleted.

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
        sweep(path.glob(f"*{ENDING}"))
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
        if error.errno not in LOCKED:
            # Some network file systems have no locks.
            print(f"warning: {path} cannot be locked: {error.strerror}", flush=True)
            return
        file.seek(0)
        holder = file.read().strip() or "a process that has just started"
        file.close()
        raise InputError(f"{path.parent} is in use by {user} ({holder}): {remedy}") from None
