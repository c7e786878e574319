"""From a backbone's last map to class scores: LargeFOV and atrous spatial pyramid pooling."""

import keras
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.models.convolution import AtrousConv2D

# Rates of the parallel branches (DeepLab v2, section 3.2 and table 3).
HEAD_RATES = {
    "large_fov": (12,),
    "aspp_s": (2, 4, 8, 12),
    "aspp_l": (6, 12, 18, 24),
}
FC_CHANNELS = 1024  # filters of fc6 and fc7, of the classifier's 4,096


def head_names():
    """Return the names of the heads."""
    return tuple(HEAD_RATES)


def apply_head(features, head, num_classes, fully_connected):
    """Class scores from the last map, the branches' scores summed.

    Args:
      features: `(B, h, w, C)` at output stride 8, for which the rates are published.
      head: "large_fov" (one 3x3 at rate 12), "aspp_s" (2, 4, 8, 12) or "aspp_l" (6, 12, 18, 24).
      num_classes: classes, void not counted.
      fully_connected: True for VGG-16's branches, fc6 (3x3) - fc7 (1x1) - fc8 (1x1) with dropout
        (figure 7 of DeepLab v2); False for ResNet's, one 3x3 straight to the classes.

    Returns:
      float32 scores `(B, h, w, num_classes)`.

    Raises:
      InputError: for an unknown head.
    """
    if head not in HEAD_RATES:
        raise InputError(f"unknown head {head!r}; known: {', '.join(HEAD_RATES)}")
    rates = HEAD_RATES[head]
    branch = _fully_connected_branch if fully_connected else _direct_branch
    suffixes = [f"_rate{rate}" if len(rates) > 1 else "" for rate in rates]
    scores = [
        branch(features, rate, num_classes, suffix)
        for rate, suffix in zip(rates, suffixes, strict=True)
    ]
    return layers.Add(name="scores", dtype="float32")(scores) if len(scores) > 1 else scores[0]


def _fully_connected_branch(x, rate, num_classes, suffix):
    fc6 = AtrousConv2D(FC_CHANNELS, 3, padding="same", dilation_rate=rate, name=f"fc6{suffix}")
    x = layers.ReLU(name=f"relu6{suffix}")(fc6(x))
    x = layers.Dropout(0.5, name=f"drop6{suffix}")(x)
    x = layers.Conv2D(FC_CHANNELS, 1, name=f"fc7{suffix}")(x)
    x = layers.ReLU(name=f"relu7{suffix}")(x)
    x = layers.Dropout(0.5, name=f"drop7{suffix}")(x)
    return _classifier(1, 1, num_classes, suffix)(x)


def _direct_branch(x, rate, num_classes, suffix):
    return _classifier(3, rate, num_classes, suffix)(x)


def _classifier(kernel_size, rate, num_classes, suffix):
    """The layer whose learning rate is ten times the others'; float32 also in mixed precision."""
    return AtrousConv2D(
        num_classes,
        kernel_size,
        padding="same",
        dilation_rate=rate,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=f"fc8{suffix}",
    )
