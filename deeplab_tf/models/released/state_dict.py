"""Reads the arrays of PyTorch's files without PyTorch, and without running anything in them.

The format in short:

- since PyTorch 1.6 a zip file: NAME/data.pkl is the pickle, NAME/data/KEY the numbers of a storage;
- before, a sequence of pickles: a magic number, a version, facts about the machine, the objects,
  the list of storage keys; then for each key the count of its numbers and the numbers.
"""

import math
import struct
import zipfile
from pathlib import Path

import numpy as np

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.models.released.pickle_machine import DTYPES, REMEDY, Tensor, run_pickle
from deeplab_tf.untrusted import DAMAGED_ARCHIVE

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older format
_VERSION = 1001
_MOST_PICKLE = 64 << 20  # bytes; that of ResNet-101 has 0.1 million
_WHOLE = ("state_dict", "model_state", "model_state_dict", "model")  # where trainings put it


def read_state_dict(path):
    """The arrays of a PyTorch file by their names.

    Args:
      path: a file that `torch.save` wrote: a state dictionary, or a training's dictionary with one
        under "state_dict" or "model_state".

    Returns:
      {name: array}, floats as float32. "module." at the beginning of all names, from training on
      several GPUs, is left out.

    Raises:
      InputError: if the file asks for anything but tensors, is damaged, or no PyTorch file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the file that torch.save wrote")
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content, storages = (_read_zip if is_zip else _read_old)(path, file)
        tensors = _tensors(path, content)
        _check_total(tensors.values(), storages.values())
        arrays = {name: _view(tensor, storages) for name, tensor in tensors.items()}
    except InputError:
        raise
    except (OSError, TypeError, AttributeError, *DAMAGED_ARCHIVE) as error:
        raise _damaged(path, error) from error
    if arrays and all(name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    return arrays


def _damaged(path, error):
    return InputError(
        f"{path}: damaged, cut off, or not a file of PyTorch's torch.save "
        f"({one_line(error, 100)}); download it again"
    )


def _read_zip(path, file):
    """The objects of a zip file, and {key: array of its storage}."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{len(pickles)} parts data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        content, keys = run_pickle(path, _member(archive, pickles[0], _MOST_PICKLE))
        order = ">" if _byte_order(archive, root) == b"big" else "<"
        left, storages = path.stat().st_size, {}
        for storage in keys.values():  # overlapping parts may not add up to more than the file
            numbers = _member(archive, f"{root}data/{storage.key}", left)
            left -= len(numbers)
            storages[storage.key] = _numbers(numbers, storage, order)
    return content, storages


def _byte_order(archive, root):
    name = f"{root}byteorder"
    return _member(archive, name, 16) if name in archive.namelist() else b"little"


def _member(archive, name, most):
    """The bytes of a part, which PyTorch never compresses: a small file stays small."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or not info.file_size <= most:
        raise ValueError(f"its part {name} is compressed or too large")
    return archive.read(info)


def _read_old(path, file):
    """The same for the format before PyTorch 1.6."""
    first = [run_pickle(path, file)[0] for _ in range(2)]
    if first != [_MAGIC, _VERSION]:
        raise ValueError("no magic number")
    order = "<" if run_pickle(path, file)[0]["little_endian"] else ">"
    content, keys = run_pickle(path, file)
    storages = {}
    for key in run_pickle(path, file)[0]:
        if not isinstance(key, str):  # to look up tuples in tuples would exhaust the stack
            raise ValueError(f"a storage whose key has the type {type(key).__name__}")
        storage = keys[key]
        (count,) = struct.unpack(f"{order}q", file.read(8))
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} numbers instead of {storage.count}")
        size = count * np.dtype(DTYPES[storage.kind]).itemsize
        if not 0 <= size <= path.stat().st_size:
            raise ValueError(f"storage {key} is larger than the file")
        storages[key] = _numbers(file.read(size), storage, order)
    return content, storages


def _numbers(contents, storage, order):
    array = np.frombuffer(contents, order + DTYPES[storage.kind])
    if array.size != storage.count:
        raise ValueError(f"storage {storage.key} has {array.size} numbers, not {storage.count}")
    return array


def _check_total(tensors, storages):
    """ValueError if many tensors of the same numbers would fill the memory."""
    total = sum(math.prod(map(abs, tensor.sizes)) for tensor in tensors)
    if total > 2 * sum(numbers.size for numbers in storages):  # layers may share their weights
        raise ValueError("its tensors are larger than the file")


def _view(tensor, storages):
    """The numbers of a tensor, copied; ValueError if it reaches beyond its storage."""
    numbers = storages[tensor.storage.key]
    offset, sizes, strides = tensor.offset, tensor.sizes, tensor.strides
    if len(sizes) != len(strides) or min((offset, *sizes, *strides)) < 0:
        raise ValueError("a tensor with negative sizes")
    last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    # Without a repeated number a view has at most as many as its storage.
    if math.prod(sizes) > numbers.size or (math.prod(sizes) and last >= numbers.size):
        raise ValueError("a tensor that is larger than its storage")
    steps = [step * numbers.itemsize for step in strides]
    array = np.lib.stride_tricks.as_strided(numbers[offset:], sizes, steps, writeable=False)
    if tensor.storage.kind == "torch.BFloat16Storage":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="))


def _tensors(path, content):
    """{name: tensor} of the objects of a file."""
    if isinstance(content, dict):
        inner = [content[name] for name in _WHOLE if isinstance(content.get(name), dict)]
        for candidate in (*inner, content):
            found = {name: x for name, x in candidate.items() if isinstance(x, Tensor)}
            if found and all(isinstance(name, str) for name in found):
                return found
    raise InputError(f"{path}: holds no state dictionary; {REMEDY}")
