"""Reads a list of scales, such as that of --scales."""

from deeplab_tf.errors import InputError


def read_scales(flags, name="scales"):
    """The scales of a flag as a tuple of floats; `InputError` unless all are above 0.

    Args:
      flags: the parsed flags.
      name: of the flag.
    """
    try:
        values = tuple(float(word) for word in flags[name].value)
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        text = ",".join(flags[name].value)
        raise InputError(f"--{name}={text}; give numbers above 0, such as --{name}=1,0.75,0.5")
    return values
