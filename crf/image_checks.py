"""Checks of the values of images; what an error or a warning advises depends on the values."""

import sys
import warnings

import numpy as np
import tensorflow as tf

_CONVERT = "convert the result with tf.saturate_cast(..., tf.uint8)"
_BITS = {12: 16, 16: 257}  # bits of each value: what to divide by

_ONLY_0_AND_1 = (
    "dense_crf: the images hold only the values 0 and 1. If they were scaled to 0 to 1 before they "
    "became uint8, multiply by 255 first; if they really are almost black, ignore this"
)


def type_remedy(images):
    """What to do about images that are not uint8: one phrase for an error message.

    Args:
      images: tensor of another type. Inside a graph its values are usually unknown, so only its
        type decides.
    """
    values = tf.get_static_value(images)
    is_number = images.dtype.is_floating or images.dtype.is_integer or images.dtype.is_bool
    if values is None or not values.size or not is_number:
        return _remedy_for_type(images.dtype)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        return "and they hold NaN or infinite values; check what computed them"
    low, high = values.min(), values.max()
    found = f"their values are from {low:g} to {high:g}"
    return f"{found}; {_remedy_for_values(low, high, images.dtype.is_floating)}"


def _remedy_for_type(dtype):
    if dtype.is_floating:
        undo = "undo any scaling (0 to 1: multiply by 255) or normalization"
        return f'{undo} and {_CONVERT}; a keras.Input needs dtype="uint8"'
    scales = ", ".join(f"{bits} bits: divide by {factor}" for bits, factor in _BITS.items())
    return f"scale the values to 0 to 255 ({scales}) and {_CONVERT}"


def _remedy_for_values(low, high, is_floating):
    # Resizing with cubic interpolation reaches beyond the range by up to a fifth of it.
    beyond = 0.2 if is_floating else 0
    if -beyond <= low and 0 < high <= 1 + beyond:
        return f"scaled to 0 to 1, so multiply by 255 and {_CONVERT}"
    if -1 - 2 * beyond <= low < 0 and high <= 1 + 2 * beyond:
        return f"scaled to -1 to 1, so add 1, multiply by 127.5 and {_CONVERT}"
    if -255 * beyond <= low and high <= 255 * (1 + beyond) and (low >= 0 or high > 20):
        return "convert them with tf.saturate_cast(images, tf.uint8)"
    if low < 0:
        undo = "multiply by the standard deviation and add the mean"
        return f"normalized, so give the images as they were before, or {undo} and {_CONVERT}"
    for bits, factor in _BITS.items():
        if high < 2**bits:
            return f"{bits} bits, so divide by {factor} and {_CONVERT}"
    return f"scale them to 0 to 255 and {_CONVERT}"


def channel_remedy(channels):
    """What to do about images with a number of channels other than 3: the end of a message."""
    if channels == 1:
        return (
            "; for gray images, tf.repeat(images, 3, axis=-1), and a sigma_beta in gray levels "
            "times 1.73, because colors of three equal channels are sqrt(3) times as far apart"
        )
    return "; drop the alpha channel: images[..., :3]" if channels == 4 else ""


def warn_of_zeros_and_ones(images):
    """Warn if uint8 images hold only the values 0 and 1, and both of them.

    An error would refuse the almost black images that fades in a video have. Inside a graph, the
    warning is printed when it runs.

    Args:
      images: (B, H, W, 3) uint8 tensor.

    Returns:
      The images. In a graph, computing them prints the warning.
    """
    if tf.executing_eagerly():
        values = np.asarray(images)
        if values.max() == 1 and values.min() == 0:
            warnings.warn(_ONLY_0_AND_1, stacklevel=3)
        return images

    def print_warning():
        with tf.control_dependencies([tf.print(_ONLY_0_AND_1, output_stream=sys.stderr)]):
            return tf.constant(True)

    suspect = tf.logical_and(tf.reduce_max(images) == 1, tf.reduce_min(images) == 0)
    with tf.control_dependencies([tf.cond(suspect, print_warning, lambda: tf.constant(False))]):
        return tf.identity(images)
