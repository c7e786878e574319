"""The heads of DeepLab v3 and v3+: pyramid pooling with batch normalization, and the decoder.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (v3), and
"Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018
(v3+).
"""

import keras
from keras import layers

from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.heads import DECODER_STRIDE, classifier
from deeplab_tf.models.resize import SpreadOverMap, UpsampleToMap

_FILTERS = 256
_LOW_LEVEL_FILTERS = 48
_BATCH_NORM = {"momentum": 0.9997, "epsilon": 1e-5}


def apply_v3(features, low_level, head, num_classes, output_stride, separable, half_pixel=False):
    """Class scores of a head of DeepLab v3 or v3+.

    Args:
      features: `(B, h, w, C)`, the backbone's last map.
      low_level: `(B, H, W, D)`, its map with 4 pixels per cell; used only by a decoder.
      head: `deeplab_tf.models.heads.HeadV3`.
      num_classes: classes, without void.
      output_stride: pixels per cell of `features`, with a decoder 8, 16 or 32. The published
        dilation rates are for 16; at 8 they are doubled.
      separable: whether the 3x3 convolutions are depthwise separable.
      half_pixel: how the decoder upsamples, see `UpsampleToMap`.

    Returns:
      float32 scores: `(B, h, w, num_classes)`, or `(B, H, W, num_classes)` with a decoder.
    """
    window = _separable if separable else _convolve
    x = _pyramid(features, head, output_stride, window)
    if head.decoder:
        x = _join(x, low_level, output_stride // DECODER_STRIDE, half_pixel)
    windows, place = (2, "decoder") if head.decoder else (0, "aspp_window")
    for number in range(1, 1 + (windows if head.windows is None else head.windows)):
        x = window(x, _FILTERS, 3, f"{place}{number}")
    return classifier(1, 1, num_classes, "")(x)


def _pyramid(features, head, output_stride, window):
    """Image pooling, a 1x1 and the dilated 3x3 convolutions side by side, then 1x1 to 256."""
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="image_pooling")(features)
    pooled = _convolve(pooled, _FILTERS, 1, "image_pooling")
    branches = [SpreadOverMap(name="image_pooling_spread")([pooled, features])]
    branches.append(_convolve(features, _FILTERS, 1, "aspp0"))
    for number, rate in enumerate(head.rates, 1):
        dense_rate = max(1, rate * 16 // output_stride)
        branches.append(window(features, _FILTERS, 3, f"aspp{number}", dense_rate))
    x = layers.Concatenate(name="aspp_concat")(branches)
    x = _convolve(x, _FILTERS, 1, "concat_projection")
    return layers.Dropout(head.dropout, name="concat_projection_dropout")(x)


def _join(x, low_level, factor, half_pixel):
    """Join the map with the projected features of stride 4 (v3+, figure 2)."""
    details = _convolve(low_level, _LOW_LEVEL_FILTERS, 1, "decoder_projection")
    x = UpsampleToMap(factor, half_pixel, name="decoder_upsampled")([x, details])
    return layers.Concatenate(name="decoder_concat")([x, details])


def _convolve(x, filters, kernel_size, name, rate=1):
    """Convolution without bias, and `_normalize`."""
    kind = AtrousConv2D if rate > 1 else layers.Conv2D
    x = kind(
        filters,
        kernel_size,
        padding="same",
        dilation_rate=rate,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return _normalize(x, name)


def _separable(x, filters, kernel_size, name, rate=1):
    """One filter for each channel, then a 1x1 convolution; `_normalize` after both."""
    x = layers.DepthwiseConv2D(
        kernel_size,
        padding="same",
        dilation_rate=rate,
        use_bias=False,
        depthwise_initializer=keras.initializers.TruncatedNormal(stddev=0.33),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalize(x, f"{name}_depthwise")
    x = layers.Conv2D(
        filters,
        1,
        use_bias=False,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.06),
        name=f"{name}_pointwise_conv",
    )(x)
    return _normalize(x, f"{name}_pointwise")


def _normalize(x, name):
    """Batch normalization and ReLU."""
    x = layers.BatchNormalization(**_BATCH_NORM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
