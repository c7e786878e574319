"""Learning rates as pure functions of the step, and the Keras schedules around them."""

import keras
from keras import ops


def poly(step, base, total_steps, power=0.9):
    """Learning rate that falls as a power of the remaining share of training.

    `base * (1 - step / total_steps) ** power`, and 0 from `total_steps` on. The paper's Table 1
    compares it with the step policy; it uses power 0.9.

    Args:
      step: number of updates made so far, an integer or an integer tensor.
      base: learning rate of step 0.
      total_steps: number of updates of the whole training.
      power: exponent; 1 makes a straight line.

    Returns:
      A float32 tensor of `step`'s shape.

    Example:
      >>> float(poly(10_000, base=1e-3, total_steps=20_000, power=1.0))  # 5e-4
    """
    left = 1.0 - ops.cast(step, "float32") / total_steps
    return base * ops.maximum(left, 0.0) ** power


def step_decay(step, base, every, factor=0.1):
    """Learning rate that is multiplied by `factor` after every `every` updates.

    `base * factor ** floor(step / every)`; DeepLab v1 used 0.1 every 2,000 updates.

    Args:
      step: number of updates made so far, an integer or an integer tensor.
      base: learning rate of the first `every` updates.
      every: number of updates between two drops.
      factor: factor of the rate at each drop.

    Returns:
      A float32 tensor of `step`'s shape.
    """
    drops = ops.cast(ops.cast(step, "int64") // every, "float32")
    return base * ops.convert_to_tensor(factor, "float32") ** drops


@keras.saving.register_keras_serializable(package="deeplab_tf")
class Poly(keras.optimizers.schedules.LearningRateSchedule):
    """The papers' "poly" policy as a Keras schedule.

    The learning rate is `base * (1 - step / total_steps) ** power`, and 0 from `total_steps` on.

    Args:
      base: learning rate of the first update.
      total_steps: number of updates in the training.
      power: how early the rate falls; 0.9 in DeepLab v2.
    """

    def __init__(self, base, total_steps, power=0.9):
        self.base, self.total_steps, self.power = base, total_steps, power

    def __call__(self, step):
        """The learning rate at a step."""
        return poly(step, self.base, self.total_steps, self.power)

    def get_config(self):
        """The arguments of the constructor."""
        return {"base": self.base, "total_steps": self.total_steps, "power": self.power}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The "step" policy as a Keras schedule.

    The learning rate is `base * factor ** floor(step / every)`; DeepLab v1 used 0.1 every 2,000
    updates.

    Args:
      base: learning rate of the first `every` updates.
      every: number of updates between two drops.
      factor: factor of the rate at each drop.
    """

    def __init__(self, base, every, factor=0.1):
        self.base, self.every, self.factor = base, every, factor

    def __call__(self, step):
        """The learning rate at a step."""
        return step_decay(step, self.base, self.every, self.factor)

    def get_config(self):
        """The arguments of the constructor."""
        return {"base": self.base, "every": self.every, "factor": self.factor}
