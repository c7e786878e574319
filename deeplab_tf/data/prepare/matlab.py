"""Reading annotations from MATLAB files: versions 5 to 7, and 7.3, which is HDF5, with h5py.

A struct becomes an object with its fields as attributes, a 1x1 array becomes its only value.
"""

import zlib

import h5py
import numpy as np

from deeplab_tf.data.examples import read_file
from deeplab_tf.data.prepare.mat5 import read_mat5, version_of
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.untrusted import DAMAGED_HDF5


def load_variable(path, name):
    """One variable of a .mat file (version 5 to 7).

    Args:
      path: the file.
      name: name of the variable, such as "LabelMap".

    Returns:
      A number, a string, an array, or a struct.

    Raises:
      InputError: naming the file if it is missing or damaged, or has no such variable.

    Example:
      >>> load_variable("trainval/2008_000002.mat", "LabelMap").shape
      (375, 500)
    """
    contents = load_variables(path)
    if name not in contents:
        known = sorted(contents)
        raise InputError(f"{path}: has no variable {name!r}, only {known}; use the original file")
    return contents[name]


def load_variables(path):
    """All variables of a .mat file (version 5 to 7), as a dict; see `load_variable`.

    Raises:
      InputError: naming the file if it is missing or damaged.
    """
    contents = read_file(path)
    version = version_of(contents)
    if version == 2:
        raise InputError(
            f"{path}: a .mat file of version 7.3, which is not supported; save it as version 7"
        )
    try:
        if version != 1:
            raise ValueError("not a .mat file of version 5 to 7")
        return read_mat5(contents)
    except (ValueError, OverflowError, zlib.error) as error:
        raise InputError(
            f"{path}: cut off or damaged ({one_line(error)}); extract its archive again"
        ) from None


def open_hdf5(path, names):
    """Open a .mat file of version 7.3. The axes of its arrays are in reverse order.

    Args:
      path: the file.
      names: of the variables that it must have.

    Returns:
      `h5py.File`; variables are read when they are indexed.

    Raises:
      InputError: naming the file if it is missing or damaged, or lacks a variable.
    """
    try:
        file = h5py.File(path, "r")
        missing = [name for name in names if name not in file]
        others = [name for name in names if name in file and not getattr(file[name], "shape", ())]
    except DAMAGED_HDF5 as error:
        raise InputError(
            f"{path}: cut off, damaged, or not a .mat file of version 7.3 ({one_line(error, 100)});"
            " download it again"
        ) from None
    if missing:
        raise InputError(f"{path}: has no variable {missing[0]!r}; use the original file")
    if others:
        raise InputError(f"{path}: {others[0]} is not an array; use the original file")
    return file


def strings(file, name):
    """The strings of a cell array: references to arrays of character codes.

    Args:
      file: `h5py.File` that `open_hdf5` returned.
      name: of the variable.

    Returns:
      A list of str.

    Raises:
      InputError: naming the file if the variable is something else.
    """
    try:
        cells = file[name][()].ravel()
        return ["".join(map(chr, file[cell][()].ravel())) for cell in cells]
    except DAMAGED_HDF5 as error:
        raise InputError(
            f"{file.filename}: {name} is not a cell array of strings ({one_line(error, 100)}); use "
            "the original file"
        ) from None


def field(struct, name, path):
    """A field of a struct that `load_variable` returned.

    Args:
      struct: the struct.
      name: the field's name.
      path: the file it comes from, for the message.

    Raises:
      InputError: if it is not a struct or has no such field.
    """
    try:
        return getattr(struct, name)
    except AttributeError:
        raise InputError(f"{path}: a struct has no field {name!r}; use the original file") from None


def structs(value):
    """The structs of a struct array, as a list; an empty array [] of any type has none."""
    return list(np.atleast_1d(np.asarray(value, object)).ravel())


def matrix(value, path):
    """A matrix with at least one number, as (H, W) array of its own type.

    Raises:
      InputError: naming the file if the value is something else.
    """
    array = np.asarray(value)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise InputError(
            f"{path}: {array.dtype} {array.shape} instead of a matrix of numbers; use the original"
            " file"
        )
    return array
