import keras

from deeplab_tf.models.walk import leaf_layers


def test_a_nested_model_is_replaced_by_its_layers():
    x = keras.Input((2,), name="x")
    inner = keras.Model(x, keras.layers.Dense(2, name="inner")(x), name="nested")
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1, name="outer")])
    assert [layer.name for layer in leaf_layers(model)] == ["x", "inner", "outer"]
