"""Fully connected CRF with Gaussian edge potentials, independent of any network.

Importing it loads NumPy and numba only; `DenseCRF`, `dense_crf` and `ENGINES` load TensorFlow when
they are first used.
"""

import importlib
from typing import TYPE_CHECKING

from crf.batch import refine_batch
from crf.features import grid_features, image_features, image_kernels
from crf.gaussian import Kernel
from crf.inference import Inference, MeanField, infer
from crf.params import NORMALIZATIONS, CRFParams
from crf.single_image import refine, warm_up
from crf.unaries import unary_from_labels, unary_from_probabilities, unary_from_scribbles

if TYPE_CHECKING:
    from crf.dense import ENGINES, dense_crf
    from crf.layer import DenseCRF

__all__ = [
    "ENGINES",
    "NORMALIZATIONS",
    "CRFParams",
    "DenseCRF",
    "Inference",
    "Kernel",
    "MeanField",
    "dense_crf",
    "grid_features",
    "image_features",
    "image_kernels",
    "infer",
    "refine",
    "refine_batch",
    "unary_from_labels",
    "unary_from_probabilities",
    "unary_from_scribbles",
    "warm_up",
]

_WITH_TENSORFLOW = {"DenseCRF": "crf.layer", "ENGINES": "crf.dense", "dense_crf": "crf.dense"}


def __getattr__(name):
    if name not in _WITH_TENSORFLOW:
        raise AttributeError(f"module 'crf' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_WITH_TENSORFLOW[name]), name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in ("keras", "tensorflow"):
            raise
        raise ModuleNotFoundError(
            f"crf.{name} needs {error.name}, which is not installed: pip install tensorflow; "
            "crf.refine does without it",
            name=error.name,
        ) from None
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_WITH_TENSORFLOW})
