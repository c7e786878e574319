"""Random scaling, cropping, mirroring and color jitter of training images and their labels.

The random change of an example depends only on its seed, so the same seed gives the same crop. All
steps are then done in one pass, and only for the pixels that the crop shows:

    change = draw_change(seed)                         # scale, position, mirroring, colors
    place = place_crop((360, 480), change, 321)        # where the crop is in the scaled image
    crop_image(image, place, change.colors, image_out)
    crop_label(label, place, label_out)

`deeplab_tf.data.pipeline.training_batches` does this for a whole data set. The loops over pixels
are in `_augment_kernels.py`.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab_tf.data import _augment_kernels as kernels
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID, mean_color

# Rows that turn RGB into the NTSC standard's YIQ: brightness, and two axes of color.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_QUARTER_TURN = np.linalg.inv(_TO_YIQ) @ [[0, 0, 0], [0, 0, -1], [0, 1, 0]] @ _TO_YIQ
_TO_GRAY = np.tile(_TO_YIQ[0], (3, 1))

# Contrast changes the distance of colors from this level, the mean brightness of ImageNet.
MIDDLE = 117.0


class Change(NamedTuple):
    """The random change of one example.

    Args:
      scale: float32, factor of height and width.
      corner: (2,) float32, 0 <= corner < 1: vertical and horizontal position of the crop, from
        the first possible one (0) to the last.
      mirrored: bool, whether left and right are swapped.
      colors: (3, 4) float32, see `random_jitter`; None leaves the colors as they are.
    """

    scale: np.float32
    corner: np.ndarray
    mirrored: bool
    colors: np.ndarray | None = None


class Place(NamedTuple):
    """Where a crop is in the scaled image.

    Args:
      size: (height, width) of the image in pixels.
      scaled: (height, width) of the scaled image.
      corner: (row, column) of the scaled image where the crop begins.
      mirrored: whether left and right of the crop are swapped.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    mirrored: bool


def draw_change(seed, scale_range=(0.5, 1.5), scale_step=0.0, mirror=True, jitter=0.0):
    """Draw the random change of one example.

    Args:
      seed: (2,) int64 tensor, different for each example of the stream.
      scale_range, scale_step: see `random_scale`.
      mirror: whether half of the examples are mirrored.
      jitter: strength of the color jitter, 0..1; see `random_jitter`.

    Returns:
      `Change` of tensors; its `colors` are None if `jitter` is 0.
    """
    drawn = tf.random.stateless_uniform((8,), seed)
    return Change(
        scale=random_scale(drawn[0], *scale_range, scale_step),
        corner=drawn[1:3],
        mirrored=(drawn[3] < 0.5) & mirror,
        colors=random_jitter(drawn[4:], jitter) if jitter else None,
    )


def random_scale(drawn, low, high, step=0.0):
    """Turn a random number into the factor by which height and width are scaled.

    Args:
      drawn: float32 tensor, 0 <= drawn < 1, any shape.
      low, high: smallest and largest factor; all factors between them are equally likely.
      step: if above 0, only low, low + step, ... up to `high` are drawn. The authors' released
        code uses 0.5, 0.75, 1, 1.25, 1.5.

    Returns:
      float32 tensor of the same shape.
    """
    if step == 0:
        return low + (high - low) * drawn
    # 1e-6 because of rounding: (1.5 - 0.5) / 0.1 must count as 10 steps.
    count = int((high - low) / step + 1e-6) + 1
    return low + step * tf.minimum(tf.floor(drawn * count), count - 1)


def random_jitter(drawn, strength):
    """Turn random numbers into a change of brightness, contrast, saturation and hue.

    The factors b, c and s are uniform from 1 - strength to 1 + strength, and the angle is uniform
    from -90 to 90 degrees times strength. The difference of a color from its gray is multiplied
    by s and turned by the angle around the gray axis; then the distance from `MIDDLE` is
    multiplied by c, and everything by b.

    Args:
      drawn: (..., 4) float32 tensor, 0 <= drawn < 1, for brightness, contrast, saturation, hue.
      strength: 0 (no change) to 1; 0.4 is common.

    Returns:
      (..., 3, 4) float32 tensor: a matrix that is multiplied with RGB, and in the last column an
      offset that is added.
    """
    swing = strength * (2 * drawn - 1)
    brightness, contrast, saturation = tf.unstack(1 + swing[..., :3, None, None], axis=-3)
    angle = swing[..., 3, None, None] * np.float32(np.pi / 2)
    turned = tf.cos(angle) * (np.eye(3, dtype=np.float32) - _TO_GRAY.astype(np.float32))
    turned += tf.sin(angle) * _QUARTER_TURN.astype(np.float32)
    matrix = brightness * contrast * (_TO_GRAY.astype(np.float32) + saturation * turned)
    added = brightness * (1 - contrast) * MIDDLE
    return tf.concat([matrix, tf.broadcast_to(added, tf.shape(matrix[..., :1]))], axis=-1)


