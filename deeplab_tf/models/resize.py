"""Sizes of images and score maps: resizing, and back from score cells to one score per pixel.

Networks score every s-th pixel (s is the output stride): cell (i, j) is centered on pixel
(s i, s j). Interpolation with aligned corners puts every cell on its own pixel if the image was
padded to whole cells, see padding.py.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from deeplab_tf.errors import InputError
from deeplab_tf.models.padding import Float32Layer


def resize_aligned(x, height, width):
    """Resize a map bilinearly with aligned corners: its four corner cells keep their values.

    The interpolation is float32 for every dtype, as are its gradients.

    Args:
      x: `(B, H, W, C)` of a float dtype.
      height, width: of the result, integers or integer tensors.

    Returns:
      `(B, height, width, C)` of the same dtype.
    """
    resized = tf.raw_ops.ResizeBilinear(
        images=ops.cast(x, "float32"), size=tf.stack([height, width]), align_corners=True
    )
    return ops.cast(resized, x.dtype)


def scale_aligned(images, scale):
    """Resize images by a factor with aligned corners.

    Args:
      images: `(B, H, W, 3)` of a float dtype.
      scale: the factor; 1 returns the images themselves.

    Returns:
      `(B, floor((H - 1) * scale) + 1, floor((W - 1) * scale) + 1, 3)` of the same dtype: 321
      pixels at 0.75 become 241, at 0.5 161. A length of k s + 1 becomes another of this form if
      k times the scale is a whole number.
    """
    if scale == 1:
        return images
    return resize_aligned(images, *scaled_size(images, scale))


def scaled_size(images, scale):
    """Height and width of `scale_aligned(images, scale)`; integers if those of `images` are."""
    height, width = ops.shape(images)[1:3]
    return _scaled_length(height, scale), _scaled_length(width, scale)


def _scaled_length(length, scale):
    # Whole products such as 180 * 0.35 = 63 must not be rounded down, and all sizes known before
    # must be the same as those found in a graph for all sizes: float32 in both.
    if isinstance(length, int):
        return int(np.floor(np.float32(length - 1) * np.float32(scale) + np.float32(1e-3))) + 1
    return ops.cast(ops.floor(ops.cast(length - 1, "float32") * scale + 1e-3), "int32") + 1


def crop_to_images(scores, images):
    """Crop scores `(B, H', W', C)` of padded images to the size of images `(B, H, W, 3)`."""
    height, width = ops.shape(images)[1:3]
    return scores[:, :height, :width]


def upsample_scores(scores, images, output_stride):
    """Scores of every pixel, interpolated bilinearly from those of every s-th pixel.

    Args:
      scores: `(B, h, w, C)` of a float dtype, for the images padded by `pad_to_cells`.
      images: `(B, H, W, 3)`, the images before padding.
      output_stride: s, pixels per score cell.

    Returns:
      `(B, H, W, C)` of the scores' dtype.
    """
    height, width = ((cells - 1) * output_stride + 1 for cells in ops.shape(scores)[1:3])
    return crop_to_images(resize_aligned(scores, height, width), images)


def find_output_stride(model):
    """Pixels between two score cells of a network.

    Args:
      model: Keras model from images `(B, H, W, 3)` of any size, or of more channels, to scores
        `(B, (H-1)//s+1, (W-1)//s+1, C)`.

    Returns:
      s, an int.

    Raises:
      InputError: if the model has other inputs or outputs.
    """
    remedy = "give a network from images (None, None, None, 3) to scores at its output stride"
    shape = tuple(model.input_shape[1:])
    if len(shape) != 3 or shape[:2] != (None, None) or not shape[2] or shape[2] < 3:
        raise InputError(f"model {model.name!r} takes {model.input_shape}; {remedy}")
    length = 65  # 64 + 1: has a cell on its last pixel at strides 1, 2, 4, ..., 64
    shape = model.compute_output_shape((1, length, length, shape[2]))
    cells = shape[1] if len(shape) == 4 and shape[1] == shape[2] else None
    stride = (length - 1) // (cells - 1) if cells and cells > 1 else 0
    if not stride or (length - 1) // stride + 1 != cells:
        raise InputError(f"model {model.name!r} turns 65x65 pixels into {shape}; {remedy}")
    return stride


@keras.saving.register_keras_serializable(package="deeplab_tf")
class UpsampleScores(Float32Layer):
    """`upsample_scores` as a layer, called on `[scores, images]`.

    Args:
      output_stride: pixels per score cell.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**kwargs)
        self.output_stride = output_stride

    def call(self, inputs):
        """Interpolate `(B, h, w, C)` to the height and width of `(B, H, W, 3)`."""
        return upsample_scores(*inputs, self.output_stride)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class CropToImages(Float32Layer):
    """`crop_to_images` as a layer, called on `[scores, images]`; the scores become float32.

    Args:
      offset: rows and columns of the scores to leave out at the top and left.
    """

    def __init__(self, offset=0, **kwargs):
        super().__init__(**kwargs)
        self.offset = offset

    def call(self, inputs):
        """Crop `(B, H', W', C)` to the height and width of `(B, H, W, 3)`."""
        scores, images = inputs
        return crop_to_images(scores[:, self.offset :, self.offset :], images)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "offset": self.offset}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class UpsampleToMap(keras.layers.Layer):
    """A coarse map at the cells of a finer one, called on `[coarse, fine]`.

    Interpolated bilinearly with every coarse cell on its own pixel, at all sizes: where the fine
    map goes on after the last coarse cell, that cell's values are repeated. With a coarse cell on
    the last pixel it is interpolation with aligned corners, as in the authors' networks.

    With `half_pixel` it is interpolated as in ports for PyTorch: maps are cut into as many equal
    squares as they have cells, and a cell's value lies in the middle of its square.

    Args:
      factor: fine cells per coarse cell.
      half_pixel: whether the maps' outer edges coincide, instead of the centers of their first
        cells.
    """

    def __init__(self, factor, half_pixel=False, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.half_pixel = factor, half_pixel

    def call(self, inputs):
        """Resize `(B, h, w, C)` to the height and width of `(B, H, W, D)`."""
        x, fine = inputs
        if self.half_pixel:
            resized = tf.raw_ops.ResizeBilinear(
                images=ops.cast(x, "float32"),
                size=tf.stack(ops.shape(fine)[1:3]),
                half_pixel_centers=True,
            )
            return ops.cast(resized, x.dtype)
        x = ops.concatenate([x, x[:, -1:]], axis=1)
        x = ops.concatenate([x, x[:, :, -1:]], axis=2)
        size = ((cells - 1) * self.factor + 1 for cells in ops.shape(x)[1:3])
        return crop_to_images(resize_aligned(x, *size), fine)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "factor": self.factor, "half_pixel": self.half_pixel}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SpreadOverMap(keras.layers.Layer):
    """One vector for the whole image at every cell of a map, called on `[vector, map]`."""

    def call(self, inputs):
        """Repeat `(B, 1, 1, C)` to the height and width of `(B, H, W, D)`."""
        vector, x = inputs
        batch, height, width, _ = ops.shape(x)
        return ops.broadcast_to(vector, (batch, height, width, vector.shape[-1]))
