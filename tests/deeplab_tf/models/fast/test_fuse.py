"""Fused networks against the original networks."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_backbones import small_backbones

from deeplab_tf import build_deeplab
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.fast import convolution as fast_convolution
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.multiscale import with_branches
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.freezing import batch_norm_layers

layers = keras.layers


def trained(model, seed=0):
    """Give the batch normalization random weights and statistics."""
    rng = np.random.default_rng(seed)
    for layer in batch_norm_layers(model):
        for variable in layer.variables:
            low = 0.5 if variable.name in ("gamma", "moving_variance") else -0.5
            variable.assign(rng.uniform(low, low + 1, variable.shape))
    return model


def ids(variables):
    return {id(variable) for variable in variables}


def image(size=65, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


def assert_close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def calls_of(monkeypatch, layer_type):
    """How often layers of a type are called from now on, as the list's length."""
    calls, call = [], layer_type.call
    monkeypatch.setattr(
        layer_type, "call", lambda self, *a, **k: calls.append(self) or call(self, *a, **k)
    )
    return calls


def test_a_normalized_convolution_by_hand():
    x = keras.Input((None, None, 1))
    y = layers.BatchNormalization(epsilon=0)(layers.Conv2D(1, 1)(x))
    model = keras.Model(x, y)
    # y = 3 x + 1, minus its mean 7, through its deviation 2, times 5, plus 11
    model.set_weights(
        [
            np.full(s, v, np.float32)
            for s, v in zip(
                [(1, 1, 1, 1), (1,), (1,), (1,), (1,), (1,)], [3, 1, 5, 11, 7, 4], strict=True
            )
        ]
    )
    assert fuse(model)(np.full((1, 1, 1, 1), 4, np.float32)).numpy() == 5 * (13 - 7) / 2 + 11


@pytest.mark.parametrize("backbone", ["vgg16", "mobilenetv3small"])
def test_networks_give_the_same_scores(backbone):
    """A network for Winograd convolution, and one with bare arithmetic operations."""
    model = trained(build_deeplab(backbone, "large_fov", 5, weights=None))
    assert_close(fuse(model)(image(49)), model(image(49), training=False), 2e-5)


@pytest.fixture(scope="module")
def multi_scale():
    """A network that calls a nested one at two scales, and its fused form."""
    with small_backbones():
        network = build_deeplab("mobilenet", "large_fov", 3, weights=None, scales=(0.5, 1))
    model = trained(network)
    return model, fuse(model)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    "convolution",
    [
        layers.Conv2D(6, 3, use_bias=False),
        layers.Conv2D(6, 3, 2, "same", groups=2),
        layers.DepthwiseConv2D(3, depth_multiplier=3, padding="same"),
    ],
    ids=["plain", "groups", "depthwise"],
)
def test_every_kind_of_convolution(convolution, center, scale, monkeypatch):
    x = keras.Input((None, None, 2))
    copy = type(convolution).from_config(convolution.get_config())
    y = layers.BatchNormalization(center=center, scale=scale)(copy(x))
    model = trained(keras.Model(x, layers.ReLU()(y)))
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 2)).astype(np.float32)
    expected = model(images)
    calls = calls_of(monkeypatch, layers.BatchNormalization)
    assert_close(fuse(model)(images), expected)
    assert not calls


def test_normalizations_that_cannot_be_folded_are_kept():
    """Those before a convolution, after an activation, or of a sum."""
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3, activation="relu")(layers.BatchNormalization()(x))
    z = layers.BatchNormalization()(y)
    total = layers.BatchNormalization()(layers.Add()([y, z]))
    model = trained(keras.Model(x, total))
    assert_close(fuse(model)(image(9)), model(image(9)))


def used_twice():
    """A network in which the result of a convolution is used with and without normalization."""
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3)(x)
    return trained(keras.Model(x, layers.Add()([layers.BatchNormalization()(y), y])))


def test_a_result_that_is_used_twice():
    model = used_twice()
    assert_close(fuse(model)(image(9)), model(image(9)))


def test_a_layer_that_is_called_twice():
    x = keras.Input((None, None, 3))
    convolution, normalization = layers.Conv2D(3, 3), layers.BatchNormalization()
    y = normalization(convolution(normalization(convolution(x))))
    model = trained(keras.Model(x, y))
    assert_close(fuse(model)(image(9)), model(image(9)))


def test_several_scales_share_the_network(multi_scale):
    model, fused = multi_scale
    assert_close(fused(image()), model(image(), training=False), 2e-5)
    assert ids(fused.variables) == ids(model.variables)
    assert ids(fused.trainable_variables) == ids(model.trainable_variables)


def test_several_outputs(multi_scale):
    model = with_branches(multi_scale[0])
    found, expected = fuse(model)(image(33)), model(image(33), training=False)
    assert len(found) == len(expected) == 3
    for pair in zip(found, expected, strict=True):
        assert_close(*pair, 2e-5)


def test_images_of_integers(multi_scale):
    model, fused = multi_scale
    levels = image(33).astype(np.uint8)
    assert_close(fused(levels), model(levels, training=False), 2e-5)


