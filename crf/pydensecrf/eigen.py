"""pydensecrf's conversions between NumPy and Eigen, which here are copies of NumPy arrays."""

import numpy as np

from crf.pydensecrf.arguments import as_array


def vectorXf(arr):
    """A copy of float32 (n,).

    Raises:
      TypeError: if `arr` is no array.
      ValueError: for another type or shape.
    """
    return np.array(as_array(arr, "arr", np.float32, ("n",)))


def matrixXf(arr):
    """A copy of float32 (rows, columns).

    Raises:
      TypeError: if `arr` is no array.
      ValueError: for another type or shape.
    """
    return np.array(as_array(arr, "arr", np.float32, ("rows", "columns")))
