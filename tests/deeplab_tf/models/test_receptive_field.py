"""The arithmetic of receptive fields, by hand, and against the pixels that have a gradient."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.models import to_atrous
from deeplab_tf.models.receptive_field import Field, receptive_field


def built(build_map):
    images = keras.Input((None, None, 3))
    return keras.Model(images, build_map(images))


def inception(x):
    """Branches of three depths after a strided start, joined twice, as in GoogLeNet."""
    x = layers.ZeroPadding2D(3)(x)
    x = layers.Conv2D(2, 7, strides=2, name="first")(x)
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for _ in range(2):
        three = layers.Conv2D(2, 3, padding="same")(layers.Conv2D(2, 1)(x))
        pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        wide = layers.SeparableConv2D(2, 3, dilation_rate=2, padding="same")(x)
        x = layers.Concatenate()([x, three, pooled, wide])
    return layers.ReLU()(x)


def test_by_hand():
    network = built(inception)
    # 7; pooling 3 at stride 2: +4 = 11; twice a dilated 3x3 (5 cells) at stride 4: +16 each
    found = receptive_field(network)
    assert found == Field(stride=4, first=-21, last=21, depth=5)
    assert (found.size, found.center) == (43, 0)
    first = receptive_field(network, network.get_layer("first").output)
    assert first == Field(stride=2, first=-3, last=3, depth=1)
    assert receptive_field(built(lambda x: layers.MaxPooling2D(2)(x))).center == 0.5


def footprint(network, size, row):
    """The first and last row of pixels that a row of cells depends on."""
    images = tf.random.stateless_uniform((1, size, size, 3), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(network(images)[:, row])
    rows = np.flatnonzero(np.abs(tape.gradient(total, images)).max(axis=(0, 2, 3)))
    return rows[0], rows[-1]


# Positive weights and no maximum: every pixel of the field then has a gradient.
def positive(network):
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.5, 1, w.shape) for w in network.get_weights()])
    return network


def averaging(x):
    x = layers.Conv2D(2, 5, strides=2, padding="same")(x)
    x = layers.AveragePooling2D(2)(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    return layers.Add()([layers.Conv2D(2, 3, dilation_rate=3, padding="same")(y), x])


@pytest.mark.parametrize("dense", [False, True])
def test_the_pixels_with_a_gradient_are_those_of_the_field(dense):
    network = built(averaging)
    if dense:
        network = to_atrous(network, 2)
    field, row = receptive_field(positive(network)), 16 if dense else 8
    assert field.stride == (2 if dense else 4)
    found = footprint(network, 64, row)
    assert found == (field.first + row * field.stride, field.last + row * field.stride)


def test_a_global_mean_sees_the_whole_image():
    excited = built(
        lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])
    )
    assert receptive_field(excited).size == math.inf
    assert receptive_field(excited).stride == 1


def test_networks_inside_a_network_are_refused():
    inner = built(lambda x: layers.Conv2D(3, 3, strides=2)(x))
    with pytest.raises(InputError, match="is a network inside the network, or comes after"):
        receptive_field(built(lambda x: layers.Conv2D(1, 3)(inner(x))))


def test_unknown_layers_are_refused():
    network = built(lambda x: layers.UpSampling2D(2, name="up")(layers.Conv2D(1, 3, name="c")(x)))
    with pytest.raises(InputError, match=r"layer 'up' \(UpSampling2D\) is unknown; give the"):
        receptive_field(network)
    assert receptive_field(network, network.get_layer("c").output).size == 3
