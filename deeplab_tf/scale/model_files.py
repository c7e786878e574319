"""A network's files, sent to workers that do not share a file system with the driver."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from deeplab_tf.export.opening import open_model
from deeplab_tf.models import load_model, with_output_stride
from deeplab_tf.models.files import export_format
from deeplab_tf.models.locate import locate_model, model_files
from deeplab_tf.models.precision import with_precision


class ModelFiles(NamedTuple):
    """A network to open elsewhere.

    Args:
      name: of its file, or of the folder of a SavedModel.
      contents: dict from paths relative to the folder that holds it to bytes.
      output_stride: see `deeplab_tf.models.with_output_stride`; None: as it is.
      precision: see `deeplab_tf.models.precision.with_precision`; None: as it is.
    """

    name: str
    contents: dict
    output_stride: int | None = None
    precision: str | None = None


def read_model(path, output_stride=None, precision=None):
    """Read the files of the network that `path` stands for, see `deeplab_tf.open_model`.

    Returns:
      `ModelFiles`.
    """
    place = locate_model(path)
    contents = {
        file.relative_to(place.parent).as_posix(): file.read_bytes() for file in model_files(path)
    }
    return ModelFiles(place.name, contents, output_stride, precision)


def open_files(files):
    """Open the network of `ModelFiles` as the commands do.

    Returns:
      keras.Model, or for an exported network `OpenedModel`.

    Raises:
      InputError: if it cannot be opened here, such as without the package of its format.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, contents in files.contents.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents)
        path = Path(folder, files.name)
        if export_format(path):
            return open_model(path)
        model = load_model(path)
    if files.output_stride:
        model = with_output_stride(model, files.output_stride)
    return with_precision(model, files.precision) if files.precision else model
