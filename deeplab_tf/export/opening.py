"""Open a trained or exported network of any kind, to run it."""

import contextlib
import functools
import threading
from pathlib import Path

import numpy as np

from crf.threads import available_threads
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation.depth import predict_depth
from deeplab_tf.evaluation.inference import (
    check_image,
    fix_weights,
    predict_labels,
    predict_probabilities,
)
from deeplab_tf.evaluation.opened import OpenedModel, refuse_settings
from deeplab_tf.export.extras import MissingPackageError
from deeplab_tf.export.formats import MODULES
from deeplab_tf.export.graph import output_parts
from deeplab_tf.models import load_model, suited_crf
from deeplab_tf.models.depth import check_depth, predicts_depth, refuse_depth
from deeplab_tf.models.files import export_format
from deeplab_tf.models.record import NewerVersionError
from deeplab_tf.models.resize import find_output_stride
from deeplab_tf.models.score_heads import score_heads
from deeplab_tf.models.trained import generic_labels, load_labels


def open_model(path):
    """Open a network to run it: a trained one, or one that `deeplab-tf export` wrote.

    Args:
      path: what `deeplab_tf.load_model` takes; or the folder of a SavedModel, an .onnx file, an
        .xml file of OpenVINO, or a .tflite file.

    Returns:
      `OpenedModel`: `probabilities(image)` and `scores(image)` of every pixel, `classes`, `stride`,
      `crf`. `deeplab_tf.segment` takes it in place of a Keras model.

    Raises:
      InputError: if there is no network, it cannot be read, or a package is missing.

    Example:
      >>> model = deeplab_tf.open_model("model.onnx")
      >>> label = deeplab_tf.segment(model, image, crf=model.crf)
    """
    return ExportedModel(path) if export_format(path) else KerasModel(path)


def load_description(path):
    """The `Description` of an exported network.

    Args:
      path: as in `open_model`.

    Raises:
      InputError: if it cannot be read, or something else wrote it.
    """
    path = Path(path)
    files = path, *path.glob("assets/*")  # a SavedModel is a folder
    found = [file.stat() for file in files]
    return _read_description(path, *((each.st_size, each.st_mtime_ns) for each in found))


# A command asks about its network several times; the file is read again only if it changed.
@functools.lru_cache(maxsize=8)
def _read_description(path, *_version):
    with _explained(path):
        return MODULES[export_format(path)].read_description(path)


@contextlib.contextmanager
def _explained(path):
    """Turn what a runtime raises about a file into an `InputError` that names it."""
    try:
        yield
    except MissingPackageError:
        raise
    except NewerVersionError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # runtimes raise whatever their libraries do for a damaged file
        raise InputError(
            f"{path}: not a network that the export command wrote, or damaged "
            f"({one_line(error, 200)}); export it again"
        ) from error


class ExportedModel(OpenedModel):
    """A network that `deeplab-tf export` wrote, run by the runtime of its format.

    Args:
      path: as in `open_model`.

    Attributes:
      description: its `Description`.
    """

    def __init__(self, path):
        path = Path(path)
        self.description = found = load_description(path)
        shape = found.stride, found.input["channels"]
        super().__init__(path, found.label_set, *shape, found.crf_params, found.has_crf)
        with _explained(path):
            self._run = MODULES[export_format(path)].open_runner(path, available_threads())
        self._lock = threading.Lock()  # most runtimes keep the maps of one image

    def probabilities(self, image, **settings):
        """See `OpenedModel`.

        Raises:
          InputError: also if the image has another size than the only one that the export takes.
        """
        refuse_depth(self)
        found = self._results(image, settings, self._names("probabilities"))
        return np.concatenate(found, axis=-1) if self.heads else found[0]

    def labels(self, image, **settings):
        """See `OpenedModel`; errors as of `probabilities`."""
        refuse_depth(self)
        found = self._results(image, settings, self._names("labels"))
        return np.stack(found, axis=-1) if self.heads else found[0]

    def depth(self, image, **settings):
        """See `OpenedModel`; errors as of `probabilities`."""
        check_depth(self)
        return self._results(image, settings, ("depth",))[0]

    def _names(self, kind):
        return tuple(f"{prefix}{kind}" for prefix, _ in output_parts(self.heads))

    def _results(self, image, settings, names):
        refuse_settings(self.path, settings)
        check_image(image, self.channels)
        size = self.description.input["size"]
        if size and tuple(size) != image.shape[:2]:
            raise InputError(
                f"image of shape {image.shape}, but {self.path} takes {(*size, self.channels)}; "
                "give such images, or export without --image_size for images of any size"
            )
        with self._lock:
            return self._run(np.ascontiguousarray(image)[None], names)


class KerasModel(OpenedModel):
    """A trained network of Keras, or a packed one.

    Args:
      path: what `deeplab_tf.load_model` takes.

    Attributes:
      network: the `keras.Model`. Training it after the first image has no effect on the others.
    """

    def __init__(self, path):
        self.network = load_model(path)
        num_classes = self.network.output_shape[-1]
        heads, label_set = score_heads(self.network), None
        if not predicts_depth(self.network):
            found = load_labels(path, num_classes, heads)
            label_set = found or generic_labels(num_classes, heads)
        shape = find_output_stride(self.network), self.network.input_shape[-1]
        super().__init__(path, label_set, *shape, suited_crf(path))

    def probabilities(self, image, **settings):
        """See `OpenedModel`."""
        return predict_probabilities(self._fixed, image, **settings)

    def labels(self, image, **settings):
        """See `OpenedModel`."""
        return predict_labels(self._fixed, image, **settings)

    def depth(self, image, **settings):
        """See `OpenedModel`; `scales` cannot be used."""
        return predict_depth(self._fixed, image, **settings)

    @functools.cached_property
    def _fixed(self):
        return fix_weights(self.network)
