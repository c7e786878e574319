"""Reads the list of scales in --scales."""

from deeplab_tf.errors import InputError


def read_scales(flags):
    """The scales of --scales as a tuple of floats; `InputError` unless all are above 0."""
    try:
        values = tuple(float(word) for word in flags.scales)
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        text = ",".join(flags.scales)
        raise InputError(f"--scales={text}; give numbers above 0, such as --scales=1,0.75,0.5")
    return values
