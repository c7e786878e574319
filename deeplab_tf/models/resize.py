"""Padding of images with the mean colour, which the networks see as zeros."""

from keras import ops

from deeplab_tf.labels import MEAN_RGB


def pad_with_mean(images, rows, columns):
    """Pad at the bottom and right with `MEAN_RGB`.

    Args:
      images: `(B, H, W, 3)` float32.
      rows, columns: how many are added.

    Returns:
      `(B, H + rows, W + columns, 3)` float32.
    """
    widths = [[0, 0], [0, rows], [0, columns], [0, 0]]
    is_padding = ops.pad(ops.zeros_like(images[:1, ..., :1]), widths, constant_values=1)
    return ops.pad(images, widths) + is_padding * ops.convert_to_tensor(MEAN_RGB, "float32")
