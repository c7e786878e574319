"""From a backbone's last map to class scores: VGG-16's fc6 to fc8, and pyramid pooling."""

import dataclasses

import keras
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.models.convolution import AtrousConv2D


@dataclasses.dataclass(frozen=True)
class Head:
    """Parallel branches fc6 - fc7 - fc8, or of fc8 alone, whose scores are summed.

    Attributes:
      rates: holes of fc6, one rate for each branch.
      kernel_size: of fc6.
      channels: filters of fc6 and fc7, of the ImageNet classifier's 4,096.
    """

    rates: tuple
    kernel_size: int = 3
    channels: int = 1024

    def suffix(self, rate):
        """What the layers' names of a branch end in."""
        return f"_rate{rate}" if len(self.rates) > 1 else ""


HEADS = {
    # DeepLab v2, section 3.2; LargeFOV is of v1 as well
    "large_fov": Head((12,)),
    "aspp_s": Head((2, 4, 8, 12)),
    "aspp_l": Head((6, 12, 18, 24)),
    # DeepLab v1: the fields of view it compares
    "7x7": Head((4,), 7, 4096),
    "4x4": Head((4,), 4, 4096),
    "4x4_fov": Head((8,), 4, 4096),
    # ResNet-101 of DeepLab v2 without LargeFOV and ASPP
    "plain": Head((1,), 1),
}
DIRECT_HEADS = ("large_fov", "aspp_s", "aspp_l", "plain")  # of backbones without fc6 and fc7


def head_names():
    """Return the names of the heads."""
    return tuple(HEADS)


def find_head(name, fully_connected, channels=None):
    """The `Head` of a name.

    Args:
      name: see `head_names`.
      fully_connected: whether the backbone's branches have fc6 and fc7, as VGG-16's.
      channels: filters of fc6 and fc7 in place of the published number.

    Raises:
      InputError: for an unknown head, one of VGG-16 for another backbone, or a number of filters
        that does not divide the classifier's 4,096.
    """
    if name not in HEADS:
        raise InputError(f"unknown head {name!r}; known: {', '.join(HEADS)}")
    if not fully_connected and (name not in DIRECT_HEADS or channels is not None):
        raise InputError(
            f"head {name!r} with fc_channels {channels}: only vgg16 has fc6 and fc7; give one of "
            f"{', '.join(DIRECT_HEADS)} without fc_channels, or backbone vgg16"
        )
    if fully_connected and name == "plain":
        raise InputError("head 'plain' is not vgg16's, whose fc6 sees 3x3 cells or more")
    if channels is None:
        return HEADS[name]
    if channels < 1 or 4096 % channels:
        raise InputError(f"fc_channels {channels} must divide 4096; published: 1024 and 4096")
    return dataclasses.replace(HEADS[name], channels=channels)


def apply_fully_connected(features, head, num_classes, extra=None):
    """Class scores of VGG-16's branches: fc6, fc7 (1x1) and fc8 (1x1), with dropout 0.5.

    Figure 7 of DeepLab v2; with one branch, the networks of DeepLab v1.

    Args:
      features: `(B, h, w, 512)` at output stride 8, for which the rates are published.
      head: `Head`.
      num_classes: classes, void not counted.
      extra: `(B, h, w, C)` further features that fc8 sees beside fc7's, or None.

    Returns:
      float32 scores `(B, h, w, num_classes)`.
    """
    scores = []
    for rate in head.rates:
        suffix = head.suffix(rate)
        x = _fully_connected(features, head, rate, suffix)
        if extra is not None:
            x = layers.Concatenate(name=f"fc7_and_features{suffix}")([x, extra])
        scores.append(_classifier(1, 1, num_classes, suffix)(x))
    return _sum(scores)


def apply_direct(features, head, num_classes):
    """Class scores of ResNet's branches: one 3x3 convolution each, straight to the classes.

    Args:
      features, head, num_classes: as for `apply_fully_connected`.

    Returns:
      float32 scores `(B, h, w, num_classes)`.
    """
    return _sum(
        _classifier(head.kernel_size, rate, num_classes, head.suffix(rate))(features)
        for rate in head.rates
    )


def _fully_connected(x, head, rate, suffix):
    fc6 = AtrousConv2D(
        head.channels, head.kernel_size, padding="same", dilation_rate=rate, name=f"fc6{suffix}"
    )
    x = layers.ReLU(name=f"relu6{suffix}")(fc6(x))
    x = layers.Dropout(0.5, name=f"drop6{suffix}")(x)
    x = layers.Conv2D(head.channels, 1, name=f"fc7{suffix}")(x)
    x = layers.ReLU(name=f"relu7{suffix}")(x)
    return layers.Dropout(0.5, name=f"drop7{suffix}")(x)


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


def _sum(scores):
    scores = list(scores)
    return layers.Add(name="scores", dtype="float32")(scores) if len(scores) > 1 else scores[0]
