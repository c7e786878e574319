"""Networks for images of more channels than red, green and blue, such as color and depth."""

import keras
import numpy as np
from keras import ops

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_FURTHER
from deeplab_tf.models.padding import Float32Layer

# Layers of keras.applications networks that come before the first convolution and suit RGB only.
_PREPROCESSING = ("ImagePreprocessing", "Normalization", "VariableNormalization", "Rescaling")


def check_input_shape(input_shape):
    """Refuse shapes of images that networks cannot take.

    Args:
      input_shape: `(H, W, C)`; H and W may be None, for sizes that vary.

    Raises:
      InputError: unless C is at least 3.
    """
    channels = input_shape[-1] if len(input_shape) == 3 else None
    if not isinstance(channels, int) or channels < 3:
        raise InputError(
            f"input_shape must be (H, W, channels) with at least 3 channels, got {input_shape!r}; "
            "repeat the channel of gray images three times"
        )


def with_channels(network, channels, scale=1.0):
    """Extend a network for RGB images to images with more channels.

    Red, green and blue are preprocessed as before. Just before the first convolution the further
    channels are added, minus 127.5 and times `scale`. The convolution's kernel keeps its weights
    for red, green and blue, and its weights for each further channel are their mean, as in the
    RGB-D networks of the FCN authors.

    Args:
      network: functional keras.Model of images `(B, H, W, 3)`, which holds its preprocessing.
      channels: of the new network's images; 3 returns `network` itself.
      scale: factor of the further channels; 1 for a network that takes 8-bit levels minus a mean.

    Returns:
      keras.Model of images `(B, H, W, channels)` with the same layers and a copy of the weights.

    Example:
      >>> network = build_backbone("resnet50", 8, weights)
      >>> with_channels(network, 4).input_shape
      (None, None, None, 4)
    """
    if channels == 3:
        return network
    images = keras.Input((*network.inputs[0].shape[1:3], channels), name=network.inputs[0].name)
    widener = _Widener(channels, scale)
    wide = keras.models.clone_model(
        network,
        input_tensors=keras.tree.map_structure(lambda _: images, network.input),
        clone_function=lambda layer: layer,
        call_function=widener,
    )
    widener.copy_weights()
    return wide


def widen_kernel(kernel, channels):
    """The kernel of a first convolution for more channels.

    Args:
      kernel: `(h, w, 3, F)` array, for red, green and blue.
      channels: number of input channels of the result, at least 3.

    Returns:
      `(h, w, channels, F)` array: `kernel`, then its mean over the colors for each further channel.
    """
    mean = kernel.mean(axis=2, keepdims=True)
    return np.concatenate([kernel, *[mean] * (channels - 3)], axis=2)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ColorChannels(Float32Layer):
    """Red, green and blue of images that have more channels."""

    def call(self, images):
        """Take `(B, H, W, 3)` of `(B, H, W, C)`."""
        return images[..., :3]


@keras.saving.register_keras_serializable(package="deeplab_tf")
class FurtherChannels(Float32Layer):
    """The channels after red, green and blue, centered: minus 127.5, times a factor.

    Args:
      scale: the factor.
    """

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, images):
        """Take and center `(B, H, W, C - 3)` of `(B, H, W, C)`."""
        return (ops.cast(images[..., 3:], "float32") - MEAN_FURTHER) * self.scale

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "scale": self.scale}


class _Widener:
    """Called by `clone_model` for every layer in turn; copies it, and joins the channels."""

    def __init__(self, channels, scale):
        self._channels, self._scale = channels, scale
        self._images = None  # the tensor of all channels, where the preprocessing begins
        self._joined = False
        self._convolution = None  # the first one of the original network
        self._copies = {}  # id of an original layer -> (the layer, its copy)

    def __call__(self, layer, x, *args, **kwargs):
        if not self._joined:
            x = self._split_or_join(layer, x)
        if self._convolution is None and hasattr(layer, "kernel"):
            self._convolution = layer
        if not isinstance(layer, keras.Layer):  # bare arithmetic, as in MobileNetV3
            return layer(x, *args, **kwargs)
        if id(layer) not in self._copies:
            self._copies[id(layer)] = layer, type(layer).from_config(layer.get_config())
        return self._copies[id(layer)][1](x, *args, **kwargs)

    def copy_weights(self):
        """Copy every layer's weights, those of the first convolution for more channels."""
        for layer, copy in self._copies.values():
            weights = layer.get_weights()
            if layer is self._convolution:
                weights[0] = widen_kernel(weights[0], self._channels)
            copy.set_weights(weights)

    def _split_or_join(self, layer, x):
        is_preprocessing = type(layer).__name__ in _PREPROCESSING
        if is_preprocessing and self._images is None:
            self._images = x
            return ColorChannels(name="color_channels")(x)
        if is_preprocessing or self._images is None:
            return x
        self._joined = True
        further = FurtherChannels(self._scale, name="further_channels")(self._images)
        return keras.layers.Concatenate(name="all_channels")([x, further])
