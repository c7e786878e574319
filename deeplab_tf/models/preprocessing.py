"""What a backbone expects of its input, as a layer, so that nobody can forget it."""

import keras
from keras.applications import imagenet_utils

MODES = ("caffe", "tf", "torch")


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ImagePreprocessing(keras.layers.Layer):
    """RGB values 0..255 to what a keras.applications backbone was trained on.

    Computed in float32 also under mixed precision: 8-bit levels minus a mean need it.

    Args:
      mode: "caffe" (BGR minus the ImageNet mean), "tf" (to -1..1) or "torch" (each channel
        normalised by the ImageNet mean and deviation).

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
        return imagenet_utils.preprocess_input(images, "channels_last", self.mode)

    def compute_output_shape(self, input_shape):
        """Return the shape unchanged."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}
