"""The dilated convolution against Keras's own, with and without oneDNN; pooling by hand."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from fresh_process import run_python

from deeplab_tf.models import atrous_layers
from deeplab_tf.models.atrous_layers import (
    AtrousConv2D,
    AtrousPooling2D,
    SampledGlobalAveragePooling2D,
    SampledGlobalMaxPooling2D,
    WindowPadding2D,
)


def test_a_dilated_kernel_by_hand():
    layer = AtrousConv2D(1, 3, dilation_rate=2, padding="same", kernel_initializer="ones")
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 2, 2] = 1
    expected = np.zeros((5, 5))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(layer(x)[0, :, :, 0], expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("rate", [1, 2, 6])
@pytest.mark.usefixtures("tf_seed")
def test_values_and_gradients_equal_keras(rate, padding):
    x = tf.random.normal((2, 17, 15, 4))
    arguments = {"filters": 3, "kernel_size": 3, "dilation_rate": rate, "padding": padding}
    native, reference = AtrousConv2D(**arguments), keras.layers.Conv2D(**arguments)
    results = []
    for layer in (native, reference):
        layer.build(x.shape)
        layer.set_weights(native.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        results.append([y, *tape.gradient(loss, [x, layer.kernel.value])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_keras_computes_it_if_the_native_gradient_is_missing(monkeypatch):
    monkeypatch.setattr(atrous_layers, "native_dilation_works", lambda dtype: False)
    monkeypatch.setattr(tf.nn, "conv2d", None)  # so that calling it would fail
    layer = AtrousConv2D(2, 3, dilation_rate=2, padding="same")
    assert layer(np.ones((1, 5, 5, 1))).shape == (1, 5, 5, 2)


@pytest.mark.slow
def test_trains_without_onednn():
    """In its own process, because TensorFlow reads the setting only once."""
    program = """
        import tensorflow as tf
        from deeplab_tf.models.atrous_layers import AtrousConv2D, native_dilation_works
        layer = AtrousConv2D(2, 3, dilation_rate=2, padding="same")
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(tf.ones((1, 9, 9, 3))))
        gradient = tape.gradient(loss, layer.kernel.value)
        print(native_dilation_works(), float(tf.reduce_sum(gradient)) > 0)
    """
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
    done = run_python(program, environment=environment)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "dtype", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.bfloat16)]
)
@pytest.mark.usefixtures("tf_seed")
def test_gradient_in_16_bits(dtype):
    layer = AtrousConv2D(2, 3, dilation_rate=2, padding="same", dtype=dtype)
    x = tf.random.normal((1, 9, 9, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x), tf.float32))
    gradient = tape.gradient(loss, layer.kernel.value)
    assert gradient.dtype == tf.float32 and np.abs(gradient).max() > 0


def test_pooling_by_hand():
    x = np.array([[1.0, 5, 2, 4], [3, 0, 9, 1], [7, 2, 6, 8], [4, 4, 1, 0]])[None, :, :, None]
    dense = AtrousPooling2D("max", (2, 2), strides=(2, 2), dilation_rate=2)(x)
    expected = [[7, 8, 6, 8], [9, 4, 9, 1], [7, 8, 6, 8], [4, 4, 1, 0]]
    np.testing.assert_array_equal(dense[0, :, :, 0], expected)
    mean = AtrousPooling2D("average", (1, 2))(x)
    np.testing.assert_array_equal(mean[0, 0, :, 0], [3, 3.5, 3, 4])


def test_global_mean_over_the_original_cells():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert SampledGlobalAveragePooling2D(2)(x)[0, 0] == np.mean([0, 2, 8, 10])
    assert SampledGlobalMaxPooling2D(2)(x)[0, 0] == 10


@pytest.mark.parametrize(
    "layer",
    [
        AtrousConv2D(2, 3, dilation_rate=4, padding="same"),
        WindowPadding2D((3, 3), (2, 2), 2, "centered", extra=(1, 0), keep_size=False),
        AtrousPooling2D("average", (2, 2), dilation_rate=3),
        SampledGlobalAveragePooling2D(2, keepdims=True),
        SampledGlobalMaxPooling2D(2),
    ],
)
def test_saved_and_loaded(layer, tmp_path):
    model = keras.Sequential([keras.Input((11, 13, 3)), layer])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert type(loaded.layers[0]) is type(layer)
    x = np.random.default_rng(0).normal(size=(1, 11, 13, 3))
    np.testing.assert_array_equal(model(x), loaded(x))


def test_the_spelling_of_older_files():
    config = WindowPadding2D((3, 3), padding="centered").get_config()
    assert WindowPadding2D.from_config({**config, "padding": "centred"}).padding == "centered"


def test_unknown_arguments():
    with pytest.raises(ValueError, match=r"padding must be one of \('valid', 'same', 'centered'\)"):
        WindowPadding2D((3, 3), padding="full")
    with pytest.raises(ValueError, match='pool must be "max" or "average"'):
        AtrousPooling2D("min", (2, 2))
