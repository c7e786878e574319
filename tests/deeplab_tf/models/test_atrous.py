"""`to_atrous` against the original network: exact at its cells, borders included."""

import functools

import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.models import to_atrous
from deeplab_tf.models.atrous_layers import AtrousConv2D

FAMILIES = ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny"]
MORE_FAMILIES = [
    "VGG19",
    "ResNet101",
    "DenseNet121",
    "Xception",
    "ResNet50V2",
    "MobileNet",
    "MobileNetV3Small",
    "EfficientNetV2B0",
]


@functools.lru_cache(maxsize=1)
def random_network(family, size):
    """A keras.applications network whose every weight, BN statistics included, is random."""
    build = getattr(keras.applications, family)
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


def conv_network(*layers, size=9, channels=2):
    """A small network from a list of layers."""
    images = x = keras.Input((size, size, channels))
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


def test_a_strided_1x1_becomes_every_cell():
    model = conv_network(
        keras.layers.Conv2D(1, 1, strides=2, kernel_initializer="ones"), size=4, channels=1
    )
    dense = to_atrous(model, 1)
    image = np.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(np.array(model(image))[0, :, :, 0], [[0, 2], [8, 10]])
    np.testing.assert_array_equal(np.array(dense(image))[0, :, :, 0], image[0, :, :, 0])


def test_layers_after_a_lost_stride_are_dilated():
    model = conv_network(
        keras.layers.Conv2D(3, 3, strides=2, padding="same"),
        keras.layers.Conv2D(3, 3, padding="same"),
        keras.layers.Conv2D(3, 3, strides=2, padding="same"),
        keras.layers.Conv2D(3, 3, padding="same"),
    )
    rates = [
        layer.dilation_rate[0]
        for layer in to_atrous(model, 1).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert rates == [1, 2, 2, 4]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("size", [8, 9, 10, 11])
def test_every_window_at_every_size(size, kernel_size, padding):
    """A window that loses its stride, then another one, whose padding depends on the size."""
    size += 4 * (padding == "valid")  # so that both windows fit
    model = conv_network(
        keras.layers.Conv2D(3, kernel_size, strides=2, padding=padding),
        keras.layers.MaxPooling2D(2, strides=2, padding=padding),
        keras.layers.Conv2D(2, 3, padding="same"),
        size=size,
    )
    image = np.random.default_rng(0).normal(size=(2, size, size, 2))
    for keep_size in (True, False):
        sampled = np.array(to_atrous(model, 1, keep_size)(image))[:, ::4, ::4]
        np.testing.assert_allclose(sampled, np.array(model(image)), rtol=1e-5, atol=1e-5)


def test_keep_size_keeps_the_size():
    model = conv_network(keras.layers.Conv2D(1, 3, strides=2), size=9)
    assert to_atrous(model, 1).compute_output_shape((1, 9, 9, 2)) == (1, 8, 8, 1)
    assert to_atrous(model, 1, keep_size=False).compute_output_shape((1, 9, 9, 2)) == (1, 7, 7, 1)


@pytest.mark.parametrize("size", [96, 97])
@pytest.mark.parametrize("output_stride", [8, pytest.param(16, marks=pytest.mark.slow)])
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
@pytest.mark.parametrize("size", [96, 97])
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


def test_weights_are_copied():
    model = conv_network(
        keras.layers.Conv2D(2, 3, strides=2, padding="same", name="first"),
        keras.layers.BatchNormalization(name="second"),
        keras.layers.Conv2D(2, 4, padding="same", name="third"),  # gets a padding layer
    )
    dense = to_atrous(model, 1)
    for name in ("first", "second", "third"):
        pairs = zip(
            model.get_layer(name).get_weights(), dense.get_layer(name).get_weights(), strict=True
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
    dense.set_weights([w * 0 for w in dense.get_weights()])
    assert np.any(model.get_weights()[0])


@pytest.mark.parametrize("size", range(7, 11))
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
def test_centered_windows(kernel_size, size):
    """A kernel with a single 1 in its middle samples the image at every second pixel."""
    convolution = keras.layers.Conv2D(1, kernel_size, strides=2, padding="same", use_bias=False)
    model = conv_network(convolution, size=size, channels=1)
    kernel = np.zeros((kernel_size, kernel_size, 1, 1))
    kernel[(kernel_size - 1) // 2, (kernel_size - 1) // 2] = 1
    model.set_weights([kernel])
    image = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype("float32")
    found = np.array(to_atrous(model, 2, centered=True)(image))
    np.testing.assert_array_equal(found, image[:, ::2, ::2])
    dense = np.array(to_atrous(model, 1, centered=True)(image))
    np.testing.assert_array_equal(dense, image)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.Flatten()], "Flatten"),
        ([keras.layers.Conv2D(1, 3, strides=(2, 1))], "different strides"),
        ([keras.layers.Cropping2D(1)], "Cropping2D"),
        ([keras.layers.Conv2D(1, 4, strides=4)], "skips output stride 2"),
    ],
)
def test_layers_that_cannot_be_rewritten(layers, message):
    with pytest.raises(InputError, match=message) as error:
        to_atrous(conv_network(*layers, size=16), 2)
    assert layers[0].name in str(error.value)
    assert "backbone_names()" in str(error.value)


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
    for other in ("vgg16", keras.Sequential([keras.Input((9, 9, 3)), keras.layers.ReLU()])):
        with pytest.raises(InputError, match=f"functional .* got {type(other).__name__}"):
            to_atrous(other, 8)
