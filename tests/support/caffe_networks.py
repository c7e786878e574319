"""AlexNet and GoogLeNet as Caffe computes them (see `CaffeNetwork`), and comparisons with them."""

import numpy as np
import pytest
from caffe_writer import pool, relu

from deeplab_tf.errors import InputError

MEAN_BGR = (104.00699, 116.66877, 122.67892)


def image(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3)).astype(np.float32)


def caffe_input(rgb, mean=MEAN_BGR):
    """(3, H, W): BGR minus the mean."""
    return rgb.astype(np.float64)[..., ::-1].transpose(2, 0, 1) - np.reshape(mean, (3, 1, 1))


def alexnet(net, x, pad=100, order=("pool", "norm")):
    x = relu(net.conv("conv1", x, 96, 11, pad=pad, stride=4))
    for number, (filters, size, groups) in enumerate(((256, 5, 2), (384, 3, 1)), 1):
        for step in order:
            if step == "pool":
                x = net.pool(f"pool{number}", x, 3, 2, 0)
            else:
                x = net.lrn(f"norm{number}", x)
        name = f"conv{number + 1}"
        x = relu(net.conv(name, x, filters, size, pad=size // 2, groups=groups))
    x = relu(net.conv("conv4", x, 384, 3, pad=1, groups=2))
    x = relu(net.conv("conv5", x, 256, 3, pad=1, groups=2))
    return net.pool("pool5", x, 3, 2, 0)


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(net, x, pad):
    """The outputs of GoogLeNet's inception blocks, with poolings padded by 0 cells as in Caffe, or
    centered: padded by 1.
    """
    x = relu(net.conv("conv1/7x7_s2", x, 64, 7, pad=3, stride=2))
    x = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", x, 3, 2, pad))
    x = relu(net.conv("conv2/3x3_reduce", x, 64, 1))
    x = net.lrn("conv2/norm2", relu(net.conv("conv2/3x3", x, 192, 3, pad=1)))
    x, outputs = net.pool("pool2/3x3_s2", x, 3, 2, pad), {}
    for name, (one, reduce3, three, reduce5, five, last) in INCEPTIONS.items():
        if name in ("4a", "5a"):
            x = net.pool(f"pool{int(name[0]) - 1}/3x3_s2", x, 3, 2, pad)
        start = f"inception_{name}"
        inner = [
            relu(net.conv(f"{start}/3x3_reduce", x, reduce3, 1)),
            relu(net.conv(f"{start}/5x5_reduce", x, reduce5, 1)),
            pool(x, 3, 1, 1),
        ]
        branches = [
            net.conv(f"{start}/1x1", x, one, 1),
            net.conv(f"{start}/3x3", inner[0], three, 3, pad=1),
            net.conv(f"{start}/5x5", inner[1], five, 5, pad=2),
            net.conv(f"{start}/pool_proj", inner[2], last, 1),
        ]
        x = outputs[name] = relu(np.concatenate(branches))
    return outputs


def assert_scores(found, expected):
    """Within 1e-5 of the largest score."""
    found = np.asarray(found)[0].transpose(2, 0, 1)
    assert found.shape == expected.shape
    assert np.std(expected) > 0.1 * np.abs(expected).max()  # not all alike
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def refused(action, *needles):
    with pytest.raises(InputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for needle in map(str, needles):
        assert needle in message, message
