"""Numbered folders, in which TensorFlow Serving finds the versions of a model."""

from pathlib import Path

from deeplab_tf.errors import InputError


def next_version(path):
    """The folder in which TensorFlow Serving finds a new version of a model.

    Args:
      path: folder of the model, with a folder for each version: 1, 2, ...; it need not exist.

    Returns:
      Path with the number after the highest one, 1 for the first.

    Raises:
      InputError: if `path` is a file, or a SavedModel itself.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give the name of a folder")
    if (path / "saved_model.pb").exists():
        raise InputError(f"{path}: is a SavedModel; give the folder that holds the versions")
    names = [folder.name for folder in path.iterdir()] if path.exists() else []
    return path / str(1 + max((int(name) for name in names if name.isdecimal()), default=0))
