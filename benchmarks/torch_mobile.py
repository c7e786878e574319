"""Networks of depthwise convolutions in PyTorch, as `build_deeplab` has them; needs only torch.

MobileNetV2, MobileNetV3Small and EfficientNet-Lite0 with the heads of LargeFOV and ASPP-S, for the
workers that measure PyTorch. A block that would lead beyond the output stride loses its stride; the
blocks after it are dilated.
"""

import functools
from typing import NamedTuple

import torch
from torch import nn


class Block(NamedTuple):
    """An inverted residual block: expand, filter every channel by itself, project."""

    kernel_size: int
    stride: int
    hidden: int  # channels of the depthwise convolution
    channels: int  # of the result
    activation: type = nn.ReLU6
    squeeze: int = 0  # channels of squeeze-and-excite; 0: none
    drop_rate: float = 0.0  # how often training leaves the block out


class Network(NamedTuple):
    """A backbone."""

    stem: int  # channels of the first convolution
    blocks: list
    top: int  # channels of the last convolution
    activation: type = nn.ReLU6  # of both


def stages(*rows, stem=32, drop_rate=0.0):
    """Blocks of rows (kernel size, stride, expansion, channels, number of blocks)."""
    blocks, channels, count = [], stem, sum(row[-1] for row in rows)
    for kernel_size, stride, expansion, width, repeats in rows:
        for i in range(repeats):
            drop = drop_rate * len(blocks) / count
            stride = stride if i == 0 else 1
            hidden = channels * expansion
            blocks.append(Block(kernel_size, stride, hidden, width, drop_rate=drop))
            channels = width
    return blocks


MOBILENET_V2 = Network(
    32,
    stages(
        *[(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (3, 2, 6, 32, 3), (3, 2, 6, 64, 4)],
        *[(3, 1, 6, 96, 3), (3, 2, 6, 160, 3), (3, 1, 6, 320, 1)],
    ),
    1280,
)
EFFICIENTNET_LITE0 = Network(
    32,
    stages(
        *[(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)],
        *[(5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)],
        drop_rate=0.2,
    ),
    1280,
)
MOBILENET_V3_SMALL = Network(
    16,
    [
        Block(3, 2, 16, 16, nn.ReLU, 8),
        Block(3, 2, 72, 24, nn.ReLU),
        Block(3, 1, 88, 24, nn.ReLU),
        Block(5, 2, 96, 40, nn.Hardswish, 24),
        Block(5, 1, 240, 40, nn.Hardswish, 64),
        Block(5, 1, 240, 40, nn.Hardswish, 64),
        Block(5, 1, 120, 48, nn.Hardswish, 32),
        Block(5, 1, 144, 48, nn.Hardswish, 40),
        Block(5, 2, 288, 96, nn.Hardswish, 72),
        Block(5, 1, 576, 96, nn.Hardswish, 144),
        Block(5, 1, 576, 96, nn.Hardswish, 144),
    ],
    576,
    nn.Hardswish,
)


def convolution(channels, width, kernel_size=1, stride=1, rate=1, groups=1, activation=None):
    """Convolution without bias, batch normalization, and an activation."""
    padding = kernel_size // 2 * rate
    sizes = {"stride": stride, "padding": padding, "dilation": rate, "groups": groups}
    layers = [
        nn.Conv2d(channels, width, kernel_size, bias=False, **sizes),
        nn.BatchNorm2d(width, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class SqueezeAndExcite(nn.Module):
    """Channels weighted by a small network of the means at every `rate`-th cell."""

    def __init__(self, channels, squeezed, rate):
        super().__init__()
        self.rate = rate
        self.body = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(True),
        )

    def forward(self, x):
        """The weighted channels."""
        means = x[:, :, :: self.rate, :: self.rate].mean((2, 3), keepdim=True)
        return x * self.body(means)


class InvertedResidual(nn.Module):
    """A `Block` at a stride and a dilation rate."""

    def __init__(self, channels, block, stride, rate, next_rate):
        super().__init__()
        hidden, activation = block.hidden, block.activation
        layers = []
        if hidden != channels:
            layers.append(convolution(channels, hidden, activation=activation))
        layers.append(
            convolution(hidden, hidden, block.kernel_size, stride, rate, hidden, activation)
        )
        if block.squeeze:
            layers.append(SqueezeAndExcite(hidden, block.squeeze, next_rate))
        layers.append(convolution(hidden, block.channels))
        self.body = nn.Sequential(*layers)
        self.adds = block.stride == 1 and channels == block.channels
        self.drop_rate = block.drop_rate

    def forward(self, x):
        """The block's result."""
        y = self.body(x)
        if not self.adds:
            return y
        if self.training and self.drop_rate:
            kept = torch.rand(len(y), 1, 1, 1) >= self.drop_rate
            y = y * (kept / (1 - self.drop_rate)).to(y.dtype)
        return x + y


class MobileNetwork(nn.Module):
    """A backbone at an output stride, and the sum of dilated 3x3 convolutions to the classes.

    Args:
      num_classes: number of classes.
      network: `Network`.
      output_stride: pixels per cell.
      rates: dilation rate of each of the last convolutions.
    """

    def __init__(self, num_classes, network, output_stride, rates):
        super().__init__()
        layers = [convolution(3, network.stem, 3, 2, activation=network.activation)]
        channels, stride, rate = network.stem, 2, 1
        for block in network.blocks:
            kept = block.stride if stride * block.stride <= output_stride else 1
            next_rate = rate * block.stride // kept
            layers.append(InvertedResidual(channels, block, kept, rate, next_rate))
            channels, stride, rate = block.channels, stride * kept, next_rate
        layers.append(convolution(channels, network.top, activation=network.activation))
        self.base = nn.Sequential(*layers)
        self.fc8 = nn.ModuleList(
            nn.Conv2d(network.top, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, x):
        """Scores of images."""
        x = self.base(x)
        return sum(branch(x) for branch in self.fc8)


BACKBONES = {
    "mobilenetv2": MOBILENET_V2,
    "mobilenetv3small": MOBILENET_V3_SMALL,
    "efficientnetlite0": EFFICIENTNET_LITE0,
}
RATES = {"large_fov": (12,), "aspp_s": (2, 4, 8, 12)}
STRIDES = (8, 8), (16, 16), (16, 8)  # in training, and where the network is used


def mobile_network(backbone, head, trained, output_stride):
    """A function from the number of classes to a `MobileNetwork`.

    Args:
      backbone: a name of `BACKBONES`.
      head: a name of `RATES`.
      trained: output stride in training, for which the rates are meant; at a finer one, they grow.
      output_stride: pixels per cell.
    """
    rates = [trained // output_stride * rate for rate in RATES[head]]
    options = {"network": BACKBONES[backbone], "output_stride": output_stride, "rates": rates}
    return functools.partial(MobileNetwork, **options)


# BACKBONE_STRIDE with the head of LargeFOV, and BACKBONE_HEAD_TRAINED_STRIDE.
MOBILE_NETWORKS = {
    f"{name}_{stride}": mobile_network(name, "large_fov", stride, stride)
    for name in BACKBONES
    for stride in (8, 16)
} | {
    f"{name}_{head}_{trained}_{stride}": mobile_network(name, head, trained, stride)
    for name in BACKBONES
    for head in RATES
    for trained, stride in STRIDES
}
