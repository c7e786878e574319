"""The dense form of every kind of layer: exact at the original cells, or refused by name."""

import keras
import numpy as np
import pytest
from tiny_model import conv_network

from deeplab_tf.errors import InputError
from deeplab_tf.models import to_atrous
from deeplab_tf.models.normalization import SampledGroupNormalization


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


@pytest.mark.parametrize("size", [12, 13, 15])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kind", ["conv", "pool"])
def test_a_stride_that_is_lost_in_part(kind, padding, size):
    """A stride of 4, of which 2 remain."""
    window = (
        keras.layers.Conv2D(3, 5, strides=4, padding=padding)
        if kind == "conv"
        else keras.layers.AveragePooling2D(3, strides=4, padding=padding)
    )
    model = conv_network(window, keras.layers.Conv2D(2, 2, padding="same"), size=size)
    image = np.random.default_rng(0).normal(size=(2, size, size, 2))
    for keep_size in (True, False):
        sampled = np.array(to_atrous(model, 2, keep_size)(image))[:, ::2, ::2]
        np.testing.assert_allclose(sampled, np.array(model(image)), rtol=1e-5, atol=1e-5)


def test_keep_size_keeps_the_size():
    model = conv_network(keras.layers.Conv2D(1, 3, strides=2), size=9)
    assert to_atrous(model, 1).compute_output_shape((1, 9, 9, 2)) == (1, 8, 8, 1)
    assert to_atrous(model, 1, keep_size=False).compute_output_shape((1, 9, 9, 2)) == (1, 7, 7, 1)


def with_random_weights(model):
    """The model, with other weights than the zeros and ones that many layers start from."""
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(-1, 1, w.shape) for w in model.get_weights()])
    return model


def between_strides(layer):
    """A network of two strided convolutions with the layer behind each."""
    return with_random_weights(
        conv_network(
            keras.layers.Conv2D(4, 3, strides=2, padding="same"),
            layer,
            keras.layers.Conv2D(4, 3, strides=2, padding="same"),
            type(layer).from_config({**layer.get_config(), "name": "second"}),
            size=13,
        )
    )


def assert_exact(model, dense, rate=4, size=13):
    image = np.random.default_rng(1).normal(size=(2, size, size, 2)).astype("float32")
    expected, found = np.array(model(image)), np.array(dense(image))[:, ::rate, ::rate]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LeakyReLU(0.3),
        keras.layers.ELU(),
        keras.layers.PReLU(shared_axes=[1, 2]),
        keras.layers.GroupNormalization(2),
        keras.layers.GroupNormalization(-1, center=False),
        keras.layers.UnitNormalization(),
        keras.layers.LayerNormalization(),
        keras.layers.Softmax(),
        keras.layers.SpatialDropout2D(0.5),
    ],
)
def test_more_layers_are_exact(layer):
    model = between_strides(layer)
    assert_exact(model, to_atrous(model, 1))


def test_group_statistics_are_those_of_the_original_cells():
    """The negative control: statistics of all cells give other values."""
    model = between_strides(keras.layers.GroupNormalization(2))
    dense = to_atrous(model, 1)
    for layer in dense.layers:
        if isinstance(layer, SampledGroupNormalization):
            layer.dilation_rate = 1
    with pytest.raises(AssertionError, match="Not equal"):
        assert_exact(model, dense)


@pytest.mark.parametrize("pool", ["GlobalAveragePooling2D", "GlobalMaxPooling2D"])
def test_channel_attention_is_exact(pool):
    """Squeeze and excite with the layers that people use for it, and functions of keras.ops."""
    images = keras.Input((13, 13, 2))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(images)
    gates = getattr(keras.layers, pool)()(x)
    gates = keras.layers.BatchNormalization(axis=1)(keras.layers.Dense(4)(gates))
    gates = keras.layers.Reshape((1, 1, 4))(keras.ops.sigmoid(gates))
    x = keras.ops.leaky_relu(keras.layers.Multiply()([x, gates]))
    x = keras.layers.Conv2D(3, 3, strides=2, padding="same")(x)
    model = with_random_weights(keras.Model(images, x))
    assert_exact(model, to_atrous(model, 1))


def test_sequential_and_nested_models_are_exact():
    """A Sequential around a model, as people build it from a network of keras.applications."""
    inner = conv_network(
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(3, 2, padding="same"),
        size=None,
    )
    outer = keras.Sequential([keras.Input((13, 13, 2)), inner, keras.layers.Conv2D(3, 3)])
    images = keras.Input((13, 13, 2))
    frozen = keras.Model(images, inner(images, training=False))
    for model in (outer, frozen):
        with_random_weights(model)
        inner.layers[2].moving_variance.assign(np.ones(4))
        dense = to_atrous(model, 1)
        assert_exact(model, dense)
        for a, b in zip(model.get_weights(), dense.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(InputError, match=r"4 pixels per cell.*give 4 or less"):
            to_atrous(model, 8)


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
        ([keras.layers.Flatten(), keras.layers.Reshape((16, 16, 2))], "Flatten"),
        ([keras.layers.Conv2D(1, 3, strides=(2, 1))], "different strides"),
        ([keras.layers.Cropping2D(1)], "Cropping2D"),
        ([keras.layers.Conv2D(1, 3, strides=3)], "skips output stride 2"),
        ([keras.layers.PReLU()], r"slope for every cell .* shared_axes=\[1, 2\]"),
        ([keras.layers.LayerNormalization(axis=(1, 2))], r"along axis \[1, 2\], across the cells"),
        ([keras.layers.UnitNormalization(axis=1)], "along axis 1, across the cells"),
        ([keras.layers.GroupNormalization(1, axis=1)], "along axis 1, across the cells"),
        ([keras.layers.Conv2DTranspose(1, 2, strides=2)], "Conv2DTranspose.* upsamples"),
        ([keras.layers.UpSampling2D()], r"keras.Model\(model.input, model.get_layer"),
        ([keras.layers.Conv2D(1, 1, data_format="channels_first")], "not channels_last"),
    ],
)
def test_layers_that_cannot_be_rewritten(layers, message):
    with pytest.raises(InputError, match=message) as error:
        to_atrous(conv_network(*layers, size=16), 2)
    assert layers[0].name in str(error.value)
    assert "backbone_names()" in str(error.value)


def test_a_constant_of_the_original_size():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, strides=2, padding="same")(images)
    model = keras.Model(images, keras.ops.add(x, np.ones((4, 4, 3), "float32")))
    with pytest.raises(InputError, match="cannot take the denser map"):
        to_atrous(model, 1)
