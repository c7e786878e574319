"""`to_atrous` against the network it came from: exact at the original cells, borders included."""

import functools

import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.models import to_atrous
from deeplab_tf.models.atrous import rewrite
from deeplab_tf.models.atrous_layers import AtrousPooling2D, SampledGlobalAveragePooling2D
from deeplab_tf.models.convolution import AtrousConv2D

FAMILIES = [
    "VGG16",
    "ResNet50",
    "ResNet101",
    "MobileNetV2",
    "DenseNet121",
    "EfficientNetB0",
    "Xception",
    "ConvNeXtTiny",
]
MORE_FAMILIES = [
    "VGG19",
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


def test_what_follows_a_lost_stride_gets_its_holes():
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
@pytest.mark.parametrize("size", [8, 9, 10, 11, 12, 13, 17])
def test_every_window_at_every_size(size, kernel_size, padding):
    """A lost stride, then a window with padding of its own, which sees where the map ends."""
    size += 4 * (padding == "valid")  # leaves something after both windows
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


@pytest.mark.parametrize("size", [128, 129])
@pytest.mark.parametrize("output_stride", [8, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_at_the_original_cells(family, size, output_stride):
    model = random_network(family, size)
    dense = to_atrous(model, output_stride)
    assert error_at_original_cells(model, dense, size, output_stride) < 1e-5


@pytest.fixture
def float64():
    """Random networks may be ill-conditioned: float64 tells rounding from another network."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 129])
@pytest.mark.parametrize("family", MORE_FAMILIES)
def test_more_families_are_exact(float64, family, size):
    model = random_network.__wrapped__(family, size)
    for output_stride in (8, 16):
        dense = to_atrous(model, output_stride)
        assert error_at_original_cells(model, dense, size, output_stride) < 1e-12


@pytest.mark.parametrize("family", ["VGG16", "ResNet50", "MobileNetV2", "ConvNeXtTiny"])
def test_without_the_holes_it_is_another_network(family):
    """The negative control: what makes the test above pass is the dilation."""
    model = random_network(family, 128)
    dense = to_atrous(model, 8)
    for layer in dense.layers:
        if isinstance(layer, AtrousConv2D | keras.layers.DepthwiseConv2D):
            layer.dilation_rate = (1, 1)
            layer.padding = "same"
    plain = keras.models.clone_model(dense)
    plain.set_weights(dense.get_weights())
    image = np.random.default_rng(1).uniform(0, 255, (1, 128, 128, 3)).astype("float32")
    expected, found = np.array(model(image)), np.array(plain(image))[:, ::4, ::4]
    rows, columns = (min(a, b) for a, b in zip(expected.shape[1:3], found.shape[1:3], strict=True))
    difference = expected[:, :rows, :columns] - found[:, :rows, :columns]
    assert np.abs(difference).max() / np.abs(expected).max() > 1e-2


def test_squeeze_and_excite_means_look_at_the_original_cells():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert SampledGlobalAveragePooling2D(2)(x)[0, 0] == np.mean([0, 2, 8, 10])


def test_the_same_weights_in_a_copy():
    model = random_network("MobileNetV2", 128)
    dense = to_atrous(model, 16)
    for layer in model.layers:
        for a, b in zip(
            layer.get_weights(), dense.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    dense.get_layer("Conv1").kernel.assign(dense.get_layer("Conv1").kernel * 0)
    assert np.any(np.array(model.get_layer("Conv1").kernel))


def test_saved_and_loaded(tmp_path):
    dense = to_atrous(random_network("MobileNetV2", 128), 8)
    dense.save(tmp_path / "dense.keras")
    loaded = keras.saving.load_model(tmp_path / "dense.keras", safe_mode=True)
    image = np.random.default_rng(1).uniform(0, 255, (1, 128, 128, 3))
    np.testing.assert_array_equal(np.array(dense(image)), np.array(loaded(image)))


@pytest.mark.parametrize("size", range(7, 16))
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
def test_centred_windows_sit_on_their_pixels(kernel_size, size):
    """A kernel with one 1 in its middle samples the image at every second pixel."""
    convolution = keras.layers.Conv2D(1, kernel_size, strides=2, padding="same", use_bias=False)
    model = conv_network(convolution, size=size, channels=1)
    kernel = np.zeros((kernel_size, kernel_size, 1, 1))
    kernel[(kernel_size - 1) // 2, (kernel_size - 1) // 2] = 1
    model.set_weights([kernel])
    image = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype("float32")
    found = np.array(rewrite(model, 2, centred=True)(image))
    np.testing.assert_array_equal(found, image[:, ::2, ::2])
    dense = np.array(rewrite(model, 1, centred=True)(image))
    np.testing.assert_array_equal(dense, image)


def test_pooling_by_hand():
    x = np.array([[1.0, 5, 2, 4], [3, 0, 9, 1], [7, 2, 6, 8], [4, 4, 1, 0]])[None, :, :, None]
    dense = AtrousPooling2D("max", (2, 2), strides=(2, 2), dilation_rate=2)(x)
    expected = [[7, 8, 6, 8], [9, 4, 9, 1], [7, 8, 6, 8], [4, 4, 1, 0]]
    np.testing.assert_array_equal(dense[0, :, :, 0], expected)
    mean = AtrousPooling2D("average", (1, 2))(x)
    np.testing.assert_array_equal(mean[0, 0, :, 0], [3, 3.5, 3, 4])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.Flatten()], "Flatten"),
        ([keras.layers.Conv2D(1, 3, strides=(2, 1))], "different strides"),
        ([keras.layers.Cropping2D(1)], "Cropping2D"),
        ([keras.layers.Conv2D(1, 4, strides=4)], "jumps over"),
    ],
)
def test_what_cannot_be_rewritten_names_the_layer(layers, message):
    with pytest.raises(InputError, match=message) as error:
        to_atrous(conv_network(*layers, size=16), 2)
    assert layers[0].name in str(error.value)
    assert "DenseNet" in str(error.value)


def test_nasnet_is_refused_by_name():
    model = keras.applications.NASNetMobile(weights=None, include_top=False)
    with pytest.raises(InputError, match="supported families"):
        to_atrous(model, 8)


def test_output_strides_that_make_no_sense():
    model = conv_network(keras.layers.Conv2D(1, 3, strides=2))
    with pytest.raises(InputError, match="must be one of"):
        to_atrous(model, 3)
    with pytest.raises(InputError, match="coarser"):
        to_atrous(model, 8)
    with pytest.raises(InputError, match="functional"):
        to_atrous("vgg16", 8)