def place_crop(size, change, crop_size):
    """Place a crop in the scaled image; all positions are equally likely.

    The scaled height is floor(height * scale + 0.5), at least 1, and the width likewise. If it is
    smaller than the crop, the crop begins at 0 and is padded at the bottom or on the right.

    Args:
      size: (height, width) of the image in pixels.
      change: `Change` of NumPy values.
      crop_size: height and width of the crop in pixels.

    Returns:
      `Place`.
    """
    half, scaled, corner = np.float32(0.5), [], []
    for length, drawn in zip(size, change.corner, strict=True):
        # In float32 and one by one: arrays of two numbers would take several times as long.
        scaled.append(max(int(np.float32(length) * change.scale + half), 1))
        positions = max(scaled[-1] - crop_size, 0) + 1
        # If `drawn` is just below 1, the product may be rounded up to the number of positions.
        corner.append(min(int(drawn * np.float32(positions)), positions - 1))
    return Place(tuple(size), tuple(scaled), tuple(corner), bool(change.mirrored))


def needed_part(place, crop_size):
    """The rows and columns of the image that a crop is made of.

    Args:
      place: `Place`.
      crop_size: height and width of the crop in pixels.

    Returns:
      ((first row, end), (first column, end)); the ends are not included.
    """
    ranges = []
    for length, scaled, corner in zip(place.size, place.scaled, place.corner, strict=True):
        # Bilinear interpolation reads at most one pixel beyond the area that the crop covers.
        first = math.floor(corner * (length / scaled)) - 1
        end = math.ceil((corner + crop_size) * (length / scaled)) + 1
        ranges.append((max(first, 0), min(end, length)))
    return tuple(ranges)


def crop_image(image, place, colors, out, origin=(0, 0), padding=None):
    """Scale, crop and mirror an image, and change its colors.

    The image is interpolated bilinearly, with half-pixel centers as in `tf.image.resize`.

    Args:
      image: (h, w, C) uint8, RGB first; at least the part of the image that the crop shows.
      place: `Place`.
      colors: (3, 4) float32, see `random_jitter`; None leaves the colors as they are.
      out: (crop, crop, C) float32, receives the crop, values 0..255.
      origin: (row, column) in `image` of the first pixel that `place` counts from: negative if
        `image` is a part that begins later, positive if `place` is in a tile of `image`.
      padding: the color of pixels outside of the image, C levels; None: its `mean_color`.
    """
    padding = np.array(padding or mean_color(out.shape[-1]), np.float32)
    filled = kernels.resample_image(image, origin, *place, padding, out)
    if colors is not None:
        kernels.change_colors(out, *filled, place.mirrored, colors)


def crop_label(label, place, out, origin=(0, 0)):
    """Scale, crop and mirror a label map as `crop_image` does, but with the nearest pixel.

    Args:
      label: (h, w) uint8; or (h, w, n), n label maps of the image.
      place: `Place`.
      out: (crop, crop) uint8, or (crop, crop, n), receives the crop; pixels outside of the label
        map become 255.
      origin: as for `crop_image`.
    """
    if label.ndim == 3:
        part = np.empty(out.shape[:2], np.uint8)
        for index in range(label.shape[2]):
            crop_label(np.ascontiguousarray(label[..., index]), place, part, origin)
            out[..., index] = part
        return
    kernels.resample_label(label, origin, *place, VOID, out)


def crop_depth(depth, place, scale, out, origin=(0, 0)):
    """Scale, crop and mirror a depth map that is to be predicted, with the nearest pixel.

    An image that is enlarged by a factor s shows what the camera would see s times as near, so the
    depth is divided by s (Eigen et al., NIPS 2014, section 3.3).

    Args:
      depth: (h, w) float32 in meters, 0 where it is unknown.
      place: `Place`.
      scale: s, that of the `Change`.
      out: (crop, crop) float32, receives the crop; pixels outside of the depth map become 0.
      origin: as for `crop_image`.
    """
    kernels.resample_label(depth, origin, *place, np.float32(0), out)
    out /= scale


def check_augmentation(crop_size, scale_range, scale_step, jitter):
    """Check the settings of the augmentation.

    Raises:
      InputError: if one is out of its range.
    """
    low, high = scale_range
    if not 0 < low <= high or scale_step < 0:
        raise InputError(
            f"scale range {low} to {high} step {scale_step}; give 0 < low <= high and step >= 0"
        )
    if crop_size < 1:
        raise InputError(f"crop_size {crop_size}; give at least 1 pixel")
    if not 0 <= jitter <= 1:
        raise InputError(f"jitter {jitter}; give 0 (none) to 1")
