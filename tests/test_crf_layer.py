import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams, DenseCRF, dense_crf

PARAMS = CRFParams(w1=2, sigma_alpha=10, sigma_beta=8, iterations=3, normalization="after")


def scene(height, width, num_classes, batch=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (batch, height, width, 3)).astype(np.uint8)
    scores = rng.normal(size=(batch, height, width, num_classes)).astype(np.float32)
    return tf.nn.softmax(scores).numpy(), images


def small_model(num_classes=3):
    probabilities = keras.Input((None, None, num_classes))
    images = keras.Input((None, None, 3), dtype="uint8")
    refined = DenseCRF(PARAMS, name="crf")([probabilities, images])
    return keras.Model([probabilities, images], refined)


@pytest.mark.parametrize("engine", ["auto", "lattice", "exact"])
def test_equals_the_function(engine):
    data = scene(5, 6, 3)
    result = DenseCRF(PARAMS, engine)(list(data))
    np.testing.assert_allclose(result, dense_crf(*data, PARAMS, engine), atol=1e-6)


def test_default_parameters_are_those_of_crfparams():
    assert DenseCRF().params == CRFParams()


def test_predict_on_any_size():
    model = small_model()
    assert model.output_shape == (None, None, None, 3)
    for size in ((4, 6), (7, 5)):
        data = scene(*size, 3)
        result = model.predict(list(data), verbose=0)
        np.testing.assert_allclose(result, dense_crf(*data, PARAMS), atol=1e-5)


def test_saved_model_comes_back(tmp_path):
    model, data = small_model(), list(scene(5, 6, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("crf").params == PARAMS
    assert loaded.get_layer("crf").engine == "auto"
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_config_is_plain_and_complete():
    layer = DenseCRF(PARAMS, engine="exact", name="refine")
    again = DenseCRF.from_config(layer.get_config())
    assert (again.params, again.engine, again.name) == (PARAMS, "exact", "refine")
    assert type(layer.get_config()["params"]) is dict


def test_output_shape():
    shapes = [(None, 5, None, 7), (None, 5, None, 3)]
    assert DenseCRF().compute_output_shape(shapes) == (None, 5, None, 7)


def test_computes_in_float32_under_a_mixed_policy():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        layer = DenseCRF(PARAMS)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    data = scene(4, 5, 3)
    result = layer(list(data))
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, dense_crf(*data, PARAMS), atol=1e-6)


def test_bad_input_raises():
    probabilities, images = scene(4, 5, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        DenseCRF()([probabilities, images.astype(np.float32)])
    with pytest.raises(ValueError, match="unknown engine 'fast'"):
        DenseCRF(engine="fast")
