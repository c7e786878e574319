import keras
import numpy as np

from deeplab_tf.training.batch_norm import (
    batch_norm_layers,
    freeze_bn,
    learns_bn,
    set_bn_momentum,
    synchronize_bn,
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


def test_all_layers_are_synchronized_unless_none_learns():
    model = nested()
    assert learns_bn(model)
    synchronize_bn(model)
    assert [layer.synchronized for layer in batch_norm_layers(model)] == [True, True]
    freeze_bn(model)
    assert not learns_bn(model)
