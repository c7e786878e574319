"""Random changes of an image and its label map, drawn from a seed that the example carries.

Each function returns an operation on one dict
`{"image": float32 (H, W, 3), "label": uint8 (H, W), "seed": integer (2,)}`; other keys pass
unchanged. The same seed gives the same change. All work eagerly and inside tf.data:

    dataset.map(random_scale(0.5, 1.5)).map(random_jitter(0.4))
    dataset.map(random_crop(321)).map(random_mirror())

`training_batches` gives the same crops for the same seeds, without making what they leave out.
"""

import tensorflow as tf

from deeplab_tf.data.jitter import color_change
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB, VOID

# Which of a seed's random numbers each operation takes.
_SCALE, _CROP, _MIRROR, _JITTER = 0, slice(1, 3), 3, slice(4, 8)
DRAWS = 8


def draw(seed):
    """All the random numbers of one example, of which each operation takes its own.

    Args:
      seed: (2,) integer tensor.

    Returns:
      (DRAWS,) float32 tensor of numbers from 0 to below 1.
    """
    return tf.random.stateless_uniform((DRAWS,), seed)


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
    check_scale(low, high, step)

    def apply(example):
        factor = scale_factor(draw(example["seed"]), low, high, step)
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
    check_crop_size(crop_size)

    def apply(example):
        image, label = _pad(example["image"], example["label"], crop_size)
        positions = tf.shape(label) - crop_size + 1
        drawn = corner_draws(draw(example["seed"])) * tf.cast(positions, tf.float32)
        # The product of a number just below 1 may be rounded up to the number of positions.
        rows, columns = tf.unstack(tf.minimum(tf.cast(drawn, tf.int32), positions - 1))
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
        image, label = example["image"], example["label"]
        mirrored = is_mirrored(draw(example["seed"]))
        return {
            **example,
            "image": tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image),
            "label": tf.cond(mirrored, lambda: tf.reverse(label, [1]), lambda: label),
        }

    return apply


def random_jitter(strength):
    """Change brightness, contrast, saturation and hue, each by a drawn amount.

    It belongs before `random_crop`, so that padding keeps its colour. See `color_change` for what
    the change is; values stay within 0..255.

    Args:
      strength: 0 changes nothing, 1 as much as possible; 0.4 is common.

    Raises:
      InputError: where `strength` is not within 0..1.
    """
    check_jitter(strength)

    def apply(example):
        change = jitter_change(draw(example["seed"]), strength)
        image = tf.tensordot(example["image"], change[:, :3], [[2], [1]]) + change[:, 3]
        return {**example, "image": tf.clip_by_value(image, 0, 255)}

    return apply


def scale_factor(drawn, low, high, step):
    """The factor that `random_scale` takes.

    Args:
      drawn: (..., DRAWS) float32 tensor of `draw`.
      low, high, step: as for `random_scale`.

    Returns:
      (...) float32 tensor.
    """
    if step == 0:
        return low + (high - low) * drawn[..., _SCALE]
    # A hair more than the quotient: (1.5 - 0.5) / 0.1 must count as 10 steps.
    count = int((high - low) / step + 1e-6) + 1
    return low + step * tf.minimum(tf.floor(drawn[..., _SCALE] * count), count - 1)


def corner_draws(drawn):
    """The two numbers 0..1 by which `random_crop` picks a row and a column."""
    return drawn[..., _CROP]


def is_mirrored(drawn):
    """Whether `random_mirror` swaps left and right."""
    return drawn[..., _MIRROR] < 0.5


def jitter_change(drawn, strength):
    """The change (..., 3, 4) of colours that `random_jitter` makes; see `color_change`."""
    return color_change(drawn[..., _JITTER], strength)


def check_scale(low, high, step):
    """Raise `InputError` where there are no such scale factors."""
    if not 0 < low <= high or step < 0:
        raise InputError(
            f"scale range {low} to {high} step {step}; give 0 < low <= high and step >= 0"
        )


def check_crop_size(crop_size):
    """Raise `InputError` where there is no such crop."""
    if crop_size < 1:
        raise InputError(f"crop_size {crop_size}; give at least 1 pixel")


def check_jitter(strength):
    """Raise `InputError` where there is no such jitter."""
    if not 0 <= strength <= 1:
        raise InputError(f"jitter {strength}; give 0 (none) to 1")


def _pad(image, label, crop_size):
    missing = tf.maximum(crop_size - tf.shape(label), 0)
    label = tf.pad(label, [[0, missing[0]], [0, missing[1]]], constant_values=VOID)
    # tf.pad knows one number alone, not a colour.
    height, width = tf.unstack(tf.shape(image)[:2])
    below = tf.broadcast_to(MEAN_RGB, [missing[0], width, 3])
    image = tf.concat([image, below], axis=0)
    right = tf.broadcast_to(MEAN_RGB, [height + missing[0], missing[1], 3])
    return tf.concat([image, right], axis=1), label
