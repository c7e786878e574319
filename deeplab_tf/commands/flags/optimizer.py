"""The flags of the optimizer and of its learning rate."""

from deeplab_tf.commands.flags.heading import heading
from deeplab_tf.training.optimizer import PUBLISHED_RULES, LayerwiseAdam, LayerwiseSGD
from deeplab_tf.training.schedules import Poly, StepDecay


def define_optimizer_flags(values):
    """Define the flags of the optimizer and of its schedule."""
    define = heading(values, "Optimizer")
    define.enum("optimizer", "sgd", ["sgd", "adam"], "Paper: sgd.")
    define.float(
        "learning_rate",
        1e-3,
        "Learning rate at the first step; paper: 1e-3 (VGG-16), 2.5e-4 (ResNet-101).",
        lower_bound=0,
    )
    define.enum(
        "schedule", "poly", ["poly", "step"], "How the learning rate falls; paper (v2): poly."
    )
    define.float("poly_power", 0.9, "poly: the exponent; paper: 0.9.")
    define.integer(
        "decay_every", 2000, "step: number of steps between two drops; paper: 2000.", lower_bound=1
    )
    define.float("decay_factor", 0.1, "step: factor of each drop; paper: 0.1.")
    define.float("momentum", 0.9, "Momentum of SGD; paper: 0.9.", lower_bound=0, upper_bound=1)
    define.float(
        "weight_decay",
        5e-4,
        "L2 penalty, added to the gradient of the kernels; paper: 5e-4.",
        lower_bound=0,
    )
    define.bool(
        "layer_rates",
        True,
        "Train the classifier with 10 times the learning rate and biases with twice; paper: yes.",
    )


def make_optimizer(flags, first_rules=()):
    """Make the optimizer of the flags, with its schedule over --steps updates.

    Args:
      flags: the parsed flags.
      first_rules: rules for single variables that take precedence over the published ones.
    """
    if flags.schedule == "poly":
        schedule = Poly(flags.learning_rate, flags.steps, flags.poly_power)
    else:
        schedule = StepDecay(flags.learning_rate, flags.decay_every, flags.decay_factor)
    rules = (*first_rules, *(PUBLISHED_RULES if flags.layer_rates else ()))
    settings = {"l2": flags.weight_decay, "rules": rules}
    if flags.optimizer == "adam":
        return LayerwiseAdam(schedule, **settings)
    return LayerwiseSGD(schedule, flags.momentum, **settings)
