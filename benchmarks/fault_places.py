"""Folders that fill up, cannot be written, or go away; clocks that jump; limited memory."""

import ctypes
import os
import time
from pathlib import Path

_READ_ONLY, _REMOUNT, _BIND = 0x1, 0x20, 0x1000  # of <sys/mount.h>
_DETACH = 2  # MNT_DETACH: gone at once, even if files are open


def _mount(source, target, kind=None, flags=0, options=None):
    libc = ctypes.CDLL(None, use_errno=True)
    words = (os.fsencode(word) if word else None for word in (source, target, kind))
    if libc.mount(*words, flags, options.encode() if options else None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def mount_small(folder, size):
    """Mount an empty file system of a number of bytes on a folder."""
    _mount("faults", folder, "tmpfs", 0, f"size={size}")


def enlarge(folder):
    """Give a small file system room."""
    _mount("faults", folder, "tmpfs", _REMOUNT, "size=256m")


def mount_other(source, folder):
    """Mount one folder on another, as a network folder is mounted."""
    _mount(source, folder, None, _BIND)


def set_read_only(folder, value):
    """Make a mounted folder read-only, or writable again."""
    _mount(None, folder, None, _REMOUNT | _BIND | (_READ_ONLY if value else 0))


def unmount(folder):
    """Take a mounted folder away, even while it is used."""
    ctypes.CDLL(None).umount2(os.fsencode(folder), _DETACH)


def jumping_clock(rng):
    """A function that makes this process's clock jump at random, for hours or for decades."""

    def jump():
        real, shift, count = time.time, [rng.choice((-1, 1)) * 86400.0 * 3], [0]

        def now():
            count[0] += 1
            if count[0] % 7 == 0:
                shift[0] = rng.choice((-3600.0, 0.0, 3600.0, 86400.0 * 3650, -86400.0 * 7300))
            return real() + shift[0]

        time.time, time.time_ns = now, lambda: int(now() * 1e9)

    return jump


def shift_clock(seconds):
    """A function that sets this process's clock wrong by a number of seconds."""

    def shift():
        real = time.time
        time.time, time.time_ns = lambda: real() + seconds, lambda: int((real() + seconds) * 1e9)

    return shift


def shift_file_times(folder, rng):
    """Set the times of all files in a folder to the far past or future."""
    for path in folder.rglob("*"):
        moment = time.time() + rng.choice((-1, 1)) * rng.uniform(3600, 86400 * 3650)
        os.utime(path, (moment, moment))


class MemoryGroup:
    """A control group below this process's own one, with a limit, while `with` lasts.

    Args:
      most: bytes of memory.

    Raises:
      OSError: if no group can be made.
    """

    def __init__(self, most):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = {line.split(":")[1]: line.split(":")[2].lstrip("/") for line in lines}
        root, limit = Path("/sys/fs/cgroup"), "memory.max"
        if "memory" in own:  # version 1
            root, limit = root / "memory", "memory.limit_in_bytes"
        self._folder = root / own.get("memory", own.get("", "")) / f"faults-{os.getpid()}"
        self._limit, self._most = limit, most

    def __enter__(self):
        self._folder.mkdir()
        try:
            (self._folder / self._limit).write_text(str(self._most))
        except OSError:
            self._folder.rmdir()
            raise
        return self

    def __exit__(self, *error):
        for _ in range(100):  # the processes in it have just ended
            try:
                self._folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    def join(self):
        """Move this process into the group."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))
