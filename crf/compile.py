"""How this package's kernels are compiled."""

from numba import njit


def kernel(function=None, **options):
    """Compile a function that runs without the GIL, and keep the machine code on disk.

    Where no folder can be written, as in a read-only installation without a home, it is compiled
    anew by each process; NUMBA_CACHE_DIR names another folder.

    Args:
      function: what to compile; None where options are given.
      options: for `numba.njit`.
    """
    if function is None:
        return lambda function: kernel(function, **options)
    try:
        return njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:
        return njit(nogil=True, **options)(function)
