"""Scaling of the loss for training in float16."""

import tensorflow as tf


class LossScale:
    """The factor of the loss that keeps small gradients from becoming zero in float16.

    An update whose gradients overflow float16 is skipped, and the scale is halved. After
    `growth_steps` successful updates in a row it is doubled. `TrainStep` uses it instead of Keras's
    `LossScaleOptimizer`, which under a strategy checks only one replica's gradients, and hides
    the gradients' norm, which clipping needs.

    Create it under the strategy's scope.

    Args:
      initial: the first scale, a power of two, so that dividing by it does not round.
      growth_steps: number of successful updates after which the scale is doubled.

    Attributes:
      variables: its state, for checkpoints.
    """

    def __init__(self, initial=2.0**15, growth_steps=2000):
        self._growth_steps = growth_steps
        self._scale = tf.Variable(initial, trainable=False, dtype=tf.float32, name="loss_scale")
        self._good_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="good_steps")
        self.variables = [self._scale, self._good_steps]

    @property
    def value(self):
        """The scale, a float32 tensor."""
        return tf.convert_to_tensor(self._scale)

    def update(self, finite):
        """Adjust the scale after an update; call it outside the replicas.

        Args:
          finite: bool tensor, whether all gradients were finite and were therefore applied.
        """
        good = tf.where(finite, self._good_steps + 1, 0)
        grows = good >= self._growth_steps
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self._scale.assign(self.value * factor)
        self._good_steps.assign(tf.where(grows, tf.zeros_like(good), good))
