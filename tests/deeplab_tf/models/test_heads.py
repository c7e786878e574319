"""Heads against the papers' description in NumPy, and the published parameter counts."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from small_backbones import small_backbones

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models.heads import HEADS, apply_direct, apply_fully_connected, find_head


def dilated(x, kernel, bias, rate):
    """Dilated convolution of (h, w, C) by (k, l, C, F), centered, with zeros outside."""
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
    # Counted without allocating the weights, which would take half a gigabyte.
    with keras.StatelessScope(initialize_variables=False):
        model = build_deeplab("vgg16", head, num_classes=21, weights=None)
        assert model.count_params() == count
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope


@pytest.fixture(scope="module")
def vgg16():
    """LargeFOV with 8 filters and the multi-scale features."""
    options = {"fc_channels": 8, "use_multi_scale_features": True}
    with small_backbones():
        return build_deeplab("vgg16", "large_fov", 2, weights=None, **options)


def test_branches_of_other_backbones_may_have_fc6_and_fc7():
    options = {"num_classes": 2, "weights": None, "fc_channels": 6}
    with small_backbones():
        model = build_deeplab("mobilenet", "aspp_s", **options)
    for rate in HEADS["aspp_s"].rates:
        fc6, fc7, fc8 = (model.get_layer(f"fc{number}_rate{rate}") for number in (6, 7, 8))
        assert fc6.kernel.shape[:2] == (3, 3) and fc6.dilation_rate == (rate, rate)
        assert fc6.filters == fc7.filters == 6 and fc8.kernel.shape == (1, 1, 6, 2)


def test_dropout_after_fc6_and_fc7(vgg16):
    assert [vgg16.get_layer(name).rate for name in ("drop6", "drop7")] == [0.5, 0.5]
    assert vgg16.get_layer("fc6").filters == vgg16.get_layer("fc7").filters == 8


def test_dropout_after_both_layers_of_every_feature_branch(vgg16):
    for name in ("image", "pool1", "pool2", "pool3", "pool4"):
        for number in (1, 2):
            relu, drop = (vgg16.get_layer(f"msf_{name}_{x}{number}") for x in ("relu", "drop"))
            assert drop.rate == 0.5 and drop.input is relu.output
        assert vgg16.get_layer(f"msf_{name}_conv2").input is (
            vgg16.get_layer(f"msf_{name}_drop1").output
        )
    assert vgg16.get_layer("msf_features").input[0] is vgg16.get_layer("msf_image_drop2").output


@pytest.mark.parametrize("size", [(33, 41), (40, 39)])
def test_every_feature_branch_is_two_layers_centered_on_the_cells(vgg16, size):
    names = ["preprocessing", *(f"block{block}_pool" for block in (1, 2, 3, 4))]
    taps = keras.Model(
        vgg16.input, [vgg16.get_layer(name).output for name in (*names, "msf_features")]
    )
    image = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype("float32")
    *maps, found = (np.array(x[0]) for x in taps(image))
    cells = tuple((length - 1) // 8 + 1 for length in size)
    assert found.shape == (*cells, 640)
    branches = ("image", "pool1", "pool2", "pool3", "pool4")
    for index, (name, stride) in enumerate(zip(branches, (8, 4, 2, 1, 1), strict=True)):
        kernel, bias = vgg16.get_layer(f"msf_{name}_conv1").get_weights()
        kernel2, bias2 = vgg16.get_layer(f"msf_{name}_conv2").get_weights()
        padded = np.pad(maps[index], ((1, 1), (1, 1), (0, 0)))
        # One cell inside, and the last one, which sees the padding.
        for row, column in ((2, 3), (cells[0] - 1, cells[1] - 1)):
            top, left = stride * row, stride * column
            window = padded[top : top + 3, left : left + 3]
            hidden = np.maximum(np.tensordot(window, kernel, 3) + bias, 0)
            expected = np.maximum(hidden @ kernel2[0, 0] + bias2, 0)
            part = found[row, column, 128 * index : 128 * (index + 1)]
            np.testing.assert_allclose(part, expected, atol=1e-4 * max(1, expected.max()))


def test_the_classifier_takes_fc7_and_640_features(vgg16):
    assert vgg16.get_layer("fc8").kernel.shape == (1, 1, 8 + 640, 2)


def test_names_of_the_layers_to_train(vgg16):
    """The configurations train "^(msf_|fc8)", see `multi_scale_features`."""
    trained = {layer.name for layer in vgg16.layers if re.search("^(msf_|fc8)", layer.name)}
    assert trained == {layer.name for layer in vgg16.layers if "msf" in layer.name} | {"fc8"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"backbone": "resnet50", "head": "7x7"}, "'7x7' is available for vgg16 only; use one of"),
        (
            {"backbone": "resnet50", "head": "plain", "fc_channels": 8},
            "fc_channels is no option of head 'plain'; omit it",
        ),
        ({"backbone": "resnet50", "pool_size": 3}, "options of vgg16"),
        ({"backbone": "mobilenetv2", "average_pool5": True}, "options of vgg16"),
        ({"backbone": "mobilenetv2", "preprocessing": "caffe"}, "must be None or 'deeplab'"),
        ({"backbone": "mobilenetv2", "preprocessing": "deeplab"}, "suits VGG and ResNet only"),
        ({"backbone": "mobilenetv2", "use_multi_scale_features": True}, "options of vgg16"),
        ({"backbone": "vgg16", "pool_size": 4}, "pool_size must be 2 or 3"),
        ({"backbone": "vgg16", "fc_channels": 1000}, "must divide 4096, got 1000"),
        ({"backbone": "resnet50", "fc_channels": 0}, "fc_channels must be at least 1, got 0"),
        ({"backbone": "vgg16", "head": "plain"}, "'plain' is not available for vgg16; use large"),
        ({"backbone": "vgg16", "head": "9x9"}, "unknown head '9x9'; available: large_fov"),
    ],
)
def test_options_that_cannot_be_combined_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_deeplab(weights=None, **{"head": "large_fov", **options})


def test_published_numbers_of_filters():
    assert find_head("4x4", "vgg16").channels == 4096
    assert find_head("large_fov", "vgg16").channels == 1024
    assert find_head("7x7", "vgg16", 1024).channels == 1024
