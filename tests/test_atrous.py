"""`to_atrous` against the network it came from: exact at the original cells, borders included."""

import functools

import keras
import numpy as np
import pytest

from deeplab_tf.models import to_atrous

FAMILIES = [
    "VGG16",
    "ResNet50",
    "ResNet101",
    "ResNet50V2",
    "MobileNetV2",
    "MobileNetV3Small",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "Xception",
    "ConvNeXtTiny",
]


@functools.cache
def random_network(family, size):
    """A keras.applications network whose every weight, BN statistics included, is random."""
    build = getattr(keras.applications, family)
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def error_at_original_cells(model, dense, size):
    """Largest difference at the original cells, relative to the largest original value."""
    image = np.random.default_rng(1).uniform(0, 255, (1, size, size, 3)).astype("float32")
    expected = model.predict(image, verbose=0)
    found = dense.predict(image, verbose=0)
    rate = 32 // (size // found.shape[1])
    sampled = found[:, ::rate, ::rate]
    assert sampled.shape == expected.shape
    return np.abs(sampled - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("size", [128, 129])
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_at_the_original_cells(family, output_stride, size):
    model = random_network(family, size)
    dense = to_atrous(model, output_stride)
    assert error_at_original_cells(model, dense, size) < 1e-5
