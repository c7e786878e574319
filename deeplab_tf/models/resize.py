"""Sizes of images and score maps: padding, resizing, and back to one score per pixel.

Networks score every s-th pixel (s is the output stride): cell (i, j) is centered on pixel
(s i, s j). An image padded to a size of k s + 1 therefore has a cell on its last pixel, and
interpolation with aligned corners puts every cell on its own pixel. Padding holds the mean color,
which a network that subtracts this mean sees as zeros.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB


def pad_to_cells(images, output_stride, pad_to=None):
    """Pad with the mean color, at the bottom and right, to the next size of k s + 1.

    Args:
      images: `(B, H, W, 3)` float32, values 0..255.
      output_stride: s, pixels per score cell.
      pad_to: minimum height and width in pixels; None: no minimum.

    Returns:
      `(B, H', W', 3)` float32.

    Example:
      >>> pad_to_cells(images, 8, pad_to=513)  # at least 513x513, the papers' size for testing
    """
    missing = []
    for length in ops.shape(images)[1:3]:
        wanted = length if pad_to is None else ops.maximum(length, pad_to)
        cells = (wanted - 1 + output_stride - 1) // output_stride
        missing.append(cells * output_stride + 1 - length)
    return _pad_with_mean(images, *missing)


def _pad_with_mean(images, rows, columns):
    widths = [[0, 0], [0, rows], [0, columns], [0, 0]]
    # ops.pad takes one constant for all channels, so the mean is added where the padding is.
    is_padding = ops.pad(ops.zeros_like(images[:1, ..., :1]), widths, constant_values=1)
    return ops.pad(images, widths) + is_padding * ops.convert_to_tensor(MEAN_RGB, "float32")


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
    height, width = ops.shape(images)[1:3]
    return resize_aligned(images, _scaled_length(height, scale), _scaled_length(width, scale))


def _scaled_length(length, scale):
    if isinstance(length, int):
        return int(np.floor((length - 1) * scale)) + 1
    return ops.cast(ops.floor(ops.cast(length - 1, "float32") * scale), "int32") + 1


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
      model: Keras model from images `(B, H, W, 3)` of any size to scores
        `(B, (H-1)//s+1, (W-1)//s+1, C)`.

    Returns:
      s, an int.

    Raises:
      InputError: if the model has other inputs or outputs.
    """
    remedy = "give a network from (None, None, None, 3) to scores at its output stride"
    if tuple(model.input_shape[1:]) != (None, None, 3):
        raise InputError(f"model {model.name!r} takes {model.input_shape}; {remedy}")
    length = 65  # 64 + 1: has a cell on its last pixel at strides 1, 2, 4, ..., 64
    shape = model.compute_output_shape((1, length, length, 3))
    cells = shape[1] if len(shape) == 4 and shape[1] == shape[2] else None
    stride = (length - 1) // (cells - 1) if cells and cells > 1 else 0
    if not stride or (length - 1) // stride + 1 != cells:
        raise InputError(f"model {model.name!r} turns 65x65 pixels into {shape}; {remedy}")
    return stride


class _Float32Layer(keras.layers.Layer):
    """A layer that computes in float32 under every dtype policy."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToCells(_Float32Layer):
    """`pad_to_cells` as a layer: images `(B, H, W, 3)` padded to whole score cells.

    Args:
      output_stride: pixels per score cell.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**kwargs)
        self.output_stride = output_stride

    def call(self, images):
        """Pad `(B, H, W, 3)`."""
        return pad_to_cells(images, self.output_stride)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToMultiple(_Float32Layer):
    """Pads images with the mean color, at the bottom and right, to whole multiples.

    Args:
      multiple: what the padded height and width are divisible by, in pixels.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, images):
        """Pad `(B, H, W, 3)`."""
        missing = (-length % self.multiple for length in ops.shape(images)[1:3])
        return _pad_with_mean(images, *missing)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class UpsampleScores(_Float32Layer):
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
class CropToImages(_Float32Layer):
    """`crop_to_images` as a layer, called on `[scores, images]`; the scores become float32."""

    def call(self, inputs):
        """Crop `(B, H', W', C)` to the height and width of `(B, H, W, 3)`."""
        return crop_to_images(*inputs)
