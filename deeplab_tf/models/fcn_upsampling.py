"""FCN's way from scores of every 32nd pixel to scores of every pixel: upsampling and skips."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from deeplab_tf.models.resize import CropToImages


class Grid(NamedTuple):
    """A map and where its cells are.

    Attributes:
      tensor: symbolic, `(B, h, w, C)`.
      stride: pixels between two cells.
      center: the pixel under the center of cell 0; negative before the image, and with a half
        between two pixels.
    """

    tensor: object
    stride: int
    center: float


@keras.saving.register_keras_serializable(package="deeplab_tf")
class Bilinear(keras.initializers.Initializer):
    """The kernel of a transposed convolution of stride s that interpolates bilinearly.

    Shape `(2 s, 2 s, C, C)`, or `(2 s - 1, 2 s - 1, C, C)`: 1 - |i - m| / s along each axis, where
    m is the middle of the kernel, and zero between different channels.
    """

    def __call__(self, shape, dtype=None):
        """Return the kernel."""
        size, _, filters, _ = shape
        factor = (size + 1) // 2
        column = 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor
        kernel = np.outer(column, column)[:, :, None, None] * np.eye(filters)
        return ops.convert_to_tensor(kernel, dtype or "float32")


def upsample(scores, stride, center, trainable, name):
    """Scores at finer cells: a transposed convolution that starts as bilinear interpolation.

    Its kernel has 2 s cells, or 2 s - 1 where the cells would otherwise lie between those of the
    finer grid; s is the factor. The result goes s - 1 cells or more beyond the scores' outer ones.

    Args:
      scores: `Grid`.
      stride, center: those of the finer grid.
      trainable: whether the interpolation is learned.
      name: the layer's name.

    Returns:
      `Grid` of float32 scores, whose cells are cells of the finer grid.
    """
    factor = scores.stride // stride
    size = 2 * factor
    if (center - scores.center) / stride % 1 != 0.5:  # an even kernel's middle is between cells
        size -= 1
    layer = layers.Conv2DTranspose(
        scores.tensor.shape[-1],
        size,
        strides=factor,
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=trainable,
        dtype="float32",
        name=name,
    )
    return Grid(layer(scores.tensor), stride, scores.center - (size - 1) / 2 * stride)


def add(scores, skip, name):
    """The sum of two score maps where both have cells.

    Args:
      scores, skip: `Grid`s of the same stride; one of them begins before the other, and ends after
        it.
      name: of the sum.

    Returns:
      `Grid` of float32 scores, of the smaller size of the two.
    """
    offset = round((skip.center - scores.center) / scores.stride)
    crop = CropToImages(abs(offset), name=f"{name}_crop")
    pair = [scores.tensor, skip.tensor]  # in this order: that of the layers in older files
    if offset >= 0:
        pair[0] = crop(pair)
    else:
        pair[1] = crop(pair[::-1])
    total = layers.Add(dtype="float32", name=name)(pair)
    return Grid(total, scores.stride, max(scores.center, skip.center))
