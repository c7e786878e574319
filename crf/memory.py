"""Whether there is memory for an image, asked before the system stops the process."""

from pathlib import Path


def check_memory(size, what):
    """Refuse what this machine has no memory for, where that is known beforehand.

    Args:
      size: bytes that are going to be used.
      what: what they are for, to begin the message with.

    Raises:
      ValueError: naming both sizes and the remedy.
    """
    available = available_memory()
    if available is not None and size > available:
        raise ValueError(
            f"dense_crf: {what} take {size / 1e9:.1f} GB, but {available / 1e9:.1f} GB of memory "
            "are available; refine tiles of the image, or the image at a smaller size"
        )


def available_memory():
    """Bytes that can be had without swapping; None where the system does not say."""
    known = [size for size in (_machine_memory(), _container_memory()) if size is not None]
    return min(known, default=None)


def _machine_memory():
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None


def _container_memory():
    """What a container's limit leaves; the machine's figures know nothing of it."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        return limit - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None
