import functools

import keras
import numpy as np
import pytest

from deeplab_tf import build_deeplab, fuse
from deeplab_tf.errors import InputError
from deeplab_tf.models import backbone_names
from deeplab_tf.models.walk import leaf_layers
from deeplab_tf.training.checkpoints import Checkpoints
from deeplab_tf.training.freezing import (
    batch_norm_layers,
    freeze_bn,
    learns_bn,
    set_bn_momentum,
    synchronize_bn,
    train_only,
)
from deeplab_tf.training.optimizer import LayerwiseSGD

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def nested():
    inner_inputs = keras.Input((2,))
    inner = keras.Model(
        inner_inputs, keras.layers.BatchNormalization(name="inner_bn")(inner_inputs)
    )
    inputs = keras.Input((2,))
    x = keras.layers.BatchNormalization(name="outer_bn")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="dense")(inner(x)))


def test_finds_the_layers_of_nested_models():
    assert [layer.name for layer in batch_norm_layers(nested())] == ["outer_bn", "inner_bn"]


def test_momentum_is_what_training_then_uses():
    model = nested()
    set_bn_momentum(model, 0.75)
    model(np.full((4, 2), 8.0, np.float32), training=True)
    outer = batch_norm_layers(model)[0]
    np.testing.assert_allclose(outer.moving_mean, [2, 2])  # 0.75 * 0 + 0.25 * 8


def test_frozen_layers_neither_learn_nor_follow_the_batch():
    model = nested()
    freeze_bn(model)
    assert [v.path for v in model.trainable_variables] == ["dense/kernel", "dense/bias"]
    model(np.full((4, 2), 8.0, np.float32), training=True)
    for layer in batch_norm_layers(model):
        np.testing.assert_array_equal(layer.moving_mean, [0, 0])


def convolutions():
    """Convolutions with a bias: before BN, before BN and an addition, with a ReLU between."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(3, 1, name="shifted")(images)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = forked = keras.layers.Conv2D(3, 1, name="forked")(x)
    x = keras.layers.BatchNormalization(name="bn2")(x)
    x = keras.layers.Conv2D(3, 1, activation="relu", name="activated")(x + forked)
    x = keras.layers.BatchNormalization(name="bn3")(x)
    x = keras.layers.Dense(3, name="dense")(x)
    x = keras.layers.BatchNormalization(name="bn4")(x)
    return keras.Model(images, keras.layers.Conv2D(2, 1, name="classes")(x))


def trained_biases(model):
    return {v.path.split("/")[0] for v in model.trainable_variables if v.name == "bias"}


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_bias_that_only_shifts_a_frozen_normalization_is_frozen(is_nested):
    model = convolutions()
    if is_nested:
        images = keras.Input((None, None, 3))
        model = keras.Model(images, model(images) + model(-images))
    freeze_bn(model)
    assert trained_biases(model) == {"forked", "activated", "classes"}
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 5 and len(model.trainable_variables) == 5 + 3


def test_frozen_biases_stay_as_they_are_in_training():
    model = convolutions()
    freeze_bn(model)
    before = {v.path: np.array(v) for v in model.variables}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    images = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    model.fit(images, np.ones((2, 3, 3, 2)), verbose=0)
    changed = {v.path for v in model.variables if not np.array_equal(before.get(v.path, v), v)}
    assert changed == {v.path for v in model.trainable_variables}
    trained = {id(v) for v in model.trainable_variables}
    assert {id(v) for v in fuse(model).trainable_variables} == trained


def test_a_fused_network_is_refused_because_its_normalization_would_stay_trainable():
    model = convolutions()
    fused = fuse(model)
    with pytest.raises(InputError, match="was made by fuse; take the network that it was made"):
        freeze_bn(fused)
    freeze_bn(model)
    trained = {id(v) for v in model.trainable_variables}
    assert {id(v) for v in fused.trainable_variables} == trained


def test_a_checkpoint_of_a_frozen_network_is_restored(tmp_path):
    def frozen():
        model, optimizer = convolutions(), LayerwiseSGD()
        freeze_bn(model)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    model, optimizer = frozen()
    assert not [v.path for v in optimizer.variables if "shifted_bias" in v.path]
    assert [v.path for v in optimizer.variables if "classes_bias" in v.path]
    optimizer.apply([np.ones(v.shape, np.float32) for v in model.trainable_variables])
    first = Checkpoints(tmp_path, model, optimizer)
    first.state.step = 1
    first.save()
    restored, slots = frozen()
    assert Checkpoints(tmp_path, restored, slots).restore() == 1
    for a, b in zip(
        (*model.variables, *optimizer.variables),
        (*restored.variables, *slots.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "backbone",
    [
        # With biases before the normalizations, with biases elsewhere, and with none.
        name if name in ("resnet50", "resnet50v2", "mobilenetv2") else slow(name)
        for name in backbone_names()
    ],
)
def test_no_bias_into_a_frozen_normalization_is_trained(backbone):
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        model = build_deeplab(backbone, "large_fov", 2, weights=None)
        before = {id(v): v.path for v in model.trainable_variables}
        freeze_bn(model)
        after = {id(v) for v in model.trainable_variables}
        normalizations = batch_norm_layers(model)
        normalized = {id(layer.input) for layer in normalizations}
        expected = {v.path for layer in normalizations for v in layer.weights[:2]}
        for layer in leaf_layers(model):
            if id(layer.output) in normalized and getattr(layer, "use_bias", False):
                expected.add(layer.bias.path)
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    frozen = {path for key, path in before.items() if key not in after}
    assert frozen == expected & set(before.values())


def test_resnet101_trains_its_kernels_and_the_class_layers():
    with keras.StatelessScope(initialize_variables=False):
        model = build_deeplab("resnet101", "aspp_l", weights=None, scales=(1, 0.75, 0.5))
        freeze_bn(model)
        names = [(v.path.split("/")[-2], v.name) for v in model.trainable_variables]
    keras.backend.clear_session()
    classes = {(f"fc8_rate{rate}", name) for rate in (6, 12, 18, 24) for name in ("kernel", "bias")}
    assert {name for name in names if name[0].startswith("fc8")} == classes
    others = [name for layer, name in names if not layer.startswith("fc8")]
    assert others == ["kernel"] * 104


def test_synchronizing_reaches_all_layers():
    model = nested()
    assert learns_bn(model)
    synchronize_bn(model)
    assert [layer.synchronized for layer in batch_norm_layers(model)] == [True, True]
    freeze_bn(model)
    assert not learns_bn(model)


def test_train_only_freezes_the_layers_that_do_not_match():
    model = nested()
    assert train_only(model, "^(dense|inner)") == ["inner_bn", "dense"]
    assert {v.path.split("/")[0] for v in model.trainable_variables} == {"inner_bn", "dense"}


def test_train_only_refuses_a_pattern_without_use():
    with pytest.raises(
        InputError, match=r"no layer's name matches 'x'; available: outer_bn, inner"
    ):
        train_only(nested(), "x")
    with pytest.raises(InputError, match="is not a regular expression"):
        train_only(nested(), "(")
