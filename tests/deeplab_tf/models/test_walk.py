import keras

from deeplab_tf.models.walk import leaf_layers, leaf_operations


def test_a_nested_model_is_replaced_by_its_layers():
    x = keras.Input((2,), name="x")
    inner = keras.Model(x, keras.layers.Dense(2, name="inner")(x), name="nested")
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1, name="outer")])
    assert [layer.name for layer in leaf_layers(model)] == ["x", "inner", "outer"]


def test_bare_operations_are_steps_too():
    x = keras.Input((2,), name="x")
    y = keras.layers.Dense(2, name="dense")(x)
    model = keras.Model(x, y + x)
    assert [step.name for step in leaf_layers(model)] == ["x", "dense"]
    *_, last = leaf_operations(keras.Sequential([keras.Input((2,)), model]))
    assert isinstance(last, keras.Operation) and not isinstance(last, keras.Layer)
