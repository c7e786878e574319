"""SGD and Adam with coupled L2 and a learning-rate multiplier for every variable.

A rule is a triple (regular expression, learning-rate multiplier, decay multiplier). The first
rule whose expression matches anywhere in a variable's path ("fc8/kernel") applies.
"""

import re

import keras
import tensorflow as tf

PUBLISHED_RULES = (
    (r"(^|/)fc8[^/]*/bias$", 20.0, 0.0),
    (r"(^|/)fc8[^/]*/", 10.0, 1.0),
    (r"(^|/)bias$", 2.0, 0.0),
)
"""The authors' rules: new classifiers (layers named fc8...) learn ten times as fast as the
pretrained weights, biases twice as fast as their kernels, and biases do not decay."""


def multipliers(variable, rules):
    """Find a variable's multipliers; the first rule that matches wins.

    If no rule matches, the learning rate is unchanged, and only variables of more than one axis
    decay: kernels, but not biases or the scales of normalizations.

    Args:
      variable: a `keras.Variable` (its `path` and `shape` are read).
      rules: sequence of (regular expression, learning-rate multiplier, decay multiplier).

    Returns:
      The learning-rate multiplier and the decay multiplier, two floats.
    """
    for pattern, rate, decay in rules:
        if re.search(pattern, variable.path):
            return float(rate), float(decay)
    return 1.0, float(len(variable.shape) > 1)


def _number_variables(variables):
    """Number the `tf.Variable`s that `update_step` will receive, as in the list of variables.

    Under a strategy a variable has a part on every device, and `update_step` receives the parts.
    """
    parts_of = tf.distribute.get_strategy().experimental_local_results
    return {
        part.ref(): number
        for number, variable in enumerate(variables)
        for part in (variable.value, *parts_of(variable.value))
    }


class _LayerwiseRules:
    """Gives a Keras optimizer coupled L2 and the rules; mixed in before the optimizer."""

    def __init__(self, *args, l2, rules, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = float(l2)
        self.rules = tuple((pattern, rate, decay) for pattern, rate, decay in rules)

    def build(self, variables):
        """Create the slots and look up every variable's multipliers."""
        super().build(variables)
        # Looked up here because update_step receives a tf.Variable, which has no path.
        self._multipliers = [multipliers(variable, self.rules) for variable in variables]
        self._numbers = _number_variables(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable: its L2 is added to the gradient, its rate multiplied."""
        rate, decay = self._multipliers[self._numbers[variable.ref()]]
        if self.l2 * decay:
            gradient = gradient + self.l2 * decay * variable
        super().update_step(gradient, variable, learning_rate * rate)

    def get_config(self):
        """The arguments of the constructor."""
        rules = [list(rule) for rule in self.rules]
        return {**super().get_config(), "l2": self.l2, "rules": rules}


class _MomentumSGD(keras.optimizers.SGD):
    """Keras's SGD with momentum, updating in one pass over the memory instead of four."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one `tf.Variable` and its velocity."""
        if not self.momentum or self.nesterov:
            super().update_step(gradient, variable, learning_rate)
            return
        velocity = self.momentums[self._numbers[variable.ref()]].value
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=self.momentum,
        )


@keras.saving.register_keras_serializable(package="deeplab_tf")
class LayerwiseSGD(_LayerwiseRules, _MomentumSGD):
    """SGD with momentum as the authors' framework computes it.

    v = momentum * v + rate * multiplier * (gradient + l2 * decay multiplier * w); w = w - v.

    Keras's own `weight_decay` is not used, because it changes the weights directly instead of
    passing through the momentum.

    Args:
      learning_rate: a float or a Keras schedule.
      momentum: 0.9 in the papers.
      l2: weight decay, added to the gradient; 5e-4 in the papers.
      rules: (expression, learning-rate multiplier, decay multiplier), see the top of this file.

    Example:
      >>> LayerwiseSGD(Poly(1e-3, total_steps=20_000), rules=PUBLISHED_RULES)
    """

    def __init__(self, learning_rate=1e-3, momentum=0.9, l2=5e-4, rules=PUBLISHED_RULES, **kwargs):
        super().__init__(learning_rate, float(momentum), l2=l2, rules=rules, **kwargs)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class LayerwiseAdam(_LayerwiseRules, keras.optimizers.Adam):
    """Adam with the same L2 term and rules; not in the papers, for training from random weights.

    Args:
      learning_rate: a float or a Keras schedule.
      l2: weight decay, added to the gradient before the moments are computed.
      rules: as for `LayerwiseSGD`; none by default.
    """

    def __init__(self, learning_rate=1e-3, l2=0.0, rules=(), **kwargs):
        super().__init__(learning_rate, l2=l2, rules=rules, **kwargs)
