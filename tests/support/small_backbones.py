"""VGG-16 and MobileNet with few channels or layers, for tests that any network serves.

Drawing, copying and saving the 15 million weights of VGG-16, or building the 86 layers of
MobileNet, takes longer than all the rest of such a test. The names and kinds of layers are those of
keras.applications.
"""

import contextlib

import keras
import pytest
from keras import layers

from deeplab_tf.models import foreign_weights
from deeplab_tf.models.like_applications import build_network

CHANNELS = (4, 8, 16, 16, 16)  # of the five blocks of either network

BLOCKS = tuple(zip(range(1, 6), CHANNELS, (2, 2, 3, 3, 3), strict=True))
"""Number, channels and convolutions of VGG-16's blocks."""


def small_vgg16(**options):
    """VGG-16 with a sixteenth of its channels, or less; the options of keras.applications."""

    def build_map(x):
        for block, filters, count in BLOCKS:
            for number in range(1, count + 1):
                name = f"block{block}_conv{number}"
                x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
            x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
        return x

    return build_network("vgg16", build_map, "give weights=None", **options)


def small_mobilenet(**options):
    """MobileNet with 4 of its 13 blocks, those that have strides; the options as above."""

    def normalized(x, name):
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    def build_map(x):
        first, *others = CHANNELS
        convolution = {"padding": "same", "use_bias": False}
        x = layers.Conv2D(first, 3, strides=2, name="conv1", **convolution)(x)
        x = normalized(x, "conv1")
        for block, filters in enumerate(others, 1):
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{block}")(x)
            window = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name=f"conv_dw_{block}")
            x = normalized(window(x), f"conv_dw_{block}")
            x = layers.Conv2D(filters, 1, name=f"conv_pw_{block}", **convolution)(x)
            x = normalized(x, f"conv_pw_{block}")
        return x

    return build_network("mobilenet", build_map, "give weights=None", **options)


@contextlib.contextmanager
def small_backbones(*names):
    """Every VGG-16 and MobileNet that is built in this context is a small one.

    Args:
      names: "VGG16" or "MobileNet", if only one of them is to be small.
    """
    small = {"VGG16": small_vgg16, "MobileNet": small_mobilenet}
    shapes_of = foreign_weights._shapes  # remembers the shapes of every backbone
    with pytest.MonkeyPatch.context() as patch:
        for name in names or small:
            patch.setattr(keras.applications, name, small[name])
        shapes_of.cache_clear()
        yield
        shapes_of.cache_clear()
