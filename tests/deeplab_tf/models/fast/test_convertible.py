"""Networks in the form that converters read compute what they did before."""

import keras
import numpy as np
import tensorflow as tf
from exported import windows_model
from tiny_model import blocks

from deeplab_tf.models.fast.convertible import convertible


def test_dilated_and_strided_windows_keep_the_scores():
    """Odd and even ones; dilated depthwise windows run in converters only, not on every machine."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(4, (3, 4), padding="same", dilation_rate=(2, 3))(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(images, keras.layers.Conv2D(2, 2, dilation_rate=2)(x))
    network = convertible(model)
    for size in ((65, 97), (64, 30), (9, 18)):
        image = blocks(*size)[None].astype(np.float32)
        expected = np.array(model(image))
        found = np.array(network(image))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_every_convolution_is_one_operation_for_images_of_any_size():
    network = convertible(windows_model())
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    graph = tf.function(network).get_concrete_function(spec).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("Conv2D") == 5 and kinds.count("DepthwiseConv2dNative") == 1
    assert not {"SpaceToBatchND", "BatchToSpaceND", "FusedBatchNormV3"} & set(kinds)
    found = {}  # dilation rate -> padding of the operation, and of the map before it
    for operation in graph.get_operations():
        if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            rate, before = operation.get_attr("dilations")[1], operation.inputs[0].op
            pads = tf.get_static_value(before.inputs[1]) if before.type == "Pad" else np.zeros(1)
            key = operation.type, rate
            found.setdefault(key, (operation.get_attr("padding"), pads.max(initial=0)))
    assert found == {
        ("Conv2D", 1): (b"SAME", 0),
        ("DepthwiseConv2dNative", 2): (b"VALID", 2),
        ("Conv2D", 3): (b"VALID", 3),
        ("Conv2D", 2): (b"VALID", 4),  # of 5x5
    }
