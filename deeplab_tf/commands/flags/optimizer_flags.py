"""The flags of the optimizer and of its learning rate."""

from absl import flags

from deeplab_tf.training.optimizer import PUBLISHED_RULES, LayerwiseAdam, LayerwiseSGD
from deeplab_tf.training.schedules import Poly, StepDecay

FLAGS = flags.FLAGS

flags.DEFINE_enum("optimizer", "sgd", ["sgd", "adam"], "Paper: sgd.")
flags.DEFINE_float(
    "learning_rate",
    1e-3,
    "At step 0; paper: 1e-3 (VGG-16), 2.5e-4 (ResNet-101).",
    lower_bound=0,
)
flags.DEFINE_enum("schedule", "poly", ["poly", "step"], "Course of the rate; paper: poly.")
flags.DEFINE_float("poly_power", 0.9, "Exponent of the poly schedule; paper: 0.9.")
flags.DEFINE_integer(
    "decay_every", 2000, "Steps between drops of the step schedule; paper: 2000.", lower_bound=1
)
flags.DEFINE_float("decay_factor", 0.1, "Factor of each drop; paper: 0.1.")
flags.DEFINE_float("momentum", 0.9, "Of SGD; paper: 0.9.", lower_bound=0, upper_bound=1)
flags.DEFINE_float(
    "weight_decay", 5e-4, "L2 added to the gradient of kernels; paper: 5e-4.", lower_bound=0
)
flags.DEFINE_bool(
    "layer_rates",
    True,
    "Learning rate x10 for the classifier, x2 for biases; paper: yes. Off: all layers alike.",
)


def make_optimizer(steps, first_rules=()):
    """Make the optimizer of the flags with its schedule over `steps` updates.

    Args:
      steps: updates in all.
      first_rules: rules for variables that come before the published ones.
    """
    if FLAGS.schedule == "poly":
        schedule = Poly(FLAGS.learning_rate, steps, FLAGS.poly_power)
    else:
        schedule = StepDecay(FLAGS.learning_rate, FLAGS.decay_every, FLAGS.decay_factor)
    rules = (*first_rules, *(PUBLISHED_RULES if FLAGS.layer_rates else ()))
    settings = {"l2": FLAGS.weight_decay, "rules": rules}
    if FLAGS.optimizer == "adam":
        return LayerwiseAdam(schedule, **settings)
    return LayerwiseSGD(schedule, FLAGS.momentum, **settings)
