import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.training.optimizer import (
    PUBLISHED_RULES,
    LayerwiseAdam,
    LayerwiseSGD,
    multipliers,
)
from deeplab_tf.training.schedules import Poly


def small_model():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.DepthwiseConv2D(1, name="depthwise")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    branches = [keras.layers.Conv2D(2, 1, name=name)(x) for name in ("fc8", "fc8_rate6")]
    return keras.Model(inputs, keras.layers.Add()(branches))


def published(model):
    return {v.path: multipliers(v, PUBLISHED_RULES) for v in model.trainable_variables}


def test_published_rules_on_a_model():
    assert published(small_model()) == {
        "depthwise/kernel": (1, 1),
        "depthwise/bias": (2, 0),
        "bn/gamma": (1, 0),
        "bn/beta": (1, 0),
        "fc8/kernel": (10, 1),
        "fc8/bias": (20, 0),
        "fc8_rate6/kernel": (10, 1),
        "fc8_rate6/bias": (20, 0),
    }


def test_rules_see_nested_models_and_not_names_that_only_contain_fc8():
    inner = small_model()
    inner.name = "inner"
    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Conv2D(1, 1, name="notfc8")(inner(inputs))
    found = published(keras.Model(inputs, outputs))
    assert found["fc8/bias"] == (20, 0)
    assert found["notfc8/kernel"] == (1, 1)
    assert found["notfc8/bias"] == (2, 0)


def test_first_matching_rule_wins():
    kernel = small_model().get_layer("fc8").kernel
    assert multipliers(kernel, [("fc", 3, 4), ("kernel", 5, 6)]) == (3, 4)
    assert multipliers(kernel, [("kernel", 5, 6), ("fc", 3, 4)]) == (5, 6)
    assert multipliers(kernel, [("bias", 5, 6)]) == (1, 1)


def variable_of(layer, kind, value):
    with keras.name_scope(layer):
        return keras.Variable(value, name=kind)


def test_sgd_by_hand_two_steps():
    # v = 0.5 v + rate * multiplier * (g + 0.1 w)
    kernel = variable_of("fc8", "kernel", [[2.0]])
    bias = variable_of("fc8", "bias", [2.0])
    other = variable_of("conv", "kernel", [[2.0]])
    optimizer = LayerwiseSGD(0.01, momentum=0.5, l2=0.1)
    optimizer.build([kernel, bias, other])
    gradients = [tf.constant([[1.0]]), tf.constant([1.0]), tf.constant([[1.0]])]
    optimizer.apply(gradients)
    # kernel: v = 0.1 * (1 + 0.2); bias: v = 0.2 * 1; other: v = 0.01 * 1.2
    np.testing.assert_allclose(kernel, [[2 - 0.12]], rtol=1e-6)
    np.testing.assert_allclose(bias, [2 - 0.2], rtol=1e-6)
    np.testing.assert_allclose(other, [[2 - 0.012]], rtol=1e-6)
    optimizer.apply(gradients)
    np.testing.assert_allclose(kernel, [[1.88 - (0.06 + 0.1 * 1.188)]], rtol=1e-6)
    np.testing.assert_allclose(bias, [1.8 - (0.1 + 0.2)], rtol=1e-6)
    np.testing.assert_allclose(other, [[1.988 - (0.006 + 0.01 * 1.1988)]], rtol=1e-6)


def caffe_sgd(weights, gradients, rate, momentum, decay, rules):
    """The published update in numpy: one entry of `weights` for each (rate, decay) rule."""
    weights = [w.copy() for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    for step_gradients in gradients:
        for i, (rate_multiplier, decay_multiplier) in enumerate(rules):
            gradient = step_gradients[i] + decay * decay_multiplier * weights[i]
            velocities[i] = momentum * velocities[i] + rate * rate_multiplier * gradient
            weights[i] = weights[i] - velocities[i]
    return weights


def test_sgd_equals_the_published_formula_over_many_steps_inside_a_graph():
    model = small_model()
    variables = model.trainable_variables
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=v.shape).astype("f") for v in variables] for _ in range(8)]
    more_rules = ((r"depthwise/", 3.0, 0.5), *PUBLISHED_RULES)
    rules = [multipliers(v, more_rules) for v in variables]
    want = caffe_sgd([v.numpy() for v in variables], gradients, 1e-2, 0.9, 0.05, rules)
    optimizer = LayerwiseSGD(1e-2, momentum=0.9, l2=0.05, rules=more_rules)
    optimizer.build(variables)
    step = tf.function(lambda *g: optimizer.apply(list(g), variables))
    for step_gradients in gradients:
        step(*step_gradients)
    for variable, value in zip(variables, want, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-6)


def test_adam_without_rules_is_keras_adam_on_the_regularised_gradient():
    kernel = variable_of("conv", "kernel", [[1.0, -2.0]])
    reference = variable_of("reference", "kernel", [[1.0, -2.0]])
    optimizer, plain = LayerwiseAdam(0.1, l2=0.5), keras.optimizers.Adam(0.1)
    optimizer.build([kernel])
    plain.build([reference])
    for gradient in ([[0.3, 0.1]], [[-0.2, 0.7]]):
        gradient = tf.constant(gradient)
        plain.apply([gradient + 0.5 * reference.value])
        optimizer.apply([gradient])
    np.testing.assert_allclose(kernel, reference, rtol=1e-6)


def test_adam_multiplies_the_rate():
    kernel = variable_of("fc8", "kernel", [[1.0]])
    optimizer = LayerwiseAdam(0.01, rules=PUBLISHED_RULES)
    optimizer.build([kernel])
    optimizer.apply([tf.constant([[3.0]])])  # Adam's first step has the size of the rate
    np.testing.assert_allclose(kernel, [[1 - 0.1]], rtol=1e-5)


def test_works_in_strategy_run():
    kernel = variable_of("fc8", "kernel", [[2.0]])
    optimizer = LayerwiseSGD(0.01, momentum=0.0, l2=0.1)
    optimizer.build([kernel])
    strategy = tf.distribute.get_strategy()
    tf.function(lambda: strategy.run(lambda: optimizer.apply([tf.constant([[1.0]])])))()
    np.testing.assert_allclose(kernel, [[2 - 0.1 * 1.2]], rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        LayerwiseSGD(Poly(0.3, 100), momentum=0.8, l2=0.02, rules=[("a", 3, 0)]),
        LayerwiseAdam(0.3, l2=0.02, rules=[("a", 3, 0)]),
    ],
)
def test_survives_saving(optimizer):
    saved = keras.saving.serialize_keras_object(optimizer)
    restored = keras.saving.deserialize_keras_object(saved)
    assert type(restored) is type(optimizer)
    assert restored.l2 == 0.02
    assert restored.rules == (("a", 3, 0),)
    assert float(restored.learning_rate) == pytest.approx(0.3)
    assert getattr(restored, "momentum", None) == getattr(optimizer, "momentum", None)


def test_works_in_compile_and_fit():
    model = small_model()
    model.compile(LayerwiseSGD(1e-2, rules=PUBLISHED_RULES), loss="mse")
    images = np.random.default_rng(0).uniform(size=(8, 4, 4, 3)).astype(np.float32)
    losses = model.fit(images, images[..., :2], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
