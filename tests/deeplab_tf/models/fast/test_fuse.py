"""Fused networks against the same networks called layer by layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf import build_deeplab
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.fast import convolution as fast_convolution
from deeplab_tf.models.fast import fuse as fused
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.freezing import batch_norm_layers, freeze_bn

layers = keras.layers


def trained(model, seed=0):
    """Give the normalisation statistics as a training leaves them."""
    rng = np.random.default_rng(seed)
    for layer in batch_norm_layers(model):
        for variable in layer.variables:
            low = 0.5 if variable.name in ("gamma", "moving_variance") else -0.5
            variable.assign(rng.uniform(low, low + 1, variable.shape))
    return model


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


def test_a_normalised_convolution_by_hand():
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


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50", "mobilenetv2", "efficientnetb0"])
def test_networks_give_the_same_scores(backbone):
    model = trained(build_deeplab(backbone, "large_fov", 5, weights=None))
    assert_close(fuse(model)(image()), model(image(), training=False), 2e-5)


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


def test_what_cannot_be_fused_stays():
    """Normalisation before the convolution, behind an activation, or of a sum."""
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3, activation="relu")(layers.BatchNormalization()(x))
    z = layers.BatchNormalization()(y)
    total = layers.BatchNormalization()(layers.Add()([y, z]))
    model = trained(keras.Model(x, total))
    assert_close(fuse(model)(image(9)), model(image(9)))


def test_a_result_that_is_used_twice():
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3)(x)
    model = trained(keras.Model(x, layers.Add()([layers.BatchNormalization()(y), y])))
    assert_close(fuse(model)(image(9)), model(image(9)))


def test_several_scales_share_the_network():
    model = trained(build_deeplab("mobilenetv2", "large_fov", 3, weights=None, scales=(0.5, 1)))
    assert_close(fuse(model)(image()), model(image(), training=False), 2e-5)


def test_follows_the_weights():
    model = trained(build_deeplab("mobilenetv2", "large_fov", 3, weights=None))
    score = tf.function(fuse(model))
    before = score(image()).numpy()
    trained(model, seed=5)
    assert_close(score(image()), model(image(), training=False), 2e-5)
    assert np.abs(score(image()) - before).max() > 1e-3 * np.abs(before).max()


def smooth_network():
    """Normalised convolutions with and without holes; rounding turns no ReLU on or off."""
    x = keras.Input((None, None, 3))
    y = layers.Activation("tanh")(layers.BatchNormalization()(layers.Conv2D(6, 3, 2)(x)))
    y = AtrousConv2D(6, 3, padding="same", dilation_rate=2)(y)
    y = layers.Activation("tanh")(layers.BatchNormalization()(y))
    return trained(keras.Model(x, AtrousConv2D(2, 3, padding="same", dilation_rate=12)(y)))


def test_training_with_frozen_normalisation_has_the_same_gradients(monkeypatch):
    model = smooth_network()
    freeze_bn(model)
    images, results = image(33) / 255, []
    for call in (lambda x: model(x, training=True), lambda x: fuse(model)(x, training=True)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(call(images) ** 2)
        results.append(tape.gradient(loss, model.trainable_variables))
        calls = calls_of(monkeypatch, layers.BatchNormalization)
    assert not calls and len(results[0]) == 6
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected.numpy())


def test_training_of_normalisation_takes_the_batch():
    x = keras.Input((None, None, 3))
    model = keras.Model(x, layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    (layer,) = batch_norm_layers(model)
    before = layer.moving_mean.numpy()
    found = fuse(model)(image(9), training=True)
    np.testing.assert_allclose(np.mean(found, axis=(0, 1, 2)), 0, atol=1e-4)
    assert np.any(layer.moving_mean.numpy() != before)


def test_dropout_drops_in_training_alone():
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


def test_a_model_that_is_no_graph_is_called():
    class Doubled(keras.Model):
        def call(self, x, training=None):
            return x * (3.0 if training else 2.0)

    assert fuse(Doubled())(tf.ones((1, 2))).numpy().tolist() == [[2, 2]]
    assert fuse(Doubled())(tf.ones((1, 2)), training=True).numpy().tolist() == [[3, 3]]


def test_a_model_with_a_call_of_its_own_is_called():
    class Doubled(keras.Model):
        def call(self, x, training=None, mask=None):
            return 2 * super().call(x, training=training, mask=mask)

    x = keras.Input((1,))
    model = Doubled(x, layers.Rescaling(3.0)(x))
    assert model(tf.ones((1, 1))).numpy().tolist() == [[6]]
    assert fuse(model)(tf.ones((1, 1))).numpy().tolist() == [[6]]


def test_images_of_integers():
    model = trained(build_deeplab("mobilenetv2", "large_fov", 3, weights=None))
    levels = image().astype(np.uint8)
    assert_close(fuse(model)(levels), model(levels, training=False), 2e-5)


def test_winograd_where_there_are_channels_and_no_gradients(monkeypatch):
    calls = []
    monkeypatch.setattr(
        fast_convolution, "winograd_conv2d", lambda *a: calls.append(a) or tf.zeros((1, 9, 9, 128))
    )
    x = keras.Input((None, None, 128))
    model = keras.Model(x, layers.Conv2D(128, 3, padding="same")(x))
    images = tf.ones((1, 9, 9, 128))
    fuse(model)(images, training=True)
    assert not calls
    fuse(model)(images)
    assert len(calls) == 1
    assert fused.is_supported(model.layers[1])
