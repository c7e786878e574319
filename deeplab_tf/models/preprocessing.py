"""What a backbone expects of its input, as a layer, so that nobody can forget it."""

import keras
from keras import ops
from keras.applications import imagenet_utils

from deeplab_tf.labels import MEAN_RGB

MODES = ("caffe", "deeplab", "tf", "torch")


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ImagePreprocessing(keras.layers.Layer):
    """RGB values 0..255 to what a keras.applications backbone was trained on.

    Computed in float32 also under mixed precision: 8-bit levels minus a mean need it.

    Args:
      mode: "caffe" (BGR minus the ImageNet mean), "deeplab" (the same with the mean of the
        DeepLab authors, so that padding with `MEAN_RGB` is exactly zero), "tf" (to -1..1) or
        "torch" (each channel normalised by the ImageNet mean and deviation).

    Raises:
      ValueError: for another mode.
    """

    def __init__(self, mode, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
        self.mode = mode

    def call(self, images):
        """Preprocess `(B, H, W, 3)`."""
        if self.mode == "deeplab":
            images = ops.cast(images, "float32")
            return ops.flip(images - ops.convert_to_tensor(MEAN_RGB, "float32"), axis=-1)
        return imagenet_utils.preprocess_input(images, "channels_last", self.mode)

    def compute_output_shape(self, input_shape):
        """Return the shape unchanged."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}
