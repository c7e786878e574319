import keras
import numpy as np

from deeplab_tf.models.walk import assign_weights, leaf_layers


def test_a_nested_model_is_replaced_by_its_layers():
    x = keras.Input((2,), name="x")
    inner = keras.Model(x, keras.layers.Dense(2, name="inner")(x), name="nested")
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1, name="outer")])
    assert [layer.name for layer in leaf_layers(model)] == ["x", "inner", "outer"]


def test_assigned_statistics_of_a_normalization_have_effect():
    """In EfficientNet they are weights of the file; Keras's `set_weights` alone leaves them out."""
    x = keras.Input((2,))
    layer = keras.layers.Normalization()
    fixed = keras.layers.Normalization(mean=1.0, variance=1.0)
    model = keras.Model(x, fixed(layer(x)))
    assign_weights(model, [np.float32([1, 2]), np.float32([4, 9]), np.int32(0)])
    np.testing.assert_allclose(model(np.float32([[5, 11]])), [[1, 2]], rtol=1e-6)
    assign_weights(layer, [np.float32([0, 0]), np.float32([1, 1]), np.int32(0)])
    np.testing.assert_allclose(model(np.float32([[5, 11]])), [[4, 10]], rtol=1e-6)
