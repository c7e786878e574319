"""DeepLab semantic segmentation for TensorFlow 2 and Keras 3.

The table of contents: `build_deeplab`, `build_fcn` and `to_atrous` make networks, `segment` runs
one on an image. Training, data and evaluation are the subpackages `training`, `data` and
`evaluation`; the fully connected CRF is the package `crf`.
"""

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.models import build_deeplab, build_fcn, to_atrous

__version__ = "0.2.0"

__all__ = ["InputError", "build_deeplab", "build_fcn", "segment", "to_atrous"]
