"""Labels that authors published as pictures in the colors of their classes."""

import functools

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

UNKNOWN = 254
# Some published labels have a few pixels in mixed colors: in CamVid's Seq05VD_f02610 it is 175 of
# 691,200.
MAX_UNKNOWN = 1e-3


def classes_of_colors(picture, colors, path, dataset):
    """Convert a label in colors to class indices.

    Args:
      picture: (H, W, 3) uint8 RGB array.
      colors: tuple of (color, class index): every color (r, g, b) that labels may have; several
        may have the same index, and `VOID` is one of them.
      path: the file, for the message.
      dataset: the data set as people call it, for the message.

    Returns:
      (H, W) uint8 array of class indices, 255 = void; pixels in other colors are void.

    Raises:
      InputError: naming the file if more than a thousandth of its pixels have another color.

    Example:
      >>> classes_of_colors(np.uint8([[[9, 0, 0], [0, 0, 0]]]), (((9, 0, 0), 1), ((0, 0, 0), 255)),
      ...                   "a.bmp", "MSRC")
      array([[  1, 255]], dtype=uint8)
    """
    red, green, blue = np.moveaxis(picture.astype(np.int32), -1, 0)
    label = _index_of_color(colors)[red << 16 | green << 8 | blue]
    is_unknown = label == UNKNOWN
    if is_unknown.mean() > MAX_UNKNOWN:
        raise InputError(
            f"{path}: {is_unknown.mean():.1%} of its pixels, such as"
            f" {picture[is_unknown][0].tolist()}, have a color that {dataset} does not"
            " use; use the original"
        )
    return np.where(is_unknown, np.uint8(VOID), label)


@functools.cache
def _index_of_color(colors):
    # Class index of each of the 2 ** 24 colors; red, green and blue form one 24-bit number.
    table = np.full(1 << 24, UNKNOWN, np.uint8)
    for (red, green, blue), index in colors:
        table[red << 16 | green << 8 | blue] = index
    return table
