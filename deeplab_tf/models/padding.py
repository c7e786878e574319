"""Padding of images to whole score cells, or to the 513 pixels of the papers' tests.

A network with output stride s has score cell (i, j) on pixel (s i, s j), so an image of k s + 1
pixels has a cell on its last pixel. Padding holds the mean color, which a network that subtracts
this mean sees as zeros, or the color that `deeplab_tf.models.padding_color` gives.
"""

import keras
from keras import ops

from deeplab_tf.labels import mean_color


def pad_to_cells(images, output_stride, pad_to=None, color=None):
    """Pad with one color, at the bottom and right, to the next size of k s + 1.

    Args:
      images: `(B, H, W, C)` float32, values 0..255, C at least 3.
      output_stride: s, pixels per score cell.
      pad_to: minimum height and width in pixels; None: no minimum.
      color: C levels, see `padding_color`; None: the mean color.

    Returns:
      `(B, H', W', C)` float32.

    Example:
      >>> pad_to_cells(images, 8, pad_to=513)  # at least 513x513, the papers' size for testing
    """
    missing = []
    for length in ops.shape(images)[1:3]:
        wanted = length if pad_to is None else ops.maximum(length, pad_to)
        cells = (wanted - 1 + output_stride - 1) // output_stride
        missing.append(cells * output_stride + 1 - length)
    return _pad(images, *missing, color)


def _pad(images, rows, columns, color=None):
    widths = [[0, 0], [0, rows], [0, columns], [0, 0]]
    # ops.pad takes one constant for all channels, so the color is added where the padding is.
    is_padding = ops.pad(ops.zeros_like(images[:1, ..., :1]), widths, constant_values=1)
    color = ops.convert_to_tensor(color or mean_color(images.shape[-1]), "float32")
    return ops.pad(images, widths) + is_padding * color


class Float32Layer(keras.layers.Layer):
    """A layer that computes in float32 under every dtype policy."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToCells(Float32Layer):
    """`pad_to_cells` as a layer: images `(B, H, W, C)` padded to whole score cells.

    Args:
      output_stride: pixels per score cell.
      color: C levels, see `padding_color`; None: the mean color.
    """

    def __init__(self, output_stride, color=None, **kwargs):
        super().__init__(**kwargs)
        self.output_stride = output_stride
        self.color = None if color is None else list(color)

    def call(self, images):
        """Pad `(B, H, W, C)`."""
        return pad_to_cells(images, self.output_stride, color=self.color)

    def get_config(self):
        """Return the constructor's arguments."""
        own = {"output_stride": self.output_stride, "color": self.color}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToMultiple(Float32Layer):
    """Pads images with the mean color, at the bottom and right, to whole multiples.

    Args:
      multiple: the padded height and width are multiples of this number of pixels.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, images):
        """Pad `(B, H, W, C)`."""
        missing = (-length % self.multiple for length in ops.shape(images)[1:3])
        return _pad(images, *missing)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "multiple": self.multiple}
