"""Arrays in .npy and .npz files of strangers: NumPy itself believes the sizes that they claim."""

import io
import math
import tokenize
import zipfile

import numpy as np

from deeplab_tf.untrusted import DAMAGED_ARCHIVE, check_expansion

# What zipfile and NumPy raise for damaged .npz files.
DAMAGED_NPZ = (OSError, TypeError, *DAMAGED_ARCHIVE)


def read_array_header(contents):
    """Read the first bytes of a .npy file.

    Args:
      contents: bytes of the file.

    Returns:
      (shape, whether it is stored by columns, dtype, where the numbers start).

    Raises:
      ValueError: if it is damaged, or no .npy file.
    """
    layout, file = np.lib.format, io.BytesIO(contents)
    is_first_version = layout.read_magic(file) == (1, 0)
    read = layout.read_array_header_1_0 if is_first_version else layout.read_array_header_2_0
    try:
        shape, is_fortran, dtype = read(file)
    except (tokenize.TokenError, SyntaxError, RecursionError) as error:  # the header is Python
        raise ValueError(f"a damaged header ({type(error).__name__})") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of the shape {shape}")
    return shape, is_fortran, dtype, file.tell()


def read_array(contents, header=None):
    """The array of a .npy file; the memory that it takes is that of `contents` at most.

    Args:
      contents: bytes of the file.
      header: what `read_array_header` returned for them; None: it is read here.

    Returns:
      A read-only array, which shares the memory of `contents`.

    Raises:
      ValueError: if the file is damaged or cut off, or holds Python objects.
    """
    shape, is_fortran, dtype, start = header or read_array_header(contents)
    if dtype.hasobject:  # stored as a pickle
        raise ValueError(f"an array of {dtype}")
    values = np.frombuffer(contents, dtype, math.prod(shape), start)
    return values.reshape(shape, order="F" if is_fortran else "C")


def read_npz(path, names=None):
    """The arrays of a .npz file.

    Args:
      path: the file.
      names: of the arrays; None: all members that end in .npy.

    Returns:
      {name without .npy: read-only array}.

    Raises:
      InputError: if the file is small and claims to hold gigabytes.
      One of `DAMAGED_NPZ`: if it is damaged, or an array is missing.
    """
    with zipfile.ZipFile(path) as archive:
        check_expansion(archive, path)
        found = [name for name in archive.namelist() if name.endswith(".npy")]
        members = found if names is None else [f"{name}.npy" for name in names]
        return {name.removesuffix(".npy"): read_array(archive.read(name)) for name in members}
