"""Reading annotations that their authors keep in MATLAB files.

Through scipy; a struct is an object with its fields as attributes, a 1x1 array the value in it.
"""

import io

import numpy as np
import scipy.io

from deeplab_tf.data.examples import read_file
from deeplab_tf.errors import InputError


def load_variable(path, name):
    """One variable of a .mat file (version 5 to 7).

    Args:
      path: the file.
      name: name of the variable, such as "LabelMap".

    Returns:
      A number, a string, an array, or a struct.

    Raises:
      InputError: naming the file, where it is missing or damaged, or has no such variable.

    Example:
      >>> load_variable("trainval/2008_000002.mat", "LabelMap").shape
      (375, 500)
    """
    contents = _load(path)
    if name not in contents:
        known = sorted(key for key in contents if not key.startswith("__"))
        raise InputError(f"{path}: has no variable {name!r}, only {known}; take the original file")
    return contents[name]


def field(struct, name, path):
    """A field of a struct that `load_variable` gave.

    Args:
      struct: the struct.
      name: the field's name.
      path: the file it comes from, for the message.

    Raises:
      InputError: where it is no struct or has no such field.
    """
    try:
        return getattr(struct, name)
    except AttributeError:
        raise InputError(
            f"{path}: a struct has no field {name!r}; take the original file"
        ) from None


def structs(value):
    """The structs of a struct array, as a list; an empty array [] of any type holds none."""
    return list(np.atleast_1d(np.asarray(value, object)).ravel())


def mask(value, path):
    """A mask as (H, W) bool array: where the value is not zero.

    Raises:
      InputError: naming the file, where the value is no matrix of numbers.
    """
    return matrix(value, path) != 0


def matrix(value, path):
    """A matrix of numbers, at least one, as (H, W) array of its own type.

    Raises:
      InputError: naming the file, where the value is something else.
    """
    array = np.asarray(value)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise InputError(
            f"{path}: {array.dtype} {array.shape} where a matrix of numbers belongs; take the"
            " original file"
        )
    return array


def _load(path):
    contents = io.BytesIO(read_file(path))
    try:
        return scipy.io.loadmat(contents, squeeze_me=True, struct_as_record=False)
    except NotImplementedError:
        raise InputError(f"{path}: a .mat file of version 7.3; save it as version 7") from None
    except Exception as error:  # a damaged file ends in almost any of scipy's and zlib's errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{path}: cut off or damaged ({reason}); extract its archive anew"
        ) from None
