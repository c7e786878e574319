"""Finds the file that a path or the name of a trained network stands for."""

import hashlib
from pathlib import Path

from deeplab_tf.errors import InputError
from deeplab_tf.models.files import (
    BEST,
    LAST,
    PACKED,
    export_format,
    is_pretrained,
    trained_names,
)
from deeplab_tf.models.released.converted import find_converted
from deeplab_tf.pretrained import find_pretrained
from deeplab_tf.pretrained.released import released_names


def find_model(path):
    """Return the file that `path` stands for.

    Args:
      path: a `.keras` file; a packed network, `.npz`; a model directory: its `best.keras`, else
        its `last.keras`; or the name of a network that `trained_names` lists: one that was
        released is downloaded and converted the first time. A file or model directory of that
        name comes first; a folder that holds no network, such as the data set's, does not.

    Returns:
      pathlib.Path.

    Raises:
      InputError: if there is none, if it cannot be downloaded, or if it is an exported network.
    """
    name, path = str(path), Path(path)
    if format := export_format(path):
        kind = "a SavedModel" if format == "saved_model" else f"an export to {format}"
        raise InputError(
            f"{path} is {kind}, which `deeplab-tf predict`, evaluate, search-crf, explain-crf and "
            "demo run, and deeplab_tf.open_model opens; for anything else give the .keras file or "
            "model directory that it was exported from"
        )
    if path.is_file():
        return path
    for file in (path / BEST, path / LAST):
        if file.is_file():
            return file
    if is_pretrained(name):
        return find_trained(name)
    if not path.is_dir():
        names = ", ".join(trained_names())
        raise InputError(
            f"no model {path}; give a .keras file or a model directory, or one of the trained "
            f"networks that `deeplab-tf models` lists: {names}"
        )
    raise InputError(
        f"no model in {path}: expected {BEST} or {LAST}; train one with "
        f"`deeplab-tf train --model_dir={path} ...`"
    )


def find_trained(name):
    """The file of a trained network that `models` lists, whatever is in the working directory.

    Args:
      name: one of `trained_names()`.

    Returns:
      Path.

    Raises:
      InputError: if there is no network of this name, it cannot be downloaded, or it is damaged.
    """
    if name not in trained_names():
        raise InputError(
            f"no trained network has the name {name!r}; available: {', '.join(trained_names())}"
        )
    return find_converted(name) if name in released_names() else find_pretrained(name)


def is_packed(path):
    """Whether what `find_model` finds is a packed network; not if it is exported.

    Args:
      path: of a file or a model directory, or the name of a trained network.
    """
    return export_format(path) is None and find_model(path).suffix == PACKED


def locate_model(path):
    """Path of the exported network or of the file that `path` stands for, see `find_model`."""
    return Path(path) if export_format(path) else find_model(path)


def model_files(path):
    """Paths of all files of a model, a list; `path` is as for `locate_model`."""
    place = locate_model(path)
    if place.is_dir():
        return sorted(file for file in place.rglob("*") if file.is_file())
    return [place, place.with_suffix(".bin")] if export_format(place) == "openvino" else [place]


def model_checksum(path):
    """SHA-256, in hexadecimal, of all files of a model.

    Args:
      path: as for `locate_model`.
    """
    digest = hashlib.sha256()
    for file in model_files(path):  # one after the other, as they may be large
        digest.update(file.read_bytes())
    return digest.hexdigest()
