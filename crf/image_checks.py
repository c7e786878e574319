"""Checks of the values of images; what an error or a warning advises depends on the values."""

import warnings

import numpy as np

_BITS = {12: 16, 16: 257}  # bits of each value: what to divide by


def zeros_and_ones(words):
    """The warning about images that hold only the values 0 and 1."""
    return (
        f"{words.function}: {words.images_hold} only the values 0 and 1. If they were scaled to 0 "
        "to 1 before they became uint8, multiply by 255 first; if they really are almost black, "
        "ignore this"
    )


def warn_of_zeros_and_ones(images, words):
    """Warn if uint8 images hold only the values 0 and 1, and both of them.

    An error would refuse the almost black images that fades in a video have.
    """
    if images.max() == 1 and images.min() == 0:
        warnings.warn(zeros_and_ones(words), stacklevel=4)


def type_remedy(values, is_floating, words):
    """What to do about images that are not uint8: one phrase for an error message.

    Args:
      values: array of the images' numbers; None if they are unknown or no numbers, so that only
        their type decides.
      is_floating: whether the type is floating, not of integers or booleans.
      words: `Wording` of the remedy.
    """
    convert = f"convert the result with {words.to_uint8.format('...')}"
    if values is None or not values.size:
        return _remedy_for_type(is_floating, convert)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        return "and they hold NaN or infinite values; check what computed them"
    low, high = values.min(), values.max()
    found = f"their values are from {low:g} to {high:g}"
    return f"{found}; {_remedy_for_values(low, high, is_floating, convert, words)}"


def _remedy_for_type(is_floating, convert):
    if is_floating:
        undo = "undo any scaling (0 to 1: multiply by 255) or normalization"
        return f'{undo} and {convert}; a keras.Input needs dtype="uint8"'
    scales = ", ".join(f"{bits} bits: divide by {factor}" for bits, factor in _BITS.items())
    return f"scale the values to 0 to 255 ({scales}) and {convert}"


def _remedy_for_values(low, high, is_floating, convert, words):
    # Resizing with cubic interpolation reaches beyond the range by up to a fifth of it.
    beyond = 0.2 if is_floating else 0
    if -beyond <= low and 0 < high <= 1 + beyond:
        return f"scaled to 0 to 1, so multiply by 255 and {convert}"
    if -1 - 2 * beyond <= low < 0 and high <= 1 + 2 * beyond:
        return f"scaled to -1 to 1, so add 1, multiply by 127.5 and {convert}"
    if -255 * beyond <= low and high <= 255 * (1 + beyond) and (low >= 0 or high > 20):
        return f"convert them with {words.to_uint8.format(words.images)}"
    if low < 0:
        undo = "multiply by the standard deviation and add the mean"
        return f"normalized, so give the images as they were before, or {undo} and {convert}"
    for bits, factor in _BITS.items():
        if high < 2**bits:
            return f"{bits} bits, so divide by {factor} and {convert}"
    return f"scale them to 0 to 255 and {convert}"


def channel_remedy(channels, words):
    """What to do about images with a number of channels other than 3: the end of a message."""
    if channels == 1:
        return (
            f"; for gray images, {words.three_channels}, and a sigma_beta in gray levels "
            "times 1.73, because colors of three equal channels are sqrt(3) times as far apart"
        )
    return f"; drop the alpha channel: {words.images}[..., :3]" if channels == 4 else ""
