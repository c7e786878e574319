"""Trained networks on disk: what a path or name stands for, and reading Keras's files."""

import re
import zipfile
from pathlib import Path

import keras

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.models.safe_files import check_safe
from deeplab_tf.pretrained import pretrained_names
from deeplab_tf.pretrained.released import released_names, start_names

BEST, LAST = "best.keras", "last.keras"  # in a model directory
# How the files of exported networks end, and their formats; a SavedModel is a folder.
EXPORTED = {".onnx": "onnx", ".xml": "openvino", ".tflite": "litert"}
PACKED, CARD = ".npz", "card.json"  # how a packed network's file ends, and a part of it

_HDF5_START = b"\x89HDF\r\n\x1a\n"
_ZIP_START = b"PK"


def trained_names():
    """The names of the networks that come with the package or are downloaded, a tuple of str."""
    return (*pretrained_names(), *released_names())


def is_pretrained(name):
    """Whether a path is the name of a trained network that `models` lists, and of nothing here.

    Args:
      name: what `find_model` takes. A folder counts if a training or an export wrote it.
    """
    path = Path(name)
    marks = (BEST, LAST, "run.json", "checkpoints")
    return (
        str(name) in trained_names()
        and not path.is_file()
        and not any((path / mark).exists() for mark in marks)
        and not is_saved_model(path)
    )


def is_released(name):
    """Whether a path is the name of a network that is downloaded, and of nothing here.

    Args:
      name: as for `is_pretrained`.
    """
    return str(name) in released_names() and is_pretrained(name)


def is_start(name):
    """Whether a path is the name of a network to start trainings from, and of nothing here.

    Args:
      name: what `start_from` takes.
    """
    return str(name) in start_names() and not Path(name).exists()


def is_saved_model(path):
    """Whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


def export_format(path):
    """The format of an exported network: "saved_model", "onnx", "openvino" or "litert".

    Args:
      path: the folder of a SavedModel, or a file.

    Returns:
      str; None if the path is nothing of the kind, going by its name alone if it is a file.
    """
    path = Path(path)
    if path.is_file():
        return EXPORTED.get(path.suffix)
    is_model_dir = any((path / name).is_file() for name in (BEST, LAST))
    return "saved_model" if is_saved_model(path) and not is_model_dir else None


def load_keras(file):
    """Load a file that Keras wrote.

    Args:
      file: Path of a `.keras` file, or of the `.h5` file of a whole model.

    Returns:
      keras.Model, not compiled.

    Raises:
      InputError: as `deeplab_tf.load_model`.
    """
    try:
        _check_kind(file)
        check_safe(file)
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises whatever its reader raises
        raise InputError(f"cannot load the model {file}: {_explain(error, file)}") from error


def _check_kind(file):
    """Refuse a file that is not what its name says; Keras would report that it does not exist."""
    with file.open("rb") as opened:
        start = opened.read(len(_HDF5_START))
    if start == _HDF5_START:
        if file.suffix not in (".h5", ".hdf5"):
            raise InputError(f"{file}: an HDF5 file; rename it so that it ends in .h5")
    elif not start.startswith(_ZIP_START):
        remedy = "give the .keras file that model.save wrote"
        if file.suffix == ".caffemodel":
            remedy = f"import it with `deeplab-tf import-weights --caffemodel={file} ...`"
        raise InputError(f"{file}: not a Keras model; {remedy}")
    elif not zipfile.is_zipfile(file):
        raise InputError(f"{file}: damaged or cut off; copy or save it again")
    else:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if CARD in names:
            raise InputError(f"{file}: a packed network; rename it so that it ends in {PACKED}")
        if "config.json" not in names:
            raise InputError(
                f"{file}: a zip file but not a Keras model; give the .keras file that model.save "
                "wrote"
            )
        if file.suffix != ".keras":
            raise InputError(f"{file}: a Keras model; rename it so that it ends in .keras")


def _explain(error, file):
    """Why Keras could not load a file, and what to do; `error` is what it raised."""
    text = str(error)
    if "No model config found" in text:
        return (
            "it holds weights without their network; make a model of it with build_deeplab("
            f"BACKBONE, HEAD, NUM_CLASSES, weights={str(file)!r}).save('model.keras')"
        )
    unknown = re.search(r"(?:Could not \w+ class|Unknown layer:) '(\w+)'", text)
    if unknown is None:
        return one_line(error, 200)
    # The layers around it, which are known, have a module too, but are named before it.
    module = re.search(r"'module': (?:'(\w+)|None)", text[unknown.end() :])
    owner = module[1] if module and module[1] not in ("builtins", "__main__") else None
    return f"its class {unknown[1]!r} is unknown; " + (
        f"import {owner}, which defines it, before loading"
        if owner
        else "before loading, run the code that defines it and registers it with "
        "@keras.saving.register_keras_serializable()"
    )
