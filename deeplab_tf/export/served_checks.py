"""What a server refuses: assertions whose messages its clients read, and their limits."""

import tensorflow as tf

from deeplab_tf.errors import InputError


def check_limits(limits, image_size=None):
    """Raise `InputError` if images cannot be limited like this.

    Args:
      limits: dict of `max_pixels` and `max_side`, see `build_signatures`.
      image_size: (height, width) in pixels of the only images that are taken; None: any.
    """
    for name, value in limits.items():
        if value is not None and value < 1:
            raise InputError(f"{name} {value}; give a number of pixels, or None")
        if value is not None and image_size is not None:
            raise InputError(f"{name} {value} has no effect with image_size; give one of them")


def assertion(condition, text, *values):
    """An assertion with a message that holds values.

    Args:
      condition: bool tensor ().
      text: the message, with {} for each value.
      values: tensors.
    """
    return tf.debugging.Assert(condition, [tf.strings.format(text, values)])


def check_sizes(images, max_pixels=None):
    """The images, after assertions that there are some and that none is too large.

    Args:
      images: (B, H, W, channels).
      max_pixels: largest number of pixels of an image; None: no limit.
    """
    shape = tf.shape(images)
    checks = [
        assertion(
            tf.reduce_all(shape > 0), "images of shape {} are empty; send at least one image", shape
        )
    ]
    if max_pixels is not None:
        text = f"images of {{}}x{{}} pixels, but at most {max_pixels} pixels are taken; reduce them"
        pixels = tf.reduce_prod(tf.cast(shape[1:3], tf.int64))
        checks.append(assertion(pixels <= max_pixels, text, shape[2], shape[1]))
    with tf.control_dependencies(checks):
        return tf.identity(images)


def check_levels(images):
    """The images, after an assertion that their values can be levels from 0 to 255.

    NaN, infinite values and those that would round to other levels are refused; so are images that
    have been divided by 255: all values are at most 1, and not all are whole numbers.

    Args:
      images: (B, H, W, channels) float32.
    """
    axes = [1, 2, 3]
    least, largest = tf.reduce_min(images, axes), tf.reduce_max(images, axes)
    finite = tf.reduce_all(tf.math.is_finite(images), axes)
    whole = tf.reduce_all(images == tf.round(images), axes)
    in_range = (least >= -0.5) & (largest <= 255.5)
    first = tf.argmin(tf.cast(finite & in_range & (whole | (largest > 1)), tf.int32))
    problem = tf.where(
        finite[first],
        tf.strings.format("values from {} to {}", (least[first], largest[first])),
        "NaN or infinite values",
    )
    remedy = "; send RGB levels from 0 to 255, not divided, and without subtracting a mean"
    message = tf.strings.join(["images[", tf.strings.as_string(first), "] holds ", problem, remedy])
    good = tf.reduce_all(finite & in_range & (whole | (largest > 1)))
    with tf.control_dependencies([tf.debugging.Assert(good, [message])]):
        return tf.identity(images)
