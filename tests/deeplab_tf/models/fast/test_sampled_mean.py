"""The mean over every r-th cell against the layer that picks the cells."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.models.atrous_layers import SampledGlobalAveragePooling2D, runs_on_cpu
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.fast.sampled_mean import SampledMean, is_supported

pytestmark = pytest.mark.skipif(not runs_on_cpu(), reason="GPUs pick the cells")


def test_by_hand():
    x = tf.constant([[1.0, 9, 2], [9, 9, 9], [3, 9, 6]])[None, :, :, None]
    with tf.GradientTape() as tape:
        tape.watch(x)
        mean = SampledMean(SampledGlobalAveragePooling2D(2))(x)
    assert mean.numpy().tolist() == [[3]]
    quarters = [[0.25, 0, 0.25], [0, 0, 0], [0.25, 0, 0.25]]
    assert tape.gradient(mean, x)[0, :, :, 0].numpy().tolist() == quarters


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("rate", [2, 3, 4])
def test_values_and_gradients(rate, keepdims):
    layer = SampledGlobalAveragePooling2D(rate, keepdims=keepdims)
    rng = np.random.default_rng(0)
    for shape in ((2, 7, 9, 5), (1, 8, 6, 5), (3, 2, 1, 5)):  # the last is smaller than the rate
        x, results = tf.constant(rng.normal(size=shape), tf.float32), []
        for pool in (SampledMean(layer), layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = pool(x)
                loss = tf.reduce_sum(tf.sin(y))
            results.append((y, tape.gradient(loss, x)))
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_maps_of_unknown_size_in_a_fused_network():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, SampledGlobalAveragePooling2D(2, keepdims=True)(images))
    fused = fuse(model)
    assert isinstance(fused.layers[-1], SampledMean)
    assert fused.output_shape == (None, 1, 1, 3)
    score = tf.function(fused, input_signature=[tf.TensorSpec([None, None, None, 3])])
    for shape in ((1, 5, 4, 3), (2, 6, 7, 3)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(score(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "supported"),
    [
        (SampledGlobalAveragePooling2D(2), True),
        (SampledGlobalAveragePooling2D(1), False),  # every cell; TensorFlow's own is as fast
        (SampledGlobalAveragePooling2D(2, data_format="channels_first"), False),
        (SampledGlobalAveragePooling2D(2, dtype="mixed_bfloat16"), False),
        (keras.layers.GlobalAveragePooling2D(), False),
    ],
)
def test_what_is_supported(layer, supported):
    assert is_supported(layer) == supported
