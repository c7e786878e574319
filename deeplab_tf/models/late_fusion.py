"""Late fusion: one network for color, another for depth, and the mean of their scores.

As in the RGB-HHA networks of the FCN authors. The images have six channels, red, green and blue
first, then HHA; see `deeplab_tf.data.hha`.
"""

import keras
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.models.channels import ColorChannels
from deeplab_tf.models.heads import score_stride
from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.padding import Float32Layer

HHA_PREFIX = "hha_"  # of the names of the second network's layers


def build_late_fusion(build, scales=(1.0,), **arguments):
    """Two networks of one kind, for color and for HHA, whose scores are averaged.

    Both start from the same weights: those of the first convolution, for red, green and blue, also
    suit the three channels of HHA.

    Args:
      build: `build_deeplab` or `build_fcn`.
      scales: of `build_deeplab`: the averaged scores of these input scales are fused by their
        maximum.
      arguments: the other arguments of `build`; its input_shape is that of each network, with 3
        channels.

    Returns:
      keras.Model of images `(B, H, W, 6)`; see `fuse_late`.

    Example:
      >>> build_late_fusion(build_fcn, stride=32, num_classes=40).input_shape
      (None, None, None, 6)
    """
    model = fuse_late(build(**arguments), build(**arguments))
    if tuple(scales) == (1.0,):
        return model
    stride = score_stride(
        arguments.get("head", "aspp_l"),
        arguments.get("output_stride", 8),
        arguments.get("half_pixel_upsampling", False),
    )
    return fuse_scales(model, scales, stride)


def fuse_late(color, hha):
    """Join two networks for images of three channels; their scores are averaged.

    Args:
      color: functional keras.Model from RGB images `(B, H, W, 3)` to scores.
      hha: another one, from HHA images to scores of the same shape.

    Returns:
      keras.Model from images `(B, H, W, 6)` to float32 scores, with copies of both networks'
      weights. The layers of the second have `hha_` before their names.

    Raises:
      InputError: if the networks' inputs or outputs differ.
    """
    if (color.input_shape, color.output_shape) != (hha.input_shape, hha.output_shape):
        raise InputError(
            f"networks of {color.input_shape} to {color.output_shape} and of {hha.input_shape} to "
            f"{hha.output_shape} cannot be fused; build both with the same arguments"
        )
    images = keras.Input((*color.input_shape[1:3], 6), name="images")
    parts = (
        ColorChannels(name="color_channels")(images),
        HHAChannels(name="hha_channels")(images),
    )
    scores = [
        _copy(network, images, part, prefix)
        for network, part, prefix in zip((color, hha), parts, ("", HHA_PREFIX), strict=True)
    ]
    fused = layers.Average(name="averaged_scores", dtype="float32")(scores)
    return keras.Model(images, fused, name=f"{color.name}_late_fusion")


@keras.saving.register_keras_serializable(package="deeplab_tf")
class HHAChannels(Float32Layer):
    """The channels after red, green and blue, as they are."""

    def call(self, images):
        """Take `(B, H, W, C - 3)` of `(B, H, W, C)`."""
        return images[..., 3:]


def _copy(network, images, part, prefix):
    """The scores of a copy of a network that sees a part of the images' channels."""
    copies = {}  # id of a layer -> (the layer, its copy)

    def call(layer, x, *args, **kwargs):
        x = keras.tree.map_structure(lambda tensor: part if tensor is images else tensor, x)
        if not isinstance(layer, keras.Layer):  # bare arithmetic, as in MobileNetV3
            return layer(x, *args, **kwargs)
        if id(layer) not in copies:
            config = {**layer.get_config(), "name": prefix + layer.name}
            copies[id(layer)] = layer, type(layer).from_config(config)
        return copies[id(layer)][1](x, *args, **kwargs)

    copy = keras.models.clone_model(
        network,
        input_tensors=keras.tree.map_structure(lambda _: images, network.input),
        clone_function=lambda layer: layer,
        call_function=call,
    )
    for layer, same in copies.values():
        same.set_weights(layer.get_weights())
        same.trainable = layer.trainable
    return copy.output
