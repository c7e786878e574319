"""Assertions on the images of a request, whose messages a client of the server reads."""

import tensorflow as tf


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
