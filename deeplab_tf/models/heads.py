"""From a backbone's last map to class scores: VGG-16's fc6 to fc8, and pyramid pooling.

Also VGG-16's multi-scale features of DeepLab v1 ("MSc"), which later versions dropped.
"""

import dataclasses
import re

import keras
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.labels import ADD_BACKGROUND
from deeplab_tf.models.atrous_layers import AtrousConv2D


@dataclasses.dataclass(frozen=True)
class Head:
    """Parallel branches fc6 - fc7 - fc8, or of fc8 alone, whose scores are summed.

    Attributes:
      rates: dilation rate of each branch's first convolution.
      kernel_size: side of that convolution's kernel.
      channels: filters of fc6 and fc7.
    """

    rates: tuple
    kernel_size: int = 3
    channels: int = 1024

    def suffix(self, rate):
        """The ending of a branch's layer names."""
        return f"_rate{rate}" if len(self.rates) > 1 else ""


HEADS = {
    # DeepLab v2, section 3.2; LargeFOV is also in v1.
    "large_fov": Head((12,)),
    "aspp_s": Head((2, 4, 8, 12)),
    "aspp_l": Head((6, 12, 18, 24)),
    # DeepLab v1: the fields of view that it compares.
    "7x7": Head((4,), 7, 4096),
    "4x4": Head((4,), 4, 4096),
    "4x4_fov": Head((8,), 4, 4096),
    # DeepLab v2: ResNet-101 without LargeFOV and ASPP.
    "plain": Head((1,), 1),
}


@dataclasses.dataclass(frozen=True)
class HeadV3:
    """A head of DeepLab v3 or v3+, see `deeplab_tf.models.heads_v3`.

    Attributes:
      rates: dilation rates of the 3x3 branches at output stride 16.
      decoder: whether the features of stride 4 refine the map.
      windows: number of 3x3 convolutions right before the class scores; None: two after a decoder,
        otherwise none.
      dropout: rate of the dropout after the pyramid pooling.
    """

    rates: tuple = ()
    decoder: bool = False
    windows: int | None = None
    dropout: float = 0.1

    @property
    def has_windows(self):
        """Whether it has 3x3 convolutions, which may be depthwise separable."""
        return bool(self.rates) or self.decoder

    def is_separable(self, backbone):
        """Whether its 3x3 convolutions are depthwise separable in the released networks."""
        of_mobile = self.decoder and not self.rates
        return of_mobile or (self.has_windows and bool(re.fullmatch(r"xception\d+", backbone)))


DECODER_STRIDE = 4  # pixels per cell of the decoder's maps
HEADS_V3 = {
    # DeepLab v3, section 3.3; v3+, section 3.1; v3+'s released MobileNetV2 networks, that of ADE20K
    # with the decoder.
    "aspp_v3": HeadV3((6, 12, 18)),
    "v3plus": HeadV3((6, 12, 18), decoder=True),
    "v3_mobile": HeadV3(),
    "v3plus_mobile": HeadV3(decoder=True),
    # torchvision's v3; v3+ in ports for PyTorch.
    "aspp_v3_torch": HeadV3((6, 12, 18), windows=1, dropout=0.5),
    "v3plus_torch": HeadV3((6, 12, 18), decoder=True, windows=1),
}
_DIRECT_HEADS = ("large_fov", "aspp_s", "aspp_l", "plain")  # of backbones without fc6 and fc7


def head_names():
    """Return the names of the heads."""
    return (*HEADS, *HEADS_V3)


def score_stride(head, output_stride, half_pixel_upsampling=False):
    """Pixels per score cell of a network.

    Args:
      head: its name, see `head_names`.
      output_stride: pixels per cell of the backbone's last map.
      half_pixel_upsampling: see `build_deeplab`; it scores every pixel.
    """
    if half_pixel_upsampling:
        return 1
    has_decoder = head in HEADS_V3 and HEADS_V3[head].decoder
    return DECODER_STRIDE if has_decoder else output_stride


