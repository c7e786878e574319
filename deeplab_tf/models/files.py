"""Trained networks on disk: a `.keras` file, or the model directory that training writes."""

from pathlib import Path

import keras

from deeplab_tf.errors import InputError, one_line

BEST, LAST = "best.keras", "last.keras"  # in a model directory


def find_model(path):
    """Return the `.keras` file that `path` stands for.

    Args:
      path: a `.keras` file, or a model directory: its `best.keras`, else its `last.keras`.

    Returns:
      pathlib.Path.

    Raises:
      InputError: if there is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in (BEST, LAST):
            if (path / name).is_file():
                return path / name
        raise InputError(
            f"no model in {path}: expected {BEST} or {LAST}; train one with "
            f"`deeplab-tf train --model_dir={path} ...`"
        )
    if not path.is_file():
        raise InputError(f"no model {path}; give a .keras file or a model directory")
    return path


def load_model(path):
    """Load a trained network.

    Args:
      path: see `find_model`.

    Returns:
      keras.Model.

    Raises:
      InputError: if there is none, or the file is damaged or not a Keras model.
    """
    file = find_model(path)
    if file.suffix == ".h5":
        raise InputError(
            f"{file} holds weights without their network; make a model of it with build_deeplab("
            f"BACKBONE, HEAD, NUM_CLASSES, weights={str(file)!r}).save('model.keras')"
        )
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive raises whatever its reader raises
        raise InputError(f"cannot load the model {file}: {one_line(error, 200)}") from error
