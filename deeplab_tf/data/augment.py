"""Random changes of an image and its label map, drawn from a seed that the example carries.

Each function returns an operation on one dict
`{"image": float32 (H, W, 3), "label": uint8 (H, W), "seed": int32 (2,)}`; other keys pass
unchanged. The same seed gives the same change. All work eagerly and inside tf.data:

    dataset.map(random_scale(0.5, 1.5)).map(random_crop(321)).map(random_mirror())
"""

import tensorflow as tf

from deeplab_tf.data.labels import VOID
from deeplab_tf.errors import InputError

# Mean colour of the ImageNet images, RGB 0..255; the published systems subtract it, so that
# padding with it is padding with zeros.
MEAN_RGB = (122.675, 116.669, 104.008)

# What each operation folds into the seed, so that their draws are independent.
_SCALE, _CROP, _MIRROR = 1, 2, 3


def random_scale(low, high, step=0.0):
    """Resize by a factor drawn uniformly from `low` to `high`.

    The new height is floor(height * factor + 0.5), at least 1, and the width likewise. The
    image is interpolated bilinearly, the label takes the nearest pixel; both align the pixel
    centres of the same grid.

    Args:
      low: smallest factor, above 0.
      high: largest factor.
      step: where above 0, the factor is one of low, low + step, ... up to `high`, all equally
        likely; the authors' release has 0.5, 0.75, 1, 1.25, 1.5.

    Raises:
      InputError: where `low` is not above 0, `high` is below `low`, or `step` is negative.
    """
    if not 0 < low <= high or step < 0:
        raise InputError(
            f"scale range {low} to {high} step {step}; give 0 < low <= high and step >= 0"
        )

    def apply(example):
        factor = _draw_factor(_seed(example, _SCALE), low, high, step)
        size = tf.cast(tf.shape(example["label"]), tf.float32)
        size = tf.maximum(tf.cast(tf.floor(size * factor + 0.5), tf.int32), 1)
        label = tf.image.resize(example["label"][..., None], size, method="nearest")
        return {
            **example,
            "image": tf.image.resize(example["image"], size, method="bilinear"),
            "label": label[..., 0],
        }

    return apply


def random_crop(crop_size):
    """Cut out a square, all positions equally likely.

    Where the image is smaller, it is first padded at the bottom and the right: the image with
    `MEAN_RGB`, the label with 255.

    Args:
      crop_size: height and width of the square in pixels.

    Raises:
      InputError: where `crop_size` is below 1.
    """
    if crop_size < 1:
        raise InputError(f"crop_size {crop_size}; give at least 1 pixel")

    def apply(example):
        image, label = _pad(example["image"], example["label"], crop_size)
        rows, columns = _draw_corner(_seed(example, _CROP), tf.shape(label) - crop_size + 1)
        image = image[rows : rows + crop_size, columns : columns + crop_size]
        label = label[rows : rows + crop_size, columns : columns + crop_size]
        return {
            **example,
            "image": tf.ensure_shape(image, (crop_size, crop_size, 3)),
            "label": tf.ensure_shape(label, (crop_size, crop_size)),
        }

    return apply


def random_mirror():
    """Swap left and right with probability one half."""

    def apply(example):
        drawn = tf.random.stateless_uniform((), _seed(example, _MIRROR))
        image, label = example["image"], example["label"]
        mirrored = drawn < 0.5
        return {
            **example,
            "image": tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image),
            "label": tf.cond(mirrored, lambda: tf.reverse(label, [1]), lambda: label),
        }

    return apply


def _seed(example, operation):
    return tf.random.experimental.stateless_fold_in(example["seed"], operation)


def _draw_factor(seed, low, high, step):
    if step == 0:
        # The bounds may be equal, which the op's own bounds may not.
        return low + (high - low) * tf.random.stateless_uniform((), seed)
    # A hair more than the quotient: (1.5 - 0.5) / 0.1 must count as 10 steps.
    count = int((high - low) / step + 1e-6) + 1
    drawn = tf.random.stateless_uniform((), seed, 0, count, tf.int32)
    return low + step * tf.cast(drawn, tf.float32)


def _pad(image, label, crop_size):
    missing = tf.maximum(crop_size - tf.shape(label), 0)
    label = tf.pad(label, [[0, missing[0]], [0, missing[1]]], constant_values=VOID)
    # tf.pad knows one number alone, not a colour.
    height, width = tf.unstack(tf.shape(image)[:2])
    below = tf.broadcast_to(MEAN_RGB, [missing[0], width, 3])
    image = tf.concat([image, below], axis=0)
    right = tf.broadcast_to(MEAN_RGB, [height + missing[0], missing[1], 3])
    return tf.concat([image, right], axis=1), label


def _draw_corner(seed, positions):
    # stateless_uniform takes one bound for all: draw each axis with its own.
    seeds = tf.random.split(seed, 2)
    drawn = [
        tf.random.stateless_uniform((), seeds[axis], 0, positions[axis], tf.int32)
        for axis in range(2)
    ]
    return drawn[0], drawn[1]
