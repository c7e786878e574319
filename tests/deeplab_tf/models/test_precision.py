import keras
import numpy as np
import pytest

from deeplab_tf import build_deeplab
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.models.precision import with_precision

IMAGE = np.random.default_rng(0).integers(0, 256, (65, 80, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    """A network whose random weights give scores of a few units."""
    model = build_deeplab("mobilenetv2", "aspp_s", 4, weights=None, scales=(0.5, 1))
    largest = np.abs(model(IMAGE[None].astype(np.float32))).max()
    for variable in model.variables:
        if variable.path.startswith("fc8"):
            variable.assign(variable * (3 / largest))
    return model


@pytest.mark.bfloat16
def test_computes_in_16_bits_and_scores_in_32(model):
    copy = with_precision(model, "mixed_bfloat16")
    network = next(layer for layer in copy.layers if isinstance(layer, keras.Model))
    policies = {layer.name: layer.compute_dtype for layer in network.layers}
    assert policies["Conv1"] == "bfloat16" and policies["Conv_1"] == "bfloat16"
    assert policies["fc8_rate2"] == policies["scores"] == "float32"
    assert all(variable.dtype == "float32" for variable in copy.variables)
    found = predict_probabilities(copy, IMAGE)
    expected = predict_probabilities(model, IMAGE)
    assert 0 < np.abs(found - expected).max() < 0.05


def test_float32_is_the_same(model):
    copy = with_precision(with_precision(model, "mixed_bfloat16"), "float32")
    expected = predict_probabilities(model, IMAGE)
    np.testing.assert_allclose(predict_probabilities(copy, IMAGE), expected, atol=1e-6)


def test_is_a_copy(model):
    copy = with_precision(model, "mixed_bfloat16")
    before = model.get_weights()
    copy.set_weights([np.zeros_like(w) for w in before])
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.bfloat16
def test_arithmetic_that_is_no_layer():
    model = build_deeplab("mobilenetv3small", "large_fov", 4, weights=None)
    copy = with_precision(model, "mixed_bfloat16")
    assert copy.get_layer("conv").compute_dtype == "bfloat16"
    assert predict_probabilities(copy, IMAGE).shape == (65, 80, 4)
