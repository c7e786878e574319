"""Heads against the papers' description in NumPy, and the published parameter counts."""

import dataclasses

import keras
import numpy as np
import pytest

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models.heads import HEADS, apply_direct, apply_fully_connected, find_head


def dilated(x, kernel, bias, rate):
    """(h, w, C) by a (k, l, C, F) kernel with holes; zeros outside, centred for odd spans."""
    height, width = x.shape[:2]
    rows, columns = kernel.shape[:2]
    top, left = (rows - 1) * rate // 2, (columns - 1) * rate // 2
    padded = np.pad(x, ((top, top), (left, left), (0, 0)))
    total = np.zeros((height, width, kernel.shape[3])) + bias
    for i in range(rows):
        for j in range(columns):
            view = padded[i * rate : i * rate + height, j * rate : j * rate + width]
            total += view @ kernel[i, j]
    return total


def random_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in HEADS if name != "plain"])
def test_fully_connected_branches(name):
    head = dataclasses.replace(HEADS[name], channels=4)
    features, extra = keras.Input((None, None, 6)), keras.Input((None, None, 2))
    scores = apply_fully_connected(features, head, 3, extra)
    model = keras.Model([features, extra], scores)
    weights = random_weights(model)
    rng = np.random.default_rng(1)
    x, more = rng.normal(size=(1, 30, 27, 6)), rng.normal(size=(1, 30, 27, 2))
    expected = 0
    for rate in head.rates:
        end = head.suffix(rate)
        y = np.maximum(dilated(x[0], *weights[f"fc6{end}"], rate), 0)
        y = np.maximum(dilated(y, *weights[f"fc7{end}"], 1), 0)
        expected += dilated(np.concatenate([y, more[0]], -1), *weights[f"fc8{end}"], 1)
    close(model([x, more])[0], expected)


@pytest.mark.parametrize("name", ["large_fov", "aspp_s", "aspp_l", "plain"])
def test_direct_branches(name):
    features = keras.Input((None, None, 5))
    model = keras.Model(features, apply_direct(features, HEADS[name], 3))
    weights = random_weights(model)
    x = np.random.default_rng(1).normal(size=(1, 26, 29, 5))
    rates = HEADS[name].rates
    ends = [HEADS[name].suffix(rate) for rate in rates]
    expected = sum(
        dilated(x[0], *weights[f"fc8{end}"], rate) for end, rate in zip(ends, rates, strict=True)
    )
    close(model(x)[0], expected)


@pytest.mark.parametrize(
    "head, count",
    [("7x7", 134_346_581), ("4x4", 65_140_565), ("4x4_fov", 65_140_565), ("large_fov", 20_505_429)],
)
def test_parameter_counts_of_vgg16(head, count):
    # Counted without making the weights, which would be half a gigabyte.
    with keras.StatelessScope(initialize_variables=False):
        model = build_deeplab("vgg16", head, num_classes=21, weights=None)
        assert model.count_params() == count


def test_dropout_after_fc6_and_fc7():
    model = build_deeplab("vgg16", "large_fov", 2, weights=None, fc_channels=8)
    assert [model.get_layer(name).rate for name in ("drop6", "drop7")] == [0.5, 0.5]
    assert model.get_layer("fc6").filters == model.get_layer("fc7").filters == 8


@pytest.mark.parametrize(
    "options, said",
    [
        ({"backbone": "resnet50", "head": "7x7"}, "only vgg16 has fc6 and fc7"),
        ({"backbone": "resnet50", "fc_channels": 8}, "only vgg16 has fc6 and fc7"),
        ({"backbone": "resnet50", "pool_size": 3}, "options of vgg16"),
        ({"backbone": "mobilenetv2", "use_multi_scale_features": True}, "options of vgg16"),
        ({"backbone": "vgg16", "pool_size": 4}, "pool_size must be 2 or 3"),
        ({"backbone": "vgg16", "fc_channels": 1000}, "must divide 4096"),
        ({"backbone": "vgg16", "head": "plain"}, "'plain' is not vgg16's"),
        ({"backbone": "vgg16", "head": "9x9"}, "unknown head '9x9'; known: large_fov"),
    ],
)
def test_what_does_not_go_together_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        build_deeplab(weights=None, **{"head": "large_fov", **options})


def test_published_numbers_of_filters():
    assert find_head("4x4", True).channels == 4096
    assert find_head("large_fov", True).channels == 1024
    assert find_head("7x7", True, 1024).channels == 1024
