"""How messages name the function that was called, and what they advise in its caller's terms."""

from typing import NamedTuple


class Wording(NamedTuple):
    """The words of messages for callers with tensors, or with NumPy arrays.

    Args:
      function: the function that was called.
      images: the name of its argument.
      images_hold: the beginning of a sentence about their values.
      to_uint8: code that rounds values `{}` into 8 bits.
      two_classes: code that makes two probabilities from a sigmoid p.
      sigmoid: code that makes a sigmoid from scores.
      three_channels: code that repeats the channel of gray images.
      probabilities: what the probabilities are called.
    """

    function: str
    images: str
    images_hold: str
    to_uint8: str
    two_classes: str
    sigmoid: str
    three_channels: str
    probabilities: str = "probabilities"


TENSORS = Wording(
    function="dense_crf",
    images="images",
    images_hold="the images hold",
    to_uint8="tf.saturate_cast({}, tf.uint8)",
    two_classes="tf.concat([1 - p, p], axis=-1)",
    sigmoid="tf.sigmoid(scores)",
    three_channels="tf.repeat(images, 3, axis=-1)",
)
"""For `dense_crf` and `DenseCRF`."""

ARRAYS = Wording(
    function="refine",
    images="image",
    images_hold="the image holds",
    to_uint8="np.clip({}, 0, 255).astype(np.uint8)",
    two_classes="np.concatenate([1 - p, p], axis=-1)",
    sigmoid="1 / (1 + np.exp(-scores))",
    three_channels="np.repeat(image, 3, axis=-1)",
)
"""For `refine`."""
