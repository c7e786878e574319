import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.training.freezing import (
    batch_norm_layers,
    freeze_bn,
    learns_bn,
    set_bn_momentum,
    synchronize_bn,
    train_only,
)


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
