"""Batch normalization in training by one operation; Keras takes a pass over the maps for each step.

Keras computes mean, differences, squares, their mean, and the result one after the other, and each
has a gradient of its own.
"""

import tensorflow as tf

from deeplab_tf.models.atrous_layers import runs_on_cpu


def is_supported(layer):
    """Whether `train_batch_norm` can compute a `keras.layers.BatchNormalization`, faster."""
    return (
        layer.axis in (-1, 3)
        and not layer.synchronized  # that takes the statistics of all devices
        and not getattr(layer, "renorm", False)  # which older versions of Keras do not have
        and layer.compute_dtype in ("float32", "bfloat16")  # that TensorFlow has on CPUs
        and runs_on_cpu()
    )


def train_batch_norm(layer, x):
    """Normalize by the batch's statistics and update the layer's moving ones, up to rounding.

    Args:
      layer: a built `keras.layers.BatchNormalization`.
      x: (B, H, W, C) floats.

    Returns:
      (B, H, W, C) in the layer's compute dtype.
    """
    channels = layer.moving_mean.shape
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.cast(x, layer.compute_dtype),
        scale=tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones(channels),
        offset=tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros(channels),
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The operation divides by N - 1 in place of N in the variance that it returns.
    count = tf.cast(tf.size(x) // channels[0], variance.dtype)
    variance *= tf.maximum(count - 1, 1) / count
    for moving, found in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        found = tf.cast(found, moving.dtype)
        moving.assign(moving * layer.momentum + found * (1 - layer.momentum))
    return y
