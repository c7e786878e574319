"""How the C library's allocator treats memory that is freed, for programs that run for long."""

import contextlib
import ctypes

# Of mallopt in <malloc.h>.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3

KEPT = 32 << 20  # bytes; the most that MMAP_THRESHOLD may be


def keep_freed_memory():
    """Let every thread keep some memory that it has freed, for what it allocates next.

    Otherwise glibc gives blocks as large as an image back to the system at once, and fetches and
    clears others: a quarter of the time of making training batches. It concerns the whole
    process, so it is for programs to call, not for libraries; where the C library is another one,
    nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, KEPT)
        mallopt(TRIM_THRESHOLD, 4 * KEPT)
        mallopt(TOP_PAD, KEPT)
