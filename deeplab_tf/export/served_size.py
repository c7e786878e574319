"""Large images in a graph: scored at a reduced size, as `segment` does with `max_side`."""

import tensorflow as tf

from deeplab_tf.export.graph import most_probable


def shrink_images(images, max_side):
    """Reduce images whose longer side has more than `max_side` pixels, as `shrink` does.

    Args:
      images: (B, H, W, channels) float32.
      max_side: in pixels; None: no limit.

    Returns:
      (B, h, w, channels) float32; reduced ones have whole levels.
    """
    if max_side is None:
        return images
    # In float64 the quotients are those of `limited_size`.
    size = tf.cast(tf.shape(images)[1:3], tf.float64)
    longest = tf.reduce_max(size)
    small = tf.maximum(1, tf.cast(tf.round(size * max_side / longest), tf.int32))
    return tf.cond(
        longest > max_side,
        lambda: tf.round(tf.raw_ops.ResizeArea(images=images, size=small)),
        lambda: images,
    )


def enlarge_probabilities(probabilities, images, max_side):
    """Interpolate probabilities of reduced images to the size of the images.

    Args:
      probabilities: (B, h, w, C) float32.
      images: (B, H, W, channels), before the reduction.
      max_side: that of `shrink_images`.

    Returns:
      (B, H, W, C) float32.
    """
    if max_side is None:
        return probabilities
    return _resized(probabilities, tf.shape(images)[1:3])


def most_probable_at(probabilities, images, max_side):
    """The most probable classes at the size of the images.

    Interpolated one class at a time: probabilities of large photographs take gigabytes. The
    arguments are those of `enlarge_probabilities`.

    Returns:
      (B, H, W) uint8.
    """
    if max_side is None:
        return most_probable(probabilities)
    size = tf.shape(images)[1:3]

    def compare(index, labels, highest):
        plane = _resized(probabilities[..., index : index + 1], size)[..., 0]
        labels = tf.where(plane > highest, tf.cast(index, tf.uint8), labels)
        return [index + 1, labels, tf.maximum(plane, highest)]

    shape = tf.shape(images)[:3]
    start = [tf.constant(0), tf.zeros(shape, tf.uint8), tf.fill(shape, -1.0)]
    classes = probabilities.shape[-1]
    shapes = [tf.TensorShape(size) for size in ([], [None] * 3, [None] * 3)]
    return tf.while_loop(lambda index, *_: index < classes, compare, start, shapes)[1]


def _resized(values, size):
    return tf.raw_ops.ResizeBilinear(images=values, size=size, half_pixel_centers=True)