def find_head(name, backbone, channels=None):
    """The `Head` or `HeadV3` of a name.

    Args:
      name: see `head_names`.
      backbone: its name; the branches of vgg16 have fc6 and fc7, those of others only with
        `channels`.
      channels: filters of fc6 and fc7; None: the published number.

    Raises:
      InputError: for an unknown head, a head that the backbone cannot have, or a number of
        filters below 1, or with vgg16 one that does not divide the 4,096 of its classifier.
    """
    if name in HEADS_V3:
        if channels is not None:
            raise InputError(f"fc_channels is no option of head {name!r}; omit it")
        return HEADS_V3[name]
    if name not in HEADS:
        raise InputError(f"unknown head {name!r}; available: {', '.join(head_names())}")
    if backbone == "vgg16" and name == "plain":
        raise InputError("head 'plain' is not available for vgg16; use large_fov")
    if backbone != "vgg16" and name not in _DIRECT_HEADS:
        raise InputError(
            f"head {name!r} is available for vgg16 only; use one of "
            f"{', '.join((*_DIRECT_HEADS, *HEADS_V3))}"
        )
    if channels is None:
        return HEADS[name]
    if name == "plain":
        raise InputError("fc_channels is no option of head 'plain'; omit it")
    if channels < 1:
        raise InputError(f"fc_channels must be at least 1, got {channels}; use 1024 or 4096")
    if backbone == "vgg16" and 4096 % channels:
        raise InputError(f"fc_channels must divide 4096, got {channels}; use 1024 or 4096")
    return dataclasses.replace(HEADS[name], channels=channels)


def check_num_classes(num_classes, predict_depth=False):
    """Refuse a number of classes that cannot be learned, or that 8-bit label maps cannot hold.

    Args:
      num_classes: the number.
      predict_depth: whether the network predicts depth, and has no classes.

    Returns:
      The number of channels of the network's output: `num_classes`, or 1 for depth.

    Raises:
      InputError: unless it is an int from 2 to 255.
    """
    if predict_depth:
        return 1
    if not isinstance(num_classes, int) or not 2 <= num_classes <= 255:
        advice = f"; {ADD_BACKGROUND}" if num_classes == 1 else ""
        raise InputError(f"num_classes must be 2 to 255, got {num_classes!r}{advice}")
    return num_classes


def apply_fully_connected(features, head, num_classes, extra=None):
    """Class scores of branches as in VGG-16: fc6, fc7 (1x1) and fc8 (1x1), with dropout 0.5.

    Figure 7 of DeepLab v2; with one branch, the networks of DeepLab v1.

    Args:
      features: `(B, h, w, C)` at output stride 8, for which the rates are published.
      head: `Head`.
      num_classes: classes, without void.
      extra: `(B, h, w, C)` features that fc8 takes together with those of fc7; or None.

    Returns:
      float32 scores `(B, h, w, num_classes)`.
    """
    scores = []
    for rate in head.rates:
        suffix = head.suffix(rate)
        x = _fully_connected(features, head, rate, suffix)
        if extra is not None:
            x = layers.Concatenate(name=f"fc7_and_features{suffix}")([x, extra])
        scores.append(classifier(1, 1, num_classes, suffix)(x))
    return _sum(scores)


def apply_direct(features, head, num_classes):
    """Class scores of ResNet's branches: one convolution each, straight to the classes.

    Args:
      features, head, num_classes: as for `apply_fully_connected`.

    Returns:
      float32 scores `(B, h, w, num_classes)`.
    """
    return _sum(
        [
            classifier(head.kernel_size, rate, num_classes, head.suffix(rate))(features)
            for rate in head.rates
        ]
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


def classifier(kernel_size, rate, num_classes, suffix):
    """The last layer; float32 in mixed precision too. Training uses 10 times the learning rate."""
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
    return layers.Add(name="scores", dtype="float32")(scores) if len(scores) > 1 else scores[0]


def multi_scale_features(network, output_stride):
    """640 channels from the image and four poolings of VGG-16 (DeepLab v1, section 4.3).

    The image and each of the first four poolings feed two layers, 3x3 and 1x1 with 128 filters
    each; dropout 0.5 follows both. As published, the network is first trained without them, then
    only these layers, whose names start with "msf_", and fc8 are trained:
    `--train_layers='^(msf_|fc8)'`.

    Args:
      network: keras.Model, as `build_backbone("vgg16", ...)` makes it.
      output_stride: pixels per cell of the result, 8 in the paper.

    Returns:
      `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, 640)`.
    """
    image = network.get_layer("block1_conv1").input  # all channels, preprocessed
    taps = [("image", image, 1)]  # name, map, pixels per cell
    for block in (1, 2, 3, 4):
        output = network.get_layer(f"block{block}_pool").output
        taps.append((f"pool{block}", output, min(2**block, output_stride)))
    branches = [_feature_branch(x, name, output_stride // pixels) for name, x, pixels in taps]
    return layers.Concatenate(name="msf_features")(branches)


def _feature_branch(x, name, stride):
    # One cell of padding on all sides centers every stride-th window on its cell.
    x = layers.ZeroPadding2D(1, name=f"msf_{name}_padding")(x)
    for number, (size, step) in enumerate(((3, stride), (1, 1)), 1):
        conv = layers.Conv2D(128, size, strides=step, name=f"msf_{name}_conv{number}")
        x = layers.ReLU(name=f"msf_{name}_relu{number}")(conv(x))
        x = layers.Dropout(0.5, name=f"msf_{name}_drop{number}")(x)
    return x
