"""One training at a time in a folder."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from deeplab_tf.errors import InputError


class RunLock:
    """A lock that ends with the process that holds it, however that ends.

    Args:
      model_dir: the folder; its checkpoints/lock is locked, stays, and says who did so last.
    """

    def __init__(self, model_dir):
        self._model_dir, self._file = Path(model_dir), None
        self._path = self._model_dir / "checkpoints" / "lock"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._file:
            self._file.close()
            self._file = None

    def acquire(self, create=True):
        """Lock, until the end of `with`; again does nothing.

        Args:
          create: whether the file is created, with its folder, where it is absent; without it
            nothing is locked there.

        Raises:
          InputError: another process has locked it.
        """
        if self._file or not (create or self._path.exists()):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._path.read_text().strip()
            file.close()
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise InputError(
                    f"{self._model_dir} is in use by another training ({holder}): wait for it "
                    "or end it, or give another --model_dir"
                ) from None
            # Some network file systems have no locks.
            print(f"warning: {self._path} cannot be locked: {error.strerror}", flush=True)
            return
        self._file = file
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
