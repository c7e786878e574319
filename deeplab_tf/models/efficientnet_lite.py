"""EfficientNet-Lite, made for 8 bits and for phones, which keras.applications does not have.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
changed by its authors in 2020: no squeeze-and-excite blocks, ReLU6 in place of swish, and a first
and last convolution that do not grow with the network. Layers have the names and the order of
keras.applications' EfficientNet.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from deeplab_tf.models.like_applications import build_network


class _Scale(NamedTuple):
    """How a network differs from EfficientNet-Lite0."""

    width: float  # factor of the numbers of channels
    depth: float  # factor of the numbers of blocks
    dropout: float  # before the classifier


class _Stage(NamedTuple):
    """Blocks of the same kind; only the first of them has the stride."""

    kernel_size: int
    stride: int
    expansion: int  # the depthwise convolution has so many times the block's input channels
    channels: int  # in EfficientNet-Lite0
    blocks: int  # in EfficientNet-Lite0


# Table 1 of the paper, stages 2 to 8.
_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)
_STEM_CHANNELS, _TOP_CHANNELS = 32, 1280
_MEAN, _DEVIATION = 127 / 255, 128 / 255  # of the images in training, at 0..1
_DROP_RATE = 0.2  # of whole blocks in training: grows from 0 for the first block to almost this


def EfficientNetLite0(**options):
    """EfficientNet-Lite0, 4.7 million parameters; `options` are those of `build_network`."""
    return _network("efficientnetlite0", _Scale(1.0, 1.0, 0.2), **options)


def EfficientNetLite1(**options):
    """EfficientNet-Lite1, 5.4 million parameters; `options` are those of `build_network`."""
    return _network("efficientnetlite1", _Scale(1.0, 1.1, 0.2), **options)


def EfficientNetLite2(**options):
    """EfficientNet-Lite2, 6.1 million parameters; `options` are those of `build_network`."""
    return _network("efficientnetlite2", _Scale(1.1, 1.2, 0.3), **options)


def EfficientNetLite3(**options):
    """EfficientNet-Lite3, 8.2 million parameters; `options` are those of `build_network`."""
    return _network("efficientnetlite3", _Scale(1.2, 1.4, 0.3), **options)


def EfficientNetLite4(**options):
    """EfficientNet-Lite4, 13.0 million parameters; `options` are those of `build_network`."""
    return _network("efficientnetlite4", _Scale(1.4, 1.8, 0.3), **options)


def _network(name, scale, **options):
    """Build a network with its preprocessing; `options` are those of `build_network`."""

    def build_map(images):
        x = _convolve(_preprocess(images), _STEM_CHANNELS, 3, "stem", strides=2)
        return _convolve(_blocks(x, scale), _TOP_CHANNELS, 1, "top")

    remedy = (
        "give --weights=FILE (docs/training.md, ImageNet weights, says where files come from), or "
        "--weights=none for random ones (in Python: weights=PATH or None)"
    )
    # As a configuration, so that a random seed is drawn only for a network with a classifier.
    uniform = {"scale": 1 / 3, "mode": "fan_out", "distribution": "uniform"}
    top = {
        "dropout": scale.dropout,
        "classifier_initializer": {"class_name": "VarianceScaling", "config": uniform},
    }
    return build_network(name, build_map, remedy, **top, **options)


def _preprocess(images):
    """(levels - 127) / 128, in float32 even in mixed precision."""
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(images)
    normalization = layers.Normalization(dtype="float32", name="normalization")
    x = normalization(x)
    # As weights, not as constants of the layer: weights files have them.
    normalization.set_weights([np.full(3, _MEAN), np.full(3, _DEVIATION**2), np.int64(0)])
    normalization.finalize_state()
    return x


def _blocks(x, scale):
    last = len(_STAGES) - 1
    counts = [
        stage.blocks if i in (0, last) else math.ceil(stage.blocks * scale.depth)
        for i, stage in enumerate(_STAGES)
    ]
    done = 0
    for i, (stage, count) in enumerate(zip(_STAGES, counts, strict=True)):
        for j in range(count):
            name = f"block{i + 1}{chr(ord('a') + j)}"
            strides = stage.stride if j == 0 else 1
            channels = _scaled_channels(stage.channels * scale.width)
            x = _block(x, stage, channels, strides, _DROP_RATE * done / sum(counts), name)
            done += 1
    return x


def _block(x, stage, channels, strides, drop_rate, name):
    """An inverted residual block: expand, filter each channel by itself, project."""
    inputs = x
    if stage.expansion != 1:
        x = _convolve(x, x.shape[-1] * stage.expansion, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_convolution_initializer(),
        name=f"{name}_dwconv",
    )(x)
    x = _normalize(x, name)
    x = _convolve(x, channels, 1, f"{name}_project", activate=False)
    if strides > 1 or inputs.shape[-1] != channels:
        return x
    if drop_rate > 0:
        x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, inputs])


def _convolve(x, channels, kernel_size, name, strides=1, activate=True):
    """Convolution without bias, and `_normalize`."""
    x = layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_convolution_initializer(),
        name=f"{name}_conv",
    )(x)
    return _normalize(x, name, activate)


def _normalize(x, name, activate=True):
    """Batch normalization and, unless told otherwise, ReLU6."""
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(6, name=f"{name}_activation")(x) if activate else x


def _convolution_initializer():
    return keras.initializers.VarianceScaling(2, "fan_out", "truncated_normal")


def _scaled_channels(channels):
    """The nearest multiple of 8, but never less than 90 percent of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
