"""Reading a list of scales from a flag."""

from deeplab_tf.errors import InputError


def read_scales(words):
    """The scales of a list flag as a tuple of floats.

    Args:
      words: what the flag --scales holds, a list of strings.

    Raises:
      InputError: where they are no numbers above 0.
    """
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        raise InputError(f"--scales={','.join(words)}; give numbers above 0: 1,0.75,0.5")
    return values
