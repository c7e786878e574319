"""Checks of what the drop-in is given: the types and shapes of pydensecrf, with the remedy."""

import operator
from numbers import Real

import numpy as np


def as_array(values, name, dtype, shape):
    """The values as an array; TypeError or ValueError where pydensecrf raises one.

    pydensecrf takes only arrays of the right type, and so does this: float64 in place of float32
    is often a sign of another mistake. Any memory order is fine, and so are read-only arrays.

    Args:
      values: an array, or what has the buffer interface.
      name: what the values are, for the error.
      dtype: the type that they must have.
      shape: the sizes that they must have; a string in place of a number allows any size.

    Returns:
      NumPy array that may share memory with the values.

    Raises:
      TypeError: if the values are no array.
      ValueError: for another type or shape.
    """
    wanted = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    if not isinstance(values, np.ndarray):
        try:
            values = np.asarray(memoryview(values))
        except TypeError as error:
            kind = type(values).__name__
            raise TypeError(
                f"pydensecrf: {name} must be a NumPy array of {np.dtype(dtype).name} {wanted}, not "
                f"{kind}; give np.array({name}, np.{np.dtype(dtype).name})"
            ) from error
    if values.dtype != dtype:
        raise ValueError(
            f"pydensecrf: {name} must be {np.dtype(dtype).name}, not {values.dtype.name}; give "
            f"{name}.astype(np.{np.dtype(dtype).name}), if its values allow"
        )
    if len(values.shape) != len(shape) or any(
        not isinstance(need, str) and size != need
        for size, need in zip(values.shape, shape, strict=True)
    ):
        raise ValueError(f"pydensecrf: {name} must be {wanted}, not {values.shape}")
    return values


def as_count(value, name, least):
    """The value as an int; TypeError unless it is a whole number, ValueError below `least`."""
    try:
        count = operator.index(value)
    except TypeError as error:
        raise TypeError(f"pydensecrf: {name} must be a whole number, not {value!r}") from error
    if count < least:
        raise ValueError(f"pydensecrf: {name} must be at least {least}, not {count}")
    return count


def as_deviations(values, name, count):
    """Standard deviations as float32 (count,), from one number for all or one number for each.

    Raises:
      ValueError: unless they are `count` finite numbers above 0.
    """
    try:
        given = np.asarray(values)
    except ValueError:  # rows of different lengths
        given = np.empty(0)
    if given.shape not in ((), (count,)) or given.dtype.kind not in "iuf":
        raise ValueError(
            f"pydensecrf: {name} must be one number or {count} numbers, not {values!r}"
        )
    if not ((given > 0) & np.isfinite(given)).all():
        raise ValueError(f"pydensecrf: {name} must be finite and above 0, not {values!r}")
    return np.broadcast_to(given.astype(np.float32), count)


def as_compatibility(compat, nlabels):
    """What `crf.Kernel` needs for pydensecrf's compatibility.

    Args:
      compat: a number, float32 (nlabels,) or float32 (nlabels, nlabels).
      nlabels: number of labels.

    Returns:
      A float, a vector of rewards, which are the negative of pydensecrf's costs, or the matrix of
      costs, symmetrized as there.

    Raises:
      TypeError: if `compat` is neither a number nor an array.
      ValueError: for another type, shape or number of dimensions, NaN or infinity.
    """
    if isinstance(compat, Real):
        if not np.isfinite(compat):
            raise ValueError(f"pydensecrf: compat must be finite, not {compat!r}")
        return float(compat)
    try:
        dimensions = np.ndim(compat)
    except ValueError:  # rows of different lengths
        dimensions = 2
    if dimensions not in (1, 2):
        raise ValueError(
            "pydensecrf: compat must be a number, (nlabels,) or (nlabels, nlabels), but has "
            f"{dimensions} dimensions"
        )
    costs = as_array(compat, "compat", np.float32, (nlabels,) * dimensions)
    if not np.isfinite(costs).all():
        raise ValueError("pydensecrf: compat holds NaN or infinite values; check what computed it")
    return -costs if dimensions == 1 else (costs + costs.T) / 2
