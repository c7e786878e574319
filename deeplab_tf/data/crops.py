"""One training example: reading it, and making its crop from what that crop needs alone."""

from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from deeplab_tf.data.augment import MEAN_RGB
from deeplab_tf.data.crop_kernels import (
    change_colors,
    holds_unknown,
    resample_image,
    resample_label,
)
from deeplab_tf.data.image_files import read_label
from deeplab_tf.data.voc import JPEG_END, JPEG_START, decode_image, load_pair
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

_PADDING = np.array(MEAN_RGB, np.float32)

# At the left and right border of the part of a JPEG that is decoded, the colours of the last
# column are interpolated otherwise than within: pixels decoded around what is needed.
_MARGIN = 2

# The share of an image of which a crop must need less for a part to be decoded faster: OpenCV
# decodes whole JPEGs, to the same pixels, in less time than TensorFlow.
WORTHWHILE = 0.25
_RGB_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class Change(NamedTuple):
    """What the random operations of `augment.py` do to one example.

    Args:
      factor: float32, by which height and width are scaled.
      corner: (2,) float32, 0..1, which of the crop's possible rows and columns is taken.
      mirrored: whether left and right are swapped.
      colors: (3, 4) float32, see `deeplab_tf.data.jitter.color_change`; None: as they are.
    """

    factor: np.float32
    corner: np.ndarray
    mirrored: bool
    colors: np.ndarray | None = None


class Cropper:
    """Writes crops of the examples of a data set.

    Args:
      num_classes: label values are below this, or 255.
      colors: the classes' colours, for RGB labels; see `decode_label`.
      grid: `TileGrid`, where crops are made of tiles; None: of whole images.
    """

    def __init__(self, num_classes, colors=None, grid=None):
        self._num_classes, self._colors, self._grid = num_classes, colors, grid

    def write(self, example, tile, change, image_out, label_out):
        """Write one crop.

        Args:
          example: `Example` or `RecordExample`.
          tile: number of the tile in the grid, if there is one.
          change: `Change`.
          image_out: (crop, crop, 3) float32, receives the image.
          label_out: (crop, crop) uint8, receives the label.

        Raises:
          InputError: naming the file that cannot be used.
        """
        try:
            self._write(example, tile, change, image_out, label_out)
        except (InputError, tf.errors.OpError) as error:
            # What reads every example in full has the better message.
            load_pair(example, self._num_classes, self._colors)
            if isinstance(error, InputError) and str(error).startswith(
                (example.image, example.label)
            ):
                raise
            raise InputError(f"{example.image}: cannot be used ({error}); replace it") from None

    def _write(self, example, tile, change, image_out, label_out):
        image_contents, label_contents = example.read()
        label = read_label(label_contents, self._colors)
        if holds_unknown(label, self._num_classes, VOID):
            raise InputError(f"{example.label}: label value of no class; mend the label")
        origin, size = self._tile(example, tile, label.shape)
        scaled = _scaled_size(size, change.factor)
        corner = _corner(scaled, change.corner, len(label_out))
        place = (size, scaled, corner, change.mirrored)
        resample_label(label, origin, *place, VOID, label_out)
        needed = _needed(origin, size, scaled, corner, len(label_out))
        image, start = _decode_part(image_contents, needed, label.shape, example)
        filled = resample_image(image, origin - start, *place, _PADDING, image_out)
        if change.colors is not None:
            change_colors(image_out, *filled, change.mirrored, change.colors)

    def _tile(self, example, tile, size):
        # Where the tile starts, and its size.
        if self._grid is None:
            return np.zeros(2, np.int64), np.array(size)
        try:
            place = np.array(self._grid.tile(tile, size))
        except InputError as error:
            raise InputError(f"{example.image}: {error}") from None
        return place[:2], place[2:]


def _scaled_size(size, factor):
    # As `random_scale`, in float32.
    scaled = np.floor(size.astype(np.float32) * factor + np.float32(0.5))
    return np.maximum(scaled.astype(np.int64), 1)


def _corner(scaled, drawn, crop_size):
    # As `random_crop`, in float32.
    positions = np.maximum(scaled, crop_size) - crop_size + 1
    return np.minimum((drawn * positions.astype(np.float32)).astype(np.int64), positions - 1)


def _needed(origin, size, scaled, corner, crop_size):
    # First and end of the rows and columns of the image that the crop is made of: a pixel's
    # neighbours are at most one further away than its own borders.
    first = np.floor(corner * (size / scaled)) - 1
    end = np.ceil((corner + crop_size) * (size / scaled)) + 1
    return origin + np.maximum(first, 0).astype(int), origin + np.minimum(end, size).astype(int)


def _decode_part(contents, needed, size, example):
    """Decode at least a part of an image.

    Args:
      contents: bytes of a JPEG or PNG.
      needed: (first, end) rows and columns, (2,) each.
      size: (height, width) that the image must have.
      example: for the message where it does not.

    Returns:
      (h, w, 3) uint8 array; (2,) row and column of the image where it starts.
    """
    # The end of a file that was cut off is found by TensorFlow, which decodes it to the end.
    if contents[:2] != JPEG_START or contents[-2:] != JPEG_END:
        return _whole(decode_image(contents).numpy(), size, example)
    if np.prod(needed[1] - needed[0]) > WORTHWHILE * np.prod(size):
        image = cv2.imdecode(np.frombuffer(contents, np.uint8), _RGB_AS_STORED)
        return _whole(decode_image(contents).numpy() if image is None else image, size, example)
    contents = tf.constant(contents)
    _check_size(tf.raw_ops.ExtractJpegShape(contents=contents).numpy()[:2], size, example)
    start = np.maximum(needed[0] - _MARGIN, 0)
    end = np.minimum(needed[1] + _MARGIN, size)
    window = np.concatenate([start, end - start]).astype(np.int32)
    return _decode_window(contents, window).numpy(), start


def _whole(image, size, example):
    _check_size(image.shape[:2], size, example)
    return image, np.zeros(2, np.int64)


def _decode_window(contents, window):
    # As `decode_image`.
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=contents, crop_window=window, channels=3, dct_method="INTEGER_ACCURATE"
    )


def _check_size(image_size, size, example):
    if tuple(image_size) != size:
        raise InputError(f"{example.label}: size differs from the image's; make them equal")
