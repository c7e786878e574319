"""AlexNet and GoogLeNet, whose ImageNet weights were released for Caffe.

Their windows are centered: cell (i, j) of every map lies on pixel (s i, s j), and a map has
(H - 1) // s + 1 rows. In Caffe the poolings are not padded before the map, which moves all maps
against the image. The AlexNets can have Caffe's windows too, for the released FCN-AlexNet.
"""

from typing import NamedTuple

from keras import layers

from deeplab_tf.models.caffe_layers import (
    GroupedConv2D,
    LocalResponseNormalization,
    WholeWindows,
)
from deeplab_tf.models.like_applications import build_network

_REMEDY = (
    "convert the released .caffemodel with `deeplab-tf import-weights --network=fcn "
    "--drop_classes --num_classes=N` and give the result to --init_from with --weights=none (in "
    "Python: import_caffe_fcn, start_from and weights=None)"
)


class _Inception(NamedTuple):
    """Channels of the branches of an inception block."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pool: int


# Table 1 of the paper of GoogLeNet.
_BLOCKS = {
    "3a": _Inception(64, 96, 128, 16, 32, 32),
    "3b": _Inception(128, 128, 192, 32, 96, 64),
    "4a": _Inception(192, 96, 208, 16, 48, 64),
    "4b": _Inception(160, 112, 224, 24, 64, 64),
    "4c": _Inception(128, 128, 256, 24, 64, 64),
    "4d": _Inception(112, 144, 288, 32, 64, 64),
    "4e": _Inception(256, 160, 320, 32, 128, 128),
    "5a": _Inception(256, 160, 320, 32, 128, 128),
    "5b": _Inception(384, 192, 384, 48, 128, 128),
}


def AlexNet(caffe_padding=None, **options):
    """AlexNet (Krizhevsky et al., NIPS 2012) up to its last convolution and pooling.

    It pools before it normalizes, as CaffeNet and the FCN authors' FCN-AlexNet do.

    Args:
      caffe_padding: None: centered windows. Else the cells of zeros around the image, 0 in the
        classifier and 100 in the released FCN; all windows are then as in Caffe.
      options: those of `build_network`.
    """
    return _alexnet("alexnet", caffe_padding, ("pool", "norm"), options)


def BVLCAlexNet(caffe_padding=None, **options):
    """The network of the file bvlc_alexnet, which normalizes before it pools; see `AlexNet`."""
    return _alexnet("bvlcalexnet", caffe_padding, ("norm", "pool"), options)


def GoogLeNet(**options):
    """GoogLeNet (Szegedy et al., CVPR 2015) up to its last inception block.

    It has no auxiliary classifiers; `options` are those of `build_network`.
    """

    def build_map(x):
        x = _first(x, 64, 7, 2, "conv1_7x7_s2")
        x = _pool(x, "pool1_3x3_s2")
        x = LocalResponseNormalization(name="pool1_norm1")(x)
        x = _convolve(x, 64, 1, "conv2_3x3_reduce")
        x = _convolve(x, 192, 3, "conv2_3x3")
        x = LocalResponseNormalization(name="conv2_norm2")(x)
        x = _pool(x, "pool2_3x3_s2")
        for name, channels in _BLOCKS.items():
            if name in ("4a", "5a"):
                x = _pool(x, f"pool{int(name[0]) - 1}_3x3_s2")
            x = _inception(x, channels, f"inception_{name}")
        return x

    return build_network("googlenet", build_map, _REMEDY, **{"dropout": 0.4, **options})


def _alexnet(name, caffe_padding, order, options):
    """AlexNet with its first two poolings and normalizations in this order."""
    centered = caffe_padding is None

    def build_map(x):
        x = _first(x, 96, 11, 4, "conv1", caffe_padding)
        for block, (filters, size, groups) in enumerate(((256, 5, 2), (384, 3, 1)), 1):
            for step in order:
                if step == "pool":
                    x = _pool(x, f"pool{block}", centered)
                else:
                    x = LocalResponseNormalization(name=f"norm{block}")(x)
            x = _convolve(x, filters, size, f"conv{block + 1}", groups)
        x = _convolve(x, 384, 3, "conv4", groups=2)
        x = _convolve(x, 256, 3, "conv5", groups=2)
        return _pool(x, "pool5", centered)

    return build_network(name, build_map, _REMEDY, **{"dropout": 0.5, **options})


def _first(x, filters, size, stride, name, caffe_padding=None):
    """The first convolution and its ReLU, padded so that it is centered or as in Caffe."""
    padding = size // 2 if caffe_padding is None else caffe_padding
    x = layers.ZeroPadding2D(padding, name=f"{name}_padding")(x)
    x = layers.Conv2D(filters, size, strides=stride, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolve(x, filters, size, name, groups=1):
    """A convolution that keeps the size of the map, and ReLU."""
    kind, options = (GroupedConv2D, {"groups": groups}) if groups > 1 else (layers.Conv2D, {})
    x = kind(filters, size, padding="same", name=name, **options)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _pool(x, name, centered=True):
    """The maximum of 3x3 cells that are at least zero, in steps of 2."""
    if centered:
        x = layers.ZeroPadding2D(1, name=f"{name}_padding")(x)
    else:
        x = WholeWindows(3, 2, name=f"{name}_padding")(x)
    return layers.MaxPooling2D(3, strides=2, name=name)(x)


def _inception(x, channels, name):
    """Convolutions of 1x1, 3x3 and 5x5 cells and a pooling side by side, concatenated."""
    three = _convolve(x, channels.reduce3, 1, f"{name}_3x3_reduce")
    five = _convolve(x, channels.reduce5, 1, f"{name}_5x5_reduce")
    pool = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    branches = [
        _convolve(x, channels.one, 1, f"{name}_1x1"),
        _convolve(three, channels.three, 3, f"{name}_3x3"),
        _convolve(five, channels.five, 5, f"{name}_5x5"),
        _convolve(pool, channels.pool, 1, f"{name}_pool_proj"),
    ]
    return layers.Concatenate(name=f"{name}_output")(branches)