def test_follows_the_weights(multi_scale):
    model, fused = multi_scale
    score = tf.function(fused)
    before = score(image(33)).numpy()
    trained(model, seed=5)
    assert_close(score(image(33)), model(image(33), training=False), 2e-5)
    assert np.abs(score(image(33)) - before).max() > 1e-3 * np.abs(before).max()


@pytest.mark.parametrize("make", [used_twice, lambda: smooth_network()], ids=["twice", "smooth"])
def test_a_saved_fused_network_is_loaded_in_safe_mode(make, tmp_path):
    fused = fuse(make())
    fused.save(tmp_path / "fused.keras")
    loaded = keras.saving.load_model(tmp_path / "fused.keras", safe_mode=True)
    assert [variable.shape for variable in loaded.variables] == [
        variable.shape for variable in fused.variables
    ]
    np.testing.assert_array_equal(
        loaded.predict(image(33), verbose=0), fused.predict(image(33), verbose=0)
    )


def test_fit_trains_the_original():
    model = smooth_network()
    before = [variable.numpy() for variable in model.trainable_variables]
    fused = fuse(model)
    fused.compile("sgd", "mse")
    fused.fit(image(33), np.ones((1, 16, 16, 2), np.float32), verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(variable.numpy() != old)


def test_a_fused_network_is_freed_and_leaves_the_original_unchanged():
    model = smooth_network()
    model.compile("sgd", "mse")
    fused = fuse(model)
    assert not fused.compiled  # it would have an optimizer with its own variables
    reference = weakref.ref(fused)
    del fused
    gc.collect()
    assert reference() is None
    for layer in model.layers[1:]:
        assert layer.output is not None  # raises if the layer has been called a second time


def smooth_network():
    """Normalized and dilated convolutions, without ReLUs that rounding could turn on or off."""
    x = keras.Input((None, None, 3))
    y = layers.Activation("tanh")(layers.BatchNormalization()(layers.Conv2D(6, 3, 2)(x)))
    y = AtrousConv2D(6, 3, padding="same", dilation_rate=2)(y)
    y = layers.Activation("tanh")(layers.BatchNormalization()(y))
    return trained(keras.Model(x, AtrousConv2D(2, 3, padding="same", dilation_rate=12)(y)))


def test_training_with_frozen_normalization_has_the_same_gradients(monkeypatch):
    model = smooth_network()
    for layer in batch_norm_layers(model):  # without the biases, so that they are compared too
        layer.trainable = False
    images, results = image(33) / 255, []
    for network in (model, fuse(model)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(images, training=True) ** 2)
        results.append(tape.gradient(loss, model.trainable_variables))
        calls = calls_of(monkeypatch, layers.BatchNormalization)
    assert not calls and len(results[0]) == 6
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected.numpy())


def test_training_normalization_uses_the_batch_and_updates_its_statistics():
    x = keras.Input((None, None, 3))
    model = keras.Model(x, layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    (layer,) = batch_norm_layers(model)
    before = layer.moving_mean.numpy()
    found = fuse(model)(image(9), training=True)
    np.testing.assert_allclose(np.mean(found, axis=(0, 1, 2)), 0, atol=1e-4)
    assert np.any(layer.moving_mean.numpy() != before)


def test_dropout_is_active_only_in_training():
    x = keras.Input((None, None, 3))
    model = keras.Model(x, layers.Dropout(0.5)(x))
    assert np.array_equal(fuse(model)(image(9)), image(9))
    assert 0 < np.mean(fuse(model)(image(9), training=True) == 0) < 1


@pytest.mark.bfloat16
def test_mixed_precision_stays_16_bits():
    def build():
        x = keras.Input((None, None, 3))
        return keras.Model(x, layers.BatchNormalization()(layers.Conv2D(8, 3)(x)))

    model = trained(build_with_precision(build, "mixed_bfloat16")[0])
    found = fuse(model)(image(9))
    assert found.dtype == tf.bfloat16
    assert_close(tf.cast(found, tf.float32), tf.cast(model(image(9)), tf.float32), 0.02)


def test_a_model_that_is_not_functional_is_returned():
    class Doubled(keras.Model):
        def call(self, x, training=None):
            return x * (3.0 if training else 2.0)

    model = Doubled()
    assert fuse(model) is model


def test_a_model_with_its_own_call_is_returned_or_kept():
    class Doubled(keras.Model):
        def call(self, x, training=None, mask=None):
            return 2 * super().call(x, training=training, mask=mask)

    x = keras.Input((1,))
    model = Doubled(x, layers.Rescaling(3.0)(x))
    assert fuse(model) is model
    outer = keras.Model(x, layers.Rescaling(5.0)(model(x)))
    assert fuse(outer)(tf.ones((1, 1))).numpy().tolist() == [[30]]


def test_winograd_for_many_channels_at_inference(monkeypatch):
    calls = []

    def convolve(x, weights, rate):
        calls.append(rate)
        return tf.zeros((1, 9, 9, 128))

    monkeypatch.setattr(fast_convolution, "convolve_transformed", convolve)
    x = keras.Input((None, None, 128))
    model = keras.Model(x, layers.Conv2D(128, 3, padding="same")(x))
    images = tf.ones((1, 9, 9, 128))
    fuse(model)(images, training=True)
    assert not calls
    fuse(model)(images)
    assert calls == [1]
