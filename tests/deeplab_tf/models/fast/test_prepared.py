"""Prepared weights against those that the layers compute in every call."""

import keras
import numpy as np
import tensorflow as tf
from seeds import seed

from deeplab_tf.models.fast import convolution
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.fast.prepared import PreparedWeights
from deeplab_tf.training.freezing import batch_norm_layers

layers = keras.layers


def network():
    """Normalized, shared, depthwise and Winograd convolutions, and one without bias."""
    seed(0)
    images = keras.Input((None, None, 3))
    x = layers.BatchNormalization()(layers.Conv2D(128, 3, 2, "same", use_bias=False)(images))
    shared = layers.Conv2D(128, 3, padding="same", dilation_rate=2, activation="relu")
    x = shared(shared(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x))
    model = keras.Model(images, layers.Conv2D(4, 1, use_bias=False)(x))
    rng = np.random.default_rng(1)
    for layer in batch_norm_layers(model):
        layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.weights])
    return model


def images(seed=2):
    return np.random.default_rng(seed).normal(size=(1, 21, 26, 3)).astype(np.float32)


def test_prepared_weights_give_the_same_scores():
    model = network()
    fused = fuse(model)
    prepared = PreparedWeights(fused)
    weights = prepared.compute()
    assert len(weights) == 4  # the convolutions, a shared one once
    assert [kernel.shape.rank for kernel, *_ in weights] == [4, 3, 4, 4]
    assert weights[1][0].shape == (25, 128, 128)
    assert [len(found) for found in weights] == [2, 2, 2, 1]
    with prepared.used(weights):
        found = fused(images(), training=False)
    np.testing.assert_array_equal(found, fused(images(), training=False))
    expected = model(images(), training=False)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_computed_from_the_weights_while_they_are_used(monkeypatch):
    fused = fuse(network())
    prepared = PreparedWeights(fused)
    weights = prepared.compute()

    def transform(kernel, rate):
        raise AssertionError("transformed once more")

    monkeypatch.setattr(convolution, "transform_kernel", transform)
    with prepared.used(weights):
        fused(images(), training=False)


def test_later_weights_have_no_effect_until_they_are_prepared():
    model = network()
    fused = fuse(model)
    prepared = PreparedWeights(fused)
    before = fused(images(), training=False).numpy()
    weights = prepared.compute()
    for layer in batch_norm_layers(model):
        layer.gamma.assign(2 * layer.gamma)
    with prepared.used(weights):
        np.testing.assert_array_equal(fused(images(), training=False), before)
    after = fused(images(), training=False).numpy()
    assert np.abs(after - before).max() > 0.1 * np.abs(before).max()
    with prepared.used(prepared.compute()):
        np.testing.assert_array_equal(fused(images(), training=False), after)


def test_a_graph_takes_them_as_arguments():
    fused = fuse(network())
    prepared = PreparedWeights(fused)

    def score(x, weights):
        with prepared.used(weights):
            return fused(x, training=False)

    spec = tf.TensorSpec([None, None, None, 3])
    graph = tf.function(score, input_signature=[spec, prepared.specs()])
    expected = fused(images(), training=False)
    tolerance = 1e-5 * np.abs(expected).max()
    found = graph(images(), prepared.compute())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    zero = tf.nest.map_structure(tf.zeros_like, prepared.compute())
    np.testing.assert_array_equal(graph(images(), zero), 0 * expected)


def test_a_network_without_convolutions_has_none():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Dense(2)])
    prepared = PreparedWeights(fuse(model))
    assert prepared.compute() == prepared.specs() == []
