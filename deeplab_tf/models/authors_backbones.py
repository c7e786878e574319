"""Backbones of the DeepLab v3+ authors that keras.applications does not have.

The modified Xception of 41, 65 and 71 layers (v3+, section 3.2 and figure 4): strided separable
convolutions in place of max pooling, and batch normalization after every depthwise convolution.
ResNet-101 "beta": three 3x3 convolutions in place of the first 7x7, and the stride of a stage in
its last block. MobileNetV2 with half the channels: half of 24 is 12, which keras.applications and
the ImageNet classifiers of slim, TensorFlow's older library of networks, round to 16.
"""

from functools import partial
from typing import NamedTuple

import keras
from keras import layers

from deeplab_tf.models.like_applications import build_network


class _Stage(NamedTuple):
    """Units of three separable convolutions; the stride is that of the last one of each unit."""

    name: str
    filters: tuple
    stride: int = 1
    units: int = 1
    shortcut: str | None = "conv"
    inner_relu: bool = False  # ReLU after every convolution, instead of before every separable one


_ENTRY_41 = (
    _Stage("entry1", (128,) * 3, 2),
    _Stage("entry2", (256,) * 3, 2),
    _Stage("entry3", (728,) * 3, 2),
)
_ENTRY_71 = (
    *(_Stage("entry1", (128,) * 3, 2), _Stage("entry2", (256,) * 3)),
    *(_Stage("entry3", (256,) * 3, 2), _Stage("entry4", (728,) * 3)),
    _Stage("entry5", (728,) * 3, 2),
)
_EXIT = (
    _Stage("exit1", (728, 1024, 1024), 2),
    _Stage("exit2", (1536, 1536, 2048), shortcut=None, inner_relu=True),
)
_RESNET_101 = ((64, 3, 2), (128, 4, 2), (256, 23, 2), (512, 3, 1))  # filters, units, stride
# Expansion, channels, blocks, and the stride of the first block, for half the channels.
_HALF = (
    *((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2)),
    *((6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)),
)
# Of batch normalization, as in the authors' networks.
_EPSILON = {"xception": 1e-3, "resnet": 1e-5, "mobilenet": 1e-3}  # added to the variance
_MOMENTUM = {"xception": 0.9997, "resnet": 0.95, "mobilenet": 0.997}


def Xception41(**options):
    """The authors' Xception with 41 layers; `options` are those of `build_network`."""
    return _xception("xception41", _ENTRY_41, 8, **options)


def Xception65(**options):
    """The authors' Xception with 65 layers; `options` are those of `build_network`."""
    return _xception("xception65", _ENTRY_41, 16, **options)


def Xception71(**options):
    """The authors' Xception with 71 layers; `options` are those of `build_network`."""
    return _xception("xception71", _ENTRY_71, 16, **options)


def ResNet101Beta(**options):
    """The authors' ResNet-101 with three 3x3 convolutions first; `options`: see `build_network`."""
    return _network("resnet101beta", _resnet_map, **options)


def MobileNetV2Half(**options):
    """The authors' MobileNetV2 with half the channels; `options`: see `build_network`."""
    remedy = (
        "give --backbone=mobilenetv2_half_rounded, whose weights Keras offers, or --weights=none "
        "for random ones (in Python: weights=None)"
    )
    return build_network("mobilenetv2half", _half_map, remedy, **options)


def MobileNetV2HalfRounded(**options):
    """keras.applications' MobileNetV2 with half the channels, in multiples of 8."""
    return keras.applications.MobileNetV2(alpha=0.5, **options)


def _network(name, build_map, **options):
    """Build a network from the function that makes its last map; `options`: `build_network`'s."""
    remedy = (
        f"give --init_from={name}_imagenet, which downloads the authors', or --weights=none for "
        "random ones (in Python: weights=None, and deeplab_tf.models.start_from(model, "
        f"'{name}_imagenet'))"
    )
    return build_network(name, build_map, remedy, **options)


