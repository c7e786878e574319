"""Training in 16 bits while what is kept stays float32."""

import tensorflow as tf


class LossScale:
    """What the loss is multiplied with, so that small gradients are not zero in float16.

    It is halved after an update whose gradients are too large for float16, which is left out,
    and doubled after `growth_steps` updates in a row that were made. `TrainStep` uses it in the
    place of Keras's `LossScaleOptimizer`, which under a strategy looks at one replica's
    gradients alone, and hides the norm of the gradients, by which they are clipped.

    Create it under the strategy's scope.

    Args:
      initial: the first scale, a power of two: division by it does not round.
      growth_steps: updates until it is doubled.

    Attributes:
      variables: what a checkpoint holds.
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
        """Take note of an update, outside of the replicas.

        Args:
          finite: bool tensor, whether its gradients were finite and it was made.
        """
        good = tf.where(finite, self._good_steps + 1, 0)
        grows = good >= self._growth_steps
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self._scale.assign(self.value * factor)
        self._good_steps.assign(tf.where(grows, tf.zeros_like(good), good))
