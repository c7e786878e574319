"""Networks in other precisions, and the float32 twin of a network in training."""

import keras
import numpy as np
import pytest

from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.precision import build_with_precision, with_precision

IMAGE = np.random.default_rng(0).uniform(0, 1, (1, 17, 25, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    """A small network at two scales, with bare arithmetic as in MobileNetV3."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, strides=8, padding="same", name="conv")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = x * keras.layers.ReLU(6.0)(x + 3.0) * (1 / 6)
    network = keras.Model(images, keras.layers.Conv2D(4, 1, name="fc8", dtype="float32")(x))
    return fuse_scales(network, (0.5, 1))


@pytest.mark.bfloat16
def test_computes_in_16_bits_and_scores_in_32(model):
    copy = with_precision(model, "mixed_bfloat16")
    network = next(layer for layer in copy.layers if isinstance(layer, keras.Model))
    assert network.get_layer("conv").compute_dtype == "bfloat16"
    assert network.get_layer("norm").compute_dtype == "bfloat16"
    assert network.get_layer("fc8").compute_dtype == "float32"
    assert all(variable.dtype == "float32" for variable in copy.variables)
    found, expected = np.asarray(copy(IMAGE)), np.asarray(model(IMAGE))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_float32_is_the_same(model):
    copy = with_precision(with_precision(model, "mixed_bfloat16"), "float32")
    np.testing.assert_allclose(copy(IMAGE), model(IMAGE), atol=1e-6)


def test_another_precision_is_a_copy(model):
    copy = with_precision(model, "mixed_bfloat16")
    before = model.get_weights()
    copy.set_weights([np.zeros_like(w) for w in before])
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


def small():
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="fc7"),
            keras.layers.Dense(2, dtype="float32", name="fc8"),
        ]
    )


def test_float32_training_needs_one_model():
    model, twin = build_with_precision(small, "float32")
    assert model is twin
    assert model.get_layer("fc7").compute_dtype == "float32"


@pytest.mark.bfloat16
def test_the_float32_twin_of_bfloat16():
    model, twin = build_with_precision(small, "mixed_bfloat16")
    assert model.get_layer("fc7").compute_dtype == "bfloat16"
    assert twin.get_layer("fc7").compute_dtype == "float32"
    assert all(v.dtype == "float32" for v in model.weights)
    twin.set_weights(model.get_weights())
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    rounded, exact = np.asarray(model(inputs)), np.asarray(twin(inputs))
    assert 0 < np.abs(rounded - exact).max() < 0.05


@pytest.mark.parametrize("failing", [False, True])
def test_the_dtype_policy_is_restored(failing):
    def build_or_fail():
        if failing:
            raise ValueError("no such network")
        return small()

    before = keras.config.dtype_policy().name
    if failing:
        with pytest.raises(ValueError, match="no such network"):
            build_with_precision(build_or_fail, "mixed_bfloat16")
    else:
        build_with_precision(build_or_fail, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before
