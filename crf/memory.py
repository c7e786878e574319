"""Check free memory first, to fail with a message instead of being killed."""

from pathlib import Path

GRAPH_FACTOR = 2
"""How much more memory TensorFlow takes for the lattice engine than `inference_bytes`, at most."""


def inference_bytes(height, width, labels):
    """Estimate of the memory that refining one image takes with the numba engine.

    Slightly above the peak memory that benchmarks/crf.py measures on a photograph. An image of pure
    noise takes about twice as much, because every pixel has lattice vertices of its own.

    Args:
      height, width: size of the image in pixels.
      labels: number of labels.

    Returns:
      Number of bytes.
    """
    return height * width * (400 + 13 * labels)


def check_memory(size, what):
    """Raise an error if more memory is needed than is available.

    Args:
      size: bytes that are going to be used.
      what: what uses them, a plural for the message, such as "the lattices".

    Raises:
      ValueError: naming both sizes and the remedy.
    """
    available = available_memory()
    if available is not None and size > available:
        raise ValueError(
            f"crf: {what} take {size / 1e9:.1f} GB, but {available / 1e9:.1f} GB of memory "
            "are available; compute tiles, or fewer points (a smaller image)"
        )


def available_memory():
    """Bytes that are available without swapping; None if the system does not report them."""
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
    """Bytes left under the container's (cgroup) limit, which /proc/meminfo does not show."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        return limit - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None
