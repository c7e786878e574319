"""Export trained networks to other runtimes, and open them again."""

from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.export.description import Description
from deeplab_tf.export.formats import export_model
from deeplab_tf.export.opening import load_description, open_model
from deeplab_tf.export.saved_model import export_saved_model

__all__ = [
    "Description",
    "OpenedModel",
    "export_model",
    "export_saved_model",
    "load_description",
    "open_model",
]
