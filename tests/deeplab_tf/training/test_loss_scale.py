import keras
import numpy as np
import pytest

from deeplab_tf.training.checkpoints import copy_weights
from deeplab_tf.training.loss_scale import build_with_precision


def build():
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="fc7"),
            keras.layers.Dense(2, dtype="float32", name="fc8"),
        ]
    )


def test_float32_is_one_model():
    model, twin = build_with_precision(build, "float32")
    assert model is twin
    assert model.get_layer("fc7").compute_dtype == "float32"


@pytest.mark.bfloat16
def test_bfloat16_computes_in_it_and_the_twin_does_not():
    model, twin = build_with_precision(build, "mixed_bfloat16")
    assert model.get_layer("fc7").compute_dtype == "bfloat16"
    assert twin.get_layer("fc7").compute_dtype == "float32"
    assert all(v.dtype == "float32" for v in model.weights)
    copy_weights(model, twin)
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    rounded, exact = np.asarray(model(inputs)), np.asarray(twin(inputs))
    assert 0 < np.abs(rounded - exact).max() < 0.05


@pytest.mark.parametrize("failing", [False, True])
def test_policy_is_put_back(failing):
    def build_or_fail():
        if failing:
            raise ValueError("no such network")
        return build()

    before = keras.config.dtype_policy().name
    if failing:
        with pytest.raises(ValueError, match="no such network"):
            build_with_precision(build_or_fail, "mixed_bfloat16")
    else:
        build_with_precision(build_or_fail, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before
