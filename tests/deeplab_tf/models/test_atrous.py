"""`to_atrous` against the original network: exact at its cells, borders included."""

import functools

import keras
import numpy as np
import pytest
from tiny_model import conv_network

from deeplab_tf.errors import InputError
from deeplab_tf.models import to_atrous
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.backbones import find_backbone

FAMILIES = ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "EfficientNetLite0"]
MORE_FAMILIES = [
    "ConvNeXtTiny",
    "VGG19",
    "ResNet101",
    "DenseNet121",
    "Xception",
    "ResNet50V2",
    "MobileNet",
    "MobileNetV3Small",
    "EfficientNetV2B0",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception41",
    "ResNet101Beta",
    "AlexNet",
    "GoogLeNet",
]


@functools.lru_cache(maxsize=1)
def random_network(family, size):
    """A backbone whose every weight, BN statistics included, is random."""
    build = find_backbone(family).constructor
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def error_at_original_cells(model, dense, size, output_stride):
    """Largest difference at the original cells, relative to the largest original value."""
    image = np.random.default_rng(1).uniform(0, 255, (1, size, size, 3)).astype("float32")
    expected, found = np.array(model(image)), np.array(dense(image))
    sampled = found[:, :: 32 // output_stride, :: 32 // output_stride]
    assert sampled.shape == expected.shape
    return np.abs(sampled - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("size", [96, pytest.param(97, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "output_stride", [8, *(pytest.param(stride, marks=pytest.mark.slow) for stride in (16, 32))]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_at_the_original_cells(family, size, output_stride):
    model = random_network(family, size)
    dense = to_atrous(model, output_stride)
    assert error_at_original_cells(model, dense, size, output_stride) < 1e-5


@pytest.fixture
def float64():
    """Random networks may be ill-conditioned: float64 tells rounding errors from wrong cells."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 129])  # at least 3x3 cells, also without padding
@pytest.mark.parametrize("family", MORE_FAMILIES)
def test_more_families_are_exact(float64, family, size):
    model = random_network.__wrapped__(family, size)
    for output_stride in (8, 16):
        dense = to_atrous(model, output_stride)
        assert error_at_original_cells(model, dense, size, output_stride) < 1e-12


def test_removing_the_dilation_changes_the_result():
    """The negative control: the dilation is what makes the test above pass."""
    model = random_network("VGG16", 96)
    dense = to_atrous(model, 8)
    for layer in dense.layers:
        if isinstance(layer, AtrousConv2D):
            layer.dilation_rate = (1, 1)
            layer.padding = "same"
    plain = keras.models.clone_model(dense)
    plain.set_weights(dense.get_weights())
    image = np.random.default_rng(1).uniform(0, 255, (1, 96, 96, 3)).astype("float32")
    expected, found = np.array(model(image)), np.array(plain(image))[:, ::4, ::4]
    rows, columns = (min(a, b) for a, b in zip(expected.shape[1:3], found.shape[1:3], strict=True))
    difference = expected[:, :rows, :columns] - found[:, :rows, :columns]
    assert np.abs(difference).max() / np.abs(expected).max() > 1e-2


@pytest.mark.slow
def test_nasnet_is_refused_by_name():
    model = keras.applications.NASNetMobile(weights=None, include_top=False)
    with pytest.raises(InputError, match="supported are the networks"):
        to_atrous(model, 8)


def test_bad_arguments():
    model = conv_network(keras.layers.Conv2D(1, 3, strides=2))
    with pytest.raises(InputError, match="must be one of"):
        to_atrous(model, 3)
    with pytest.raises(InputError, match="coarser"):
        to_atrous(model, 8)
    with pytest.raises(InputError, match="with one input and one output, got str"):
        to_atrous("vgg16", 8)
    two = keras.Model(model.input, [model.output, model.output])
    with pytest.raises(InputError, match="with one input and one output, got Functional"):
        to_atrous(two, 8)


def test_a_sequential_of_unknown_input():
    model = keras.Sequential([keras.layers.Conv2D(1, 3)], name="mine")
    with pytest.raises(InputError, match=r"'mine'.*begin it with keras.Input\(\(None, None, 3\)\)"):
        to_atrous(model, 8)


@pytest.mark.parametrize("classifier", [{"include_top": True}, {"pooling": "avg"}])
def test_a_network_with_classifier_is_refused(classifier):
    model = keras.applications.MobileNet(weights=None, **{"include_top": False, **classifier})
    with pytest.raises(InputError, match="not in a map; build it without its classifier") as error:
        to_atrous(model, 8)
    assert str(model.output_shape) in str(error.value)


def test_a_global_mean_is_no_map():
    layers = keras.layers.Conv2D(1, 3), keras.layers.GlobalAveragePooling2D(keepdims=True)
    with pytest.raises(InputError, match="not in a map"):
        to_atrous(conv_network(*layers), 1)


def test_an_atrous_network_is_refused():
    model = conv_network(
        keras.layers.Conv2D(2, 3, strides=2, padding="same"), keras.layers.Conv2D(2, 3), size=9
    )
    with pytest.raises(InputError, match="already atrous") as error:
        to_atrous(to_atrous(model, 1), 2)
    assert "build_deeplab(..., output_stride=2, weights=FILE)" in str(error.value)
    assert "to_atrous(ORIGINAL_NETWORK, 2)" in str(error.value)
