"""DeepLab semantic segmentation for TensorFlow 2 and Keras 3.

`build_deeplab`, `build_fcn` and `to_atrous` make networks, `load_model` reads a trained one,
`load_pretrained` one that comes with the package, and `fuse` makes it faster. `segment` runs it on
an image, and also what `open_model` opens, such as a network exported to another runtime.
The modules `models`, `data`, `training`, `evaluation` and `export` hold the rest; the
fully connected CRF is the package `crf`.
"""

import importlib

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import open_model
from deeplab_tf.models import build_deeplab, build_fcn, load_model, load_pretrained, to_atrous
from deeplab_tf.models.fast.fuse import fuse

__version__ = "0.2.0"

__all__ = [
    "InputError",
    "__version__",
    "build_deeplab",
    "build_fcn",
    "fuse",
    "load_model",
    "load_pretrained",
    "open_model",
    "segment",
    "to_atrous",
]

_MODULES = ("data", "evaluation", "export", "models", "training")


def __getattr__(name):
    """Import a submodule, such as `deeplab_tf.training`, when it is first used."""
    if name in _MODULES:
        return importlib.import_module(f"deeplab_tf.{name}")
    raise AttributeError(f"module 'deeplab_tf' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_MODULES})
