"""Normalization of dense maps and from variables, against Keras and by hand."""

import keras
import numpy as np
import pytest

from deeplab_tf.models.normalization import SampledGroupNormalization, VariableNormalization


@pytest.mark.parametrize("invert", [False, True])
def test_the_variables_decide(invert):
    layer = VariableNormalization(invert=invert)
    x = np.array([[1.0, 2.0]], "float32")
    np.testing.assert_array_equal(layer(x), x)
    layer.set_weights([np.array([3.0, 4.0]), np.array([4.0, 16.0]), np.array(0)])
    expected = [[5, 12]] if invert else [[-1, -0.5]]
    np.testing.assert_array_equal(layer(x), expected)


def test_given_statistics_are_kept():
    layer = VariableNormalization(mean=1.0, variance=4.0, axis=None)
    np.testing.assert_array_equal(layer(np.array([[5.0]])), [[2.0]])


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False, "groups": -1}])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_rate_one_is_group_normalization(options, dtype):
    options = {"groups": 2, "dtype": dtype, **options}
    ours, reference = (
        SampledGroupNormalization(**options),
        keras.layers.GroupNormalization(**options),
    )
    x = np.random.default_rng(0).normal(3, 5, (2, 3, 4, 6))
    for layer in (ours, reference):
        layer.build(x.shape)
        layer.set_weights([np.arange(6.0) for _ in layer.weights])
    assert ours(x).dtype == reference(x).dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(ours(x), reference(x), rtol=tolerance, atol=tolerance)


def test_group_statistics_of_every_second_cell():
    x = np.array([[1.0, 9, 3], [9, 9, 9], [5, 9, 7]])[None, :, :, None]
    layer = SampledGroupNormalization(1, epsilon=0.0, dilation_rate=2)
    expected = (x - 4) / np.sqrt(5)  # 1, 3, 5, 7: mean 4, variance 5
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "layer", [VariableNormalization(), SampledGroupNormalization(3, dilation_rate=2)]
)
def test_saved_and_loaded(layer, tmp_path):
    model = keras.Sequential([keras.Input((4, 5, 3)), layer])
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert type(loaded.layers[0]) is type(layer)
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3))
    np.testing.assert_array_equal(model(x), loaded(x))
