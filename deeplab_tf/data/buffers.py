"""Large arrays whose memory is reused as soon as nothing refers to them.

Getting new memory from the operating system takes as long as filling it: a batch of ten crops of
321 pixels has 3,000 pages.
"""

import collections
import math

import numpy as np

# TensorFlow uses arrays that start at a multiple of this without copying them.
ALIGNMENT = 64  # bytes


class Buffers:
    """Makes arrays of one shape and type.

    Args:
      shape: shape of the arrays, ints.
      dtype: NumPy dtype of the arrays.

    Example:
      >>> buffers = Buffers((10, 321, 321, 3), np.float32)
      >>> batch = buffers.take()  # its memory is reused when its last view is deleted
    """

    def __init__(self, shape, dtype):
        self._shape, self._dtype = tuple(shape), np.dtype(dtype)
        self._free = collections.deque()  # its methods are safe to call from several threads

    def take(self):
        """An array with arbitrary values."""
        try:
            memory = self._free.pop()
        except IndexError:
            size = math.prod(self._shape) * self._dtype.itemsize
            memory = np.empty(size + ALIGNMENT, np.uint8)
        return np.asarray(_Lease(memory, self._free, self._shape, self._dtype))


class _Lease:
    """Owner of an array's memory; NumPy deletes it together with the array's last view."""

    def __init__(self, memory, free, shape, dtype):
        self._memory, self._free = memory, free
        start = memory.ctypes.data
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (start + -start % ALIGNMENT, False),  # address; False: writable
        }

    def __del__(self):
        self._free.append(self._memory)
