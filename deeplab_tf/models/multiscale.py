"""One network at several input scales, fused by the maximum (DeepLab v2, section 4.1.2)."""

import keras
import numpy as np
from keras import ops


def resized_length(size, scale):
    """Cells of an axis resized with its corners kept: 321 at 0.75 is 241, at 0.5 is 161.

    Args:
      size: cells, an int or an integer tensor.
      scale: factor.

    Returns:
      `floor((size - 1) * scale) + 1`, of the same type as `size`.
    """
    if isinstance(size, int):
        return int(np.floor((size - 1) * scale)) + 1
    length = ops.floor(ops.cast(size - 1, "float32") * scale)
    return ops.cast(length, "int32") + 1


def interpolation_weights(size, length):
    """Linear interpolation with aligned corners along one axis, as a matrix.

    Args:
      size, length: cells before and after.

    Returns:
      float32 `(length, size)`; every row sums to one.
    """
    size, length = ops.cast(size, "float32"), ops.cast(length, "float32")
    step = (size - 1) / ops.maximum(length - 1, 1)
    positions = ops.arange(length, dtype="float32")[:, None] * step
    return ops.maximum(1 - ops.abs(positions - ops.arange(size, dtype="float32")[None, :]), 0)


def resize_aligned(x, height, width):
    """Resize a map bilinearly with its four corner cells kept in place.

    Args:
      x: `(B, H, W, C)` of a float dtype.
      height, width: of the result.

    Returns:
      `(B, height, width, C)` of the same dtype.
    """
    rows = ops.cast(interpolation_weights(ops.shape(x)[1], height), x.dtype)
    columns = ops.cast(interpolation_weights(ops.shape(x)[2], width), x.dtype)
    return ops.einsum("vw,bhwc->bhvc", columns, ops.einsum("uh,bhwc->buwc", rows, x))


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ScaleImages(keras.layers.Layer):
    """Images at another scale, corners kept.

    Args:
      scale: factor on height and width.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, images):
        """Resize `(B, H, W, 3)`."""
        _, height, width, _ = ops.shape(images)
        return resize_aligned(
            images, resized_length(height, self.scale), resized_length(width, self.scale)
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class MaxFusion(keras.layers.Layer):
    """The maximum over maps of several scales, each resized to the size of the images' own.

    Args:
      output_stride: pixels of the images per cell of the result.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**kwargs)
        self.output_stride = output_stride

    def call(self, inputs):
        """Fuse `[images, map, map, ...]` to one map `(B, (H-1)//s+1, (W-1)//s+1, C)`."""
        images, *maps = inputs
        _, height, width, _ = ops.shape(images)
        height = (height - 1) // self.output_stride + 1
        width = (width - 1) // self.output_stride + 1
        resized = [resize_aligned(x, height, width) for x in maps]
        fused = resized[0]
        for x in resized[1:]:
            fused = ops.maximum(fused, x)
        return fused

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


def fuse_scales(network, scales, output_stride=8):
    """Run one network at several scales with shared weights, and take the maximum score.

    Args:
      network: images to scores, see `build_deeplab`.
      scales: factors on the images' size, as (1.0, 0.75, 0.5).
      output_stride: pixels per score cell of `network`.

    Returns:
      keras.Model with the network's input and output shapes.
    """
    images = keras.Input(network.input_shape[1:], name="images")
    maps = [
        network(images if scale == 1 else ScaleImages(scale, name=f"scale_{index}")(images))
        for index, scale in enumerate(scales)
    ]
    scores = MaxFusion(output_stride, dtype="float32", name="fused_scores")([images, *maps])
    return keras.Model(images, scores, name=f"{network.name}_multiscale")


def with_branches(model):
    """A network of several scales that also gives each scale's own scores, for training.

    Args:
      model: what `fuse_scales` made; it is shared, not copied.

    Returns:
      keras.Model from images to `[fused scores, scores of the first scale, ...]`; the latter at
      the size that each scale's image gives them.
    """
    _, *maps = model.get_layer("fused_scores").input
    return keras.Model(model.input, [model.output, *maps], name=f"{model.name}_branches")
