"""Backbones of torchvision's DeepLab networks that keras.applications does not have.

ResNet with the stride of a stage in the 3x3 convolution of its first block ("version 1.5"), instead
of in the 1x1 convolution before it; its layers are named as in keras.applications. MobileNetV3
whose last three blocks are dilated by 2 at output stride 16, its first strided window included.
"""

from typing import NamedTuple

from keras import layers

from deeplab_tf.models.like_applications import build_network

_REMEDY = (
    "convert torchvision's DeepLab with `deeplab-tf import-weights --checkpoint=FILE.pth` and give "
    "the result as --init_from, or --weights=none for random ones (in Python: weights=None)"
)
# Of batch normalization; torchvision's momentum is one minus Keras's.
_RESNET_NORM = {"momentum": 0.9, "epsilon": 1e-5}
_MOBILE_NORM = {"momentum": 0.99, "epsilon": 1e-3}


class MobileBlock(NamedTuple):
    """A block of MobileNetV3: 1x1 to more channels, depthwise, squeeze-and-excite, 1x1 to fewer.

    Attributes:
      size: side of the depthwise window.
      expanded, filters: channels after the first and after the last convolution.
      has_gate: whether it has squeeze-and-excite.
      activation: of the first two convolutions.
      stride, rate: of the depthwise convolution.
    """

    size: int
    expanded: int
    filters: int
    has_gate: bool
    activation: str
    stride: int = 1
    rate: int = 1


MOBILENET_V3_LARGE = (  # Howard et al., "Searching for MobileNetV3", table 1
    MobileBlock(3, 16, 16, False, "relu"),
    MobileBlock(3, 64, 24, False, "relu", 2),
    MobileBlock(3, 72, 24, False, "relu"),
    MobileBlock(5, 72, 40, True, "relu", 2),
    *[MobileBlock(5, 120, 40, True, "relu")] * 2,
    MobileBlock(3, 240, 80, False, "hard_silu", 2),
    MobileBlock(3, 200, 80, False, "hard_silu"),
    *[MobileBlock(3, 184, 80, False, "hard_silu")] * 2,
    MobileBlock(3, 480, 112, True, "hard_silu"),
    MobileBlock(3, 672, 112, True, "hard_silu"),
    MobileBlock(5, 672, 160, True, "hard_silu", rate=2),
    *[MobileBlock(5, 960, 160, True, "hard_silu", rate=2)] * 2,
)
FIRST_FILTERS = 16  # of MobileNetV3's first convolution


def ResNet50Torch(**options):
    """torchvision's ResNet-50; `options` are those of `build_network`."""
    return resnet_torch("resnet50torch", (3, 4, 6, 3), 64, **options)


def ResNet101Torch(**options):
    """torchvision's ResNet-101; `options` are those of `build_network`."""
    return resnet_torch("resnet101torch", (3, 4, 23, 3), 64, **options)


def MobileNetV3LargeTorch(**options):
    """torchvision's dilated MobileNetV3-Large; `options` are those of `build_network`."""
    return mobilenet_v3_torch("mobilenetv3largetorch", MOBILENET_V3_LARGE, **options)


def resnet_torch(name, units, width, **options):
    """A ResNet of bottleneck blocks.

    Args:
      name: of the network.
      units: number of blocks in each of the four stages.
      width: filters of the first convolution, 64 in all published networks.
      options: those of `build_network`.

    Returns:
      A functional keras.Model of stride 32.
    """

    def build_map(x):
        # Zeros on all sides center the windows; after the ReLU they change no maximum.
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = _convolve(x, width, 7, "conv1", 2, padding="valid")
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
        for stage, count in enumerate(units, 2):
            for block in range(1, count + 1):
                stride = 2 if stage > 2 and block == 1 else 1
                place = f"conv{stage}_block{block}"
                x = _bottleneck(x, width * 2 ** (stage - 2), stride, block == 1, place)
        return x

    return build_network(name, build_map, _REMEDY, **options)


def _bottleneck(inputs, filters, stride, has_projection, name):
    """1x1, 3x3 with the stride, 1x1, and the sum with the inputs."""
    shortcut = inputs
    if has_projection:
        shortcut = _convolve(inputs, 4 * filters, 1, f"{name}_0", stride, activation=None)
    x = _convolve(inputs, filters, 1, f"{name}_1")
    x = _convolve(x, filters, 3, f"{name}_2", stride)
    x = _convolve(x, 4 * filters, 1, f"{name}_3", activation=None)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def mobilenet_v3_torch(name, blocks, **options):
    """A MobileNetV3 whose strides are 16 in all if some blocks are dilated.

    Args:
      name: of the network.
      blocks: a `MobileBlock` each.
      options: those of `build_network`.

    Returns:
      A functional keras.Model.
    """
    style = {"norm": _MOBILE_NORM, "activation": "hard_silu"}

    def build_map(x):
        x = _convolve(x, FIRST_FILTERS, 3, "conv_first", 2, **style)
        for number, block in enumerate(blocks, 1):
            x = _mobile_block(x, block, f"block{number}")
        return _convolve(x, 6 * blocks[-1].filters, 1, "conv_last", **style)

    return build_network(name, build_map, _REMEDY, **options)


def _mobile_block(inputs, block, name):
    style, x = {"norm": _MOBILE_NORM, "activation": block.activation}, inputs
    if block.expanded != inputs.shape[-1]:
        x = _convolve(x, block.expanded, 1, f"{name}_expand", **style)
    window = layers.DepthwiseConv2D(
        block.size,
        strides=block.stride,
        padding="same",
        dilation_rate=block.rate,
        use_bias=False,
        name=f"{name}_depthwise_conv",
    )
    x = _normalize(window(x), f"{name}_depthwise", **style)
    if block.has_gate:
        x = _gate(x, name)
    x = _convolve(x, block.filters, 1, f"{name}_project", norm=_MOBILE_NORM, activation=None)
    if block.stride == 1 and inputs.shape[-1] == block.filters:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _gate(x, name):
    """Squeeze-and-excite: every channel is weighted by what the image-wide means say."""
    channels = x.shape[-1]
    quarter = channels // 4
    narrow = max(8, (quarter + 4) // 8 * 8)  # a multiple of 8, and not much less than a quarter
    narrow += 8 * (narrow < 0.9 * quarter)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(narrow, 1, activation="relu", name=f"{name}_gate1")(gate)
    gate = layers.Conv2D(channels, 1, activation="hard_sigmoid", name=f"{name}_gate2")(gate)
    return layers.Multiply(name=f"{name}_gated")([x, gate])


def _convolve(
    x, filters, size, name, strides=1, padding="same", norm=_RESNET_NORM, activation="relu"
):
    """Convolution without bias, and `_normalize`."""
    x = layers.Conv2D(
        filters, size, strides=strides, padding=padding, use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalize(x, name, norm, activation)


def _normalize(x, name, norm, activation):
    """Batch normalization and, if wanted, an activation."""
    x = layers.BatchNormalization(**norm, name=f"{name}_bn")(x)
    if activation is None:
        return x
    if activation == "relu":
        return layers.ReLU(name=f"{name}_relu")(x)
    return layers.Activation(activation, name=f"{name}_activation")(x)