def _xception(name, entry, middle_units, **options):
    middle = _Stage("middle1", (728,) * 3, units=middle_units, shortcut="sum")

    def build_map(x):
        for number, (filters, stride) in enumerate(((32, 2), (64, 1)), 1):
            x = _convolve(x, filters, 3, f"entry_conv{number}", stride, family="xception")
        for stage in (*entry, middle, *_EXIT):
            for unit in range(1, stage.units + 1):
                x = _xception_unit(x, stage, f"{stage.name}_unit{unit}")
        return x

    return _network(name, build_map, **options)


def _xception_unit(inputs, stage, name):
    x = inputs
    for number, filters in enumerate(stage.filters, 1):
        stride = stage.stride if number == 3 else 1
        place = f"{name}_sep{number}"
        if not stage.inner_relu:
            x = layers.ReLU(name=f"{place}_relu")(x)
        x = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=f"{place}_depthwise"
        )(x)
        x = _normalize(x, f"{place}_depthwise", "xception", stage.inner_relu)
        x = _convolve(x, filters, 1, f"{place}_pointwise", 1, stage.inner_relu, "xception")
    if stage.shortcut is None:
        return x
    shortcut = inputs
    if stage.shortcut == "conv":
        shortcut = _convolve(
            inputs, stage.filters[-1], 1, f"{name}_shortcut", stage.stride, False, "xception"
        )
    return layers.Add(name=f"{name}_add")([x, shortcut])


def _half_map(x):
    x = _mobile_convolve(x, 16, 3, "Conv1", 2)
    number = 0
    for factor, filters, count, stride in _HALF:
        for index in range(count):
            name = f"block_{number}" if number else "expanded_conv"
            x = _inverted_bottleneck(x, factor, filters, 1 if index else stride, name)
            number += 1
    return _mobile_convolve(x, 1280, 1, "Conv_1")


def _inverted_bottleneck(inputs, factor, filters, stride, name):
    """1x1 to `factor` times the channels, a depthwise 3x3, and 1x1 to `filters`."""
    x = inputs
    if factor > 1:
        x = _mobile_convolve(x, factor * inputs.shape[-1], 1, f"{name}_expand")
    x = _mobile_convolve(x, None, 3, f"{name}_depthwise", stride)
    x = _mobile_convolve(x, filters, 1, f"{name}_project", activate=False)
    is_residual = stride == 1 and inputs.shape[-1] == filters
    return layers.Add(name=f"{name}_add")([inputs, x]) if is_residual else x


def _mobile_convolve(x, filters, size, name, strides=1, activate=True):
    """As `_convolve`, with the names of keras.applications; filters None: depthwise."""
    kind = layers.DepthwiseConv2D if filters is None else partial(layers.Conv2D, filters)
    x = kind(size, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = _batch_norm("mobilenet", f"{name}_BN")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _resnet_map(x):
    for number, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        x = _convolve(x, filters, 3, f"conv1_{number}", stride)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    for block, (filters, units, stride) in enumerate(_RESNET_101, 1):
        for unit in range(1, units + 1):
            last = unit == units
            x = _bottleneck(x, filters, stride if last else 1, f"block{block}_unit{unit}")
    return x


def _bottleneck(inputs, filters, stride, name):
    """1x1, 3x3 with the stride, 1x1, and the sum with the inputs."""
    shortcut = inputs
    if inputs.shape[-1] != 4 * filters:
        shortcut = _convolve(inputs, 4 * filters, 1, f"{name}_shortcut", stride, activate=False)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(inputs)
    x = _convolve(inputs, filters, 1, f"{name}_conv1")
    x = _convolve(x, filters, 3, f"{name}_conv2", stride)
    x = _convolve(x, 4 * filters, 1, f"{name}_conv3", activate=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _convolve(x, filters, kernel_size, name, strides=1, activate=True, family="resnet"):
    """Convolution without bias, and `_normalize`."""
    x = layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name
    )(x)
    return _normalize(x, name, family, activate)


def _normalize(x, name, family, activate):
    """Batch normalization and, if wanted, ReLU."""
    x = _batch_norm(family, f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_activation")(x) if activate else x


def _batch_norm(family, name):
    return layers.BatchNormalization(
        momentum=_MOMENTUM[family], epsilon=_EPSILON[family], name=name
    )
