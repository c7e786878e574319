"""How the project's numba kernels are compiled, and what they are given."""

import numpy as np
from numba import njit


def kernel(function=None, **options):
    """Compile a function to machine code that runs without the GIL and is cached on disk.

    If no folder can be written, as in a read-only installation without a home, every process
    compiles it again; NUMBA_CACHE_DIR names another folder.

    Args:
      function: the function to compile; None when the decorator is called with options.
      options: for `numba.njit`.

    Returns:
      The compiled function; without a function, a decorator.

    Example:
      >>> @kernel(error_model="numpy")
      ... def invert(low, high, values):
      ...     for i in range(low, high):
      ...         values[i] = 1 / values[i]
    """
    if function is None:
        return lambda function: kernel(function, **options)
    try:
        return njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        return njit(nogil=True, **options)(function)


def read_only(array):
    """The array as a flat, contiguous, read-only one, copied only if it is not contiguous.

    Numba compiles separate code for writable and for read-only arrays; inputs are always passed
    read-only, so that each kernel is compiled once.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    flat.flags.writeable = False
    return flat
