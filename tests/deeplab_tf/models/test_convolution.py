"""The native dilated convolution against Keras's, and without oneDNN."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models import convolution
from deeplab_tf.models.convolution import AtrousConv2D


def test_a_kernel_with_one_hole_by_hand():
    layer = AtrousConv2D(1, 3, dilation_rate=2, padding="same", kernel_initializer="ones")
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 2, 2] = 1
    expected = np.zeros((5, 5))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(layer(x)[0, :, :, 0], expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("rate", [1, 2, 6])
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


def test_falls_back_where_the_gradient_is_missing(monkeypatch):
    monkeypatch.setattr(convolution, "native_dilation_works", lambda dtype: False)
    monkeypatch.setattr(tf.nn, "conv2d", None)  # so that using it would fail
    layer = AtrousConv2D(2, 3, dilation_rate=2, padding="same")
    assert layer(np.ones((1, 5, 5, 1))).shape == (1, 5, 5, 2)


def test_trains_without_onednn():
    """In a process of its own, since TensorFlow reads the setting once."""
    code = (
        "import tensorflow as tf\n"
        "from deeplab_tf.models.convolution import AtrousConv2D, native_dilation_works\n"
        "layer = AtrousConv2D(2, 3, dilation_rate=2, padding='same')\n"
        "with tf.GradientTape() as tape:\n"
        "    loss = tf.reduce_sum(layer(tf.ones((1, 9, 9, 3))))\n"
        "gradient = tape.gradient(loss, layer.kernel.value)\n"
        "print(native_dilation_works(), float(tf.reduce_sum(gradient)) > 0)\n"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "True"]


def test_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, None, 3)), AtrousConv2D(2, 3, dilation_rate=4, padding="same")]
    )
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert isinstance(loaded.layers[0], AtrousConv2D)
    x = np.random.default_rng(0).normal(size=(1, 11, 13, 3))
    np.testing.assert_array_equal(model(x), loaded(x))


@pytest.mark.parametrize(
    "dtype",
    [
        "mixed_float16",
        pytest.param("mixed_bfloat16", marks=pytest.mark.bfloat16),
    ],
)
def test_there_is_a_gradient_in_16_bits(dtype):
    layer = AtrousConv2D(2, 3, dilation_rate=2, padding="same", dtype=dtype)
    x = tf.random.normal((1, 9, 9, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x), tf.float32))
    gradient = tape.gradient(loss, layer.kernel.value)
    assert gradient.dtype == tf.float32 and np.abs(gradient).max() > 0
