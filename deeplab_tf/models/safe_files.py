"""What files of networks may not hold: links to other files, and Python code.

Newer versions of Keras refuse both, too; older ones that this package also runs with do not, and
their messages name no file.
"""

import io
import math
import zipfile

import h5py

from deeplab_tf.errors import InputError
from deeplab_tf.untrusted import (
    DAMAGED_ARCHIVE,
    DAMAGED_HDF5,
    check_expansion,
    parse_json,
)

_WITH_KERNEL = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "Dense")
# Classes in the configuration of a network. Keras 3.11.0 to 3.11.2 run the pickle of a
# TorchModuleWrapper even in safe mode (CVE-2025-49655), and open the files of those that name one.
_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_OTHER_FILES = ("TFSMLayer", "StringLookup", "IntegerLookup", "TextVectorization")
_MOST_NUMBERS = 1 << 30  # in one file; VGG-16 with its classifier has 0.14 billion
_FEW_NUMBERS = 1 << 22  # harmless whatever the size of the file
# What reading a damaged .h5 or .keras file raises.
DAMAGED = (*DAMAGED_HDF5, *DAMAGED_ARCHIVE)


def check_safe(path):
    """Refuse a file of Keras that leads to other files or holds code, before Keras reads it.

    Args:
      path: Path of a `.keras`, `.h5` or `.hdf5` file.

    Raises:
      InputError: if it does.
      One of `DAMAGED`: if it is damaged.
    """
    if path.suffix != ".keras":
        with h5py.File(path) as file:
            numbers = _count_numbers(read_datasets(file, path))
            _check_config(path, file.attrs.get("model_config"), numbers)
        return
    with zipfile.ZipFile(path) as archive:
        check_expansion(archive, path)
        numbers = 0
        for name in archive.namelist():
            if name.endswith(".h5"):
                # From memory: looking about in a zip file means to read it again and again.
                with h5py.File(io.BytesIO(archive.read(name))) as file:
                    numbers += _count_numbers(read_datasets(file, path))
        if "config.json" in archive.namelist():
            _check_config(path, archive.read("config.json"), numbers)


def read_datasets(file, path):
    """The arrays of an HDF5 file, none of which is read yet.

    Args:
      file: open h5py.File.
      path: its name, for messages.

    Returns:
      {name with its groups: h5py.Dataset}.

    Raises:
      InputError: if anything in it is a link, or lies in another file, or is too large.
      One of `DAMAGED_HDF5`: if it is damaged.
    """
    found, groups, waiting = {}, set(), [("", file)]
    while waiting:
        prefix, group = waiting.pop()
        if h5py.h5o.get_info(group.id).addr in groups:  # a group that contains itself
            continue
        groups.add(h5py.h5o.get_info(group.id).addr)
        for key in group:
            name = f"{prefix}{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise InputError(f"{path}: {name!r} is a link; no other file is read")
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise InputError(f"{path}: {name!r} lies in another file, which is not read")
                found[name] = item
    total = _count_numbers(found)
    if total > _MOST_NUMBERS:
        raise InputError(f"{path}: its arrays have {total:,} numbers, which is no network")
    # Numbers that were never written take no place in a file, and gigabytes in memory.
    if total > _FEW_NUMBERS and total > file.id.get_filesize():
        raise InputError(f"{path}: its arrays have {total:,} numbers, more than the file has bytes")
    return found


def _count_numbers(datasets):
    return sum(math.prod(dataset.shape or ()) for dataset in datasets.values())


def _check_config(path, text, numbers):
    """Refuse the configuration of a network with layers of Python code, or larger than its weights.

    Args:
      path: the file, for messages.
      text: the configuration, as JSON; None: there is none.
      numbers: how many numbers the arrays of the file have.
    """
    if text is None:
        return
    waiting = [parse_json(text)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            # Keras also finds "layers.Lambda" in the module "keras".
            kind = str(item.get("class_name")).rpartition(".")[2]
            if kind in _CODE + _OTHER_FILES:
                name = "Lambda" if kind == "__lambda__" else kind
                does = "runs Python code of the file" if kind in _CODE else "reads other files"
                raise InputError(
                    f"cannot load the model {path}: it has a {name} layer, which {does}; if you "
                    f"trust it, load it with keras.saving.load_model({str(path)!r}, "
                    "safe_mode=False)"
                )
            if kind in _WITH_KERNEL and (least := _least_kernel(item)) > numbers:
                # Keras would fill it with random numbers before it looks for the stored ones.
                raise InputError(
                    f"{path}: a layer needs {least:,} numbers or more, but the file has {numbers:,}"
                )
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _least_kernel(item):
    """The least number of numbers in the kernel of a layer `_WITH_KERNEL`; 0 without settings."""
    settings = item.get("config")
    if not isinstance(settings, dict):
        return 0
    window, count = settings.get("kernel_size"), settings.get("filters", settings.get("units"))
    window = window if isinstance(window, list) else [window]
    return math.prod(size for size in (*window, count) if isinstance(size, int))
