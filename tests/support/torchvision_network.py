"""Computes torchvision's DeepLab networks, and v3+ on them, with TensorFlow's operations alone."""

import numpy as np
import tensorflow as tf
from torch_writer import TorchNetwork

FILTERS, LOW_LEVEL = 8, 6  # 256 and 48 in the published networks


def normalized(images):
    """RGB images 0..255 as the networks take them."""
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return tf.constant((images / 255 - mean) / deviation)


def half_pixel(x, height, width):
    """Interpolate `(B, h, w, C)` with the edges aligned: as matrices, in float64."""

    def matrix(cells, length):
        places = np.maximum((np.arange(length) + 0.5) * cells / length - 0.5, 0)
        first = np.floor(places).astype(int)
        weights = np.zeros((length, cells))
        rows, share = np.arange(length), places - first
        np.add.at(weights, (rows, first), 1 - share)
        np.add.at(weights, (rows, np.minimum(first + 1, cells - 1)), share)
        return weights

    rows, columns = matrix(x.shape[1], height), matrix(x.shape[2], width)
    return np.einsum("yh,bhwc,xw->byxc", rows, np.asarray(x, "f8"), columns).astype("f4")


def hard_sigmoid(x):
    return tf.nn.relu6(x + 3) / 6


def hard_swish(x):
    return x * tf.nn.relu6(x + 3) / 6


class TorchvisionNetwork(TorchNetwork):
    """Draws the weights while it computes, under torchvision's names."""

    def pair(self, conv, norm, x, filters, size=1, stride=1, rate=1, activation=None, epsilon=1e-5):
        """Convolution, with filters None a depthwise one, normalization and activation."""
        if filters:
            x = self.convolution(conv, x, filters, size, stride, rate)
        else:
            x = self.depthwise(conv, x, size, stride, rate)
        count = x.shape[-1]
        scale, variance = (np.float32(self.rng.uniform(0.6, 0.9, count)) for _ in range(2))
        shift, mean = (np.float32(self.rng.normal(scale=0.1, size=count)) for _ in range(2))
        values = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}
        self.arrays |= {f"{norm}.{part}": value for part, value in values.items()}
        self.arrays[f"{norm}.num_batches_tracked"] = np.array(7)
        x = (x - mean) / np.sqrt(variance + np.float32(epsilon)) * scale + shift
        return activation(x) if activation else x

    def depthwise(self, name, x, size, stride, rate):
        shape = (x.shape[-1], 1, size, size)
        kernel = np.float32(self.rng.normal(scale=1.2 / size, size=shape))
        self.arrays[f"{name}.weight"] = kernel
        pad = (size - 1) // 2 * rate
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        kernel, strides = kernel.transpose(2, 3, 0, 1), [1, stride, stride, 1]
        if rate == 1:
            return tf.nn.depthwise_conv2d(x, kernel, strides, "VALID")
        return tf.nn.depthwise_conv2d(x, kernel, strides, "VALID", dilations=[rate, rate])

    def resnet(self, x, units, width, output_stride):
        """The last map, and that of the first stage."""
        x = self.pair("backbone.conv1", "backbone.bn1", x, width, 7, 2, activation=tf.nn.relu)
        x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        reached, rate, maps = 4, 1, []
        for stage, count in enumerate(units, 1):
            for index in range(count):
                stride, before = 1, rate
                if stage > 1 and index == 0:
                    if reached < output_stride:
                        stride, reached = 2, 2 * reached
                    else:
                        rate *= 2  # of the next blocks
                filters = width * 2 ** (stage - 1)
                x = self.bottleneck(f"backbone.layer{stage}.{index}", x, filters, stride, before)
            maps.append(x)
        return maps[-1], maps[0]

    def bottleneck(self, name, x, filters, stride, rate):
        relu = {"activation": tf.nn.relu}
        y = self.pair(f"{name}.conv1", f"{name}.bn1", x, filters, **relu)
        y = self.pair(f"{name}.conv2", f"{name}.bn2", y, filters, 3, stride, rate, **relu)
        y = self.pair(f"{name}.conv3", f"{name}.bn3", y, 4 * filters)
        if name.endswith(".0"):
            place = f"{name}.downsample"
            x = self.pair(f"{place}.0", f"{place}.1", x, 4 * filters, 1, stride)
        return tf.nn.relu(x + y)

    def mobilenet(self, x, blocks):
        """The last map; each block is (size, expanded, filters, gate, activation, stride, rate)."""

        def pair(place, *arguments, activation=None):
            names = f"{place}.0", f"{place}.1"
            return self.pair(*names, *arguments, activation=activation, epsilon=1e-3)

        x = pair("backbone.0", x, 16, 3, 2, activation=hard_swish)
        for number, (size, expanded, filters, gate, name, stride, rate) in enumerate(blocks, 1):
            activation = {"relu": tf.nn.relu, "hard_silu": hard_swish}[name]
            y, place, index = x, f"backbone.{number}.block", 0
            if expanded != x.shape[-1]:
                y, index = pair(f"{place}.0", y, expanded, activation=activation), 1
            y = pair(f"{place}.{index}", y, None, size, stride, rate, activation=activation)
            if gate:
                index += 1
                mean = tf.reduce_mean(y, [1, 2], keepdims=True)
                mean = self.convolution(f"{place}.{index}.fc1", mean, gate, bias=True)
                mean = self.convolution(f"{place}.{index}.fc2", tf.nn.relu(mean), expanded, bias=1)
                y *= hard_sigmoid(mean)
            y = pair(f"{place}.{index + 1}", y, filters)
            x = x + y if stride == 1 and x.shape[-1] == filters else y
        return pair(f"backbone.{len(blocks) + 1}", x, 6 * x.shape[-1], activation=hard_swish)

    def pyramid(self, place, x, rates):
        relu = {"activation": tf.nn.relu}
        maps = [self.pair(f"{place}.convs.0.0", f"{place}.convs.0.1", x, FILTERS, **relu)]
        for number, rate in enumerate(rates, 1):
            names = f"{place}.convs.{number}.0", f"{place}.convs.{number}.1"
            maps.append(self.pair(*names, x, FILTERS, 3, 1, rate, **relu))
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        mean = self.pair(f"{place}.convs.4.1", f"{place}.convs.4.2", mean, FILTERS, **relu)
        maps.append(tf.tile(mean, [1, *x.shape[1:3], 1]))
        names = f"{place}.project.0", f"{place}.project.1"
        return self.pair(*names, tf.concat(maps, 3), FILTERS, **relu)

    def v3(self, x, classes, rates, place="classifier"):
        x = self.pyramid(f"{place}.0", x, rates)
        x = self.pair(f"{place}.1", f"{place}.2", x, FILTERS, 3, activation=tf.nn.relu)
        return self.convolution(f"{place}.4", x, classes, bias=True)

    def v3plus(self, x, details, classes, rates):
        relu, place = {"activation": tf.nn.relu}, "classifier.project"
        details = self.pair(f"{place}.0", f"{place}.1", details, LOW_LEVEL, **relu)
        x = half_pixel(self.pyramid("classifier.aspp", x, rates), *details.shape[1:3])
        x, place = tf.concat([details, x], 3), "classifier.classifier"
        x = self.pair(f"{place}.0", f"{place}.1", x, FILTERS, 3, **relu)
        return self.convolution(f"{place}.3", x, classes, bias=True)
