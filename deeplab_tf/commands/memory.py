"""How the process of a training uses its memory."""

import contextlib
import ctypes


def keep_freed_memory():
    """Let every thread keep some memory that it has freed, for its next allocations.

    glibc returns blocks as large as an image to the system at once and then requests and clears
    new ones: a quarter of the time of making training batches. The setting holds for the whole
    process, so a program may choose it, but not a library. With other C libraries nothing
    happens.
    """
    # mallopt's parameters, from <malloc.h>.
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    kept = 32 << 20  # bytes; the largest value that mmap_threshold may have
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, kept)
        mallopt(trim_threshold, 4 * kept)
        mallopt(top_pad, kept)
