"""Computes the DeepLab v3 authors' networks directly with TensorFlow, and writes their files.

`SlimNetwork` draws a random value for every variable, under the authors' name, when it computes.
"""

import io
import tarfile

import numpy as np
import tensorflow as tf

HEAD, BODY = 1e-5, 1e-3  # epsilon of the normalizations
IMAGE = np.random.default_rng(1).uniform(0, 255, (1, 49, 65, 3)).astype(np.float32)  # 16 k + 1


def colors():
    """`IMAGE` as the networks take it, -1..1."""
    return tf.constant(IMAGE / 127.5 - 1)


def assert_scores(model, expected):
    """Check the scores of `IMAGE` against those of a direct computation."""
    expected = np.array(expected)
    found = np.array(model(IMAGE))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


class SlimNetwork:
    """Convolutions with batch normalization, as the authors pad them.

    Attributes:
      variables: {name: array} of what has been drawn so far.
      maps: {scope: result of a convolution} of what has been computed so far.
    """

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.variables, self.maps = {}, {}

    def draw(self, name, array):
        return self.variables.setdefault(name, np.float32(array))

    def conv(self, scope, x, filters, size=1, stride=1, rate=1, activation=None, epsilon=BODY):
        """Convolution and normalization; filters None: depthwise. Strided ones pad (k-1)//2."""
        inputs = x.shape[-1]
        shape = (size, size, inputs, filters or 1)
        fan_in = size * size * (inputs if filters else 1)
        name = f"{scope}/weights" if filters else f"{scope}/depthwise_weights"
        kernel = self.draw(name, self.rng.normal(scale=(1.5 / fan_in) ** 0.5, size=shape))
        if stride > 1 and size > 1:
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        padding = "VALID" if stride > 1 else "SAME"
        if filters:
            x = tf.nn.conv2d(x, kernel, stride, padding, dilations=rate)
        else:
            strides = [1, stride, stride, 1]
            x = tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=[rate, rate])
        self.maps[scope] = (activation or tf.identity)(self.normalize(scope, x, epsilon))
        return self.maps[scope]

    def normalize(self, scope, x, epsilon):
        count = x.shape[-1]
        gamma, variance = (self.rng.uniform(0.8, 1.2, count) for _ in range(2))
        beta, mean = (self.rng.normal(scale=0.1, size=count) for _ in range(2))
        values = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        gamma, beta, mean, variance = (
            self.draw(f"{scope}/BatchNorm/{name}", value) for name, value in values.items()
        )
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)

    def separable(self, scope, x, filters, stride=1, rate=1, inner=None, epsilon=BODY):
        x = self.conv(f"{scope}_depthwise", x, None, 3, stride, rate, inner, epsilon)
        return self.conv(f"{scope}_pointwise", x, filters, 1, activation=inner, epsilon=epsilon)


def mobilenet_v2(net, x, multiplier=1.0, output_stride=16, divisor=1):
    """MobileNetV2 up to its last block, from images at -1..1; its channels are rounded.

    The authors round to multiples of 8 only with all channels; slim's classifiers always do.
    """
    divisor = 8 if multiplier == 1 else divisor

    def channels(count):
        return int(count * multiplier + divisor / 2) // divisor * divisor

    x = net.conv("MobilenetV2/Conv", x, channels(32), 3, 2, activation=tf.nn.relu6)
    number, reached, rate = 0, 2, 1
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for expansion, filters, repeats, stride in (*rows, (6, 160, 3, 2), (6, 320, 1, 1)):
        for index in range(repeats):
            scope = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
            wanted = stride if index == 0 else 1
            step = wanted if reached * wanted <= output_stride else 1
            y = x
            if expansion > 1:
                width = expansion * x.shape[-1]
                y = net.conv(f"{scope}/expand", y, width, activation=tf.nn.relu6)
            y = net.conv(f"{scope}/depthwise", y, None, 3, step, rate, tf.nn.relu6)
            y = net.conv(f"{scope}/project", y, channels(filters))
            x = x + y if index else y
            rate, reached, number = rate * wanted // step, reached * step, number + 1
    return x


def xception(net, x, layers=65, output_stride=16):
    """Xception-41, -65 or -71: the last map, and the features of the decoder."""
    root = f"xception_{layers}"
    x = net.conv(f"{root}/entry_flow/conv1_1", x, 32, 3, 2, activation=tf.nn.relu)
    x = net.conv(f"{root}/entry_flow/conv1_2", x, 64, 3, activation=tf.nn.relu)
    reached, rate, low_level = 2, 1, None
    entry, tapped = ((128, 2), (256, 2), (728, 2)), "entry_flow/block2"
    if layers == 71:
        entry, tapped = ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)), "entry_flow/block3"
    blocks = (
        *[(f"entry_flow/block{i}", (n, n, n), 1, step) for i, (n, step) in enumerate(entry, 1)],
        ("middle_flow/block1", (728, 728, 728), 8 if layers == 41 else 16, 1),
        ("exit_flow/block1", (728, 1024, 1024), 1, 2),
        ("exit_flow/block2", (1536, 1536, 2048), 1, 1),
    )
    for block, filters, count, stride in blocks:
        step = stride if reached * stride <= output_stride else 1
        for unit in range(1, count + 1):
            scope, last = f"{root}/{block}/unit_{unit}/xception_module", block == "exit_flow/block2"
            y = x
            for index, width in enumerate(filters, 1):
                here = step if index == 3 else 1
                y = y if last else tf.nn.relu(y)
                inner = tf.nn.relu if last else None
                y = net.separable(f"{scope}/separable_conv{index}", y, width, here, rate, inner)
                if (block, index) == (tapped, 2):
                    low_level = y
            if last:
                x = y
            elif block.startswith("middle"):
                x = x + y
            else:
                x = y + net.conv(f"{scope}/shortcut", x, filters[-1], 1, step)
        rate, reached = rate * stride // step, reached * step
    return x, low_level


def resnet_beta(net, x, stages, output_stride=16):
    """ResNet "beta" of (filters, units, stride): the last map, and the features of the decoder."""
    root, settings = "resnet_v1_101", {"activation": tf.nn.relu, "epsilon": HEAD}
    for number, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        x = net.conv(f"{root}/conv1_{number}", x, filters, 3, stride, **settings)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    reached, rate = 4, 1
    for block, (filters, units, stride) in enumerate(stages, 1):
        for unit in range(1, units + 1):
            scope = f"{root}/block{block}/unit_{unit}/bottleneck_v1"
            wanted = stride if unit == units else 1
            step = wanted if reached * wanted <= output_stride else 1
            y = net.conv(f"{scope}/conv1", x, filters, **settings)
            y = net.conv(f"{scope}/conv2", y, filters, 3, step, rate, **settings)
            y = net.conv(f"{scope}/conv3", y, 4 * filters, epsilon=HEAD)
            if x.shape[-1] == 4 * filters:
                x = x[:, ::step, ::step]
            else:
                x = net.conv(f"{scope}/shortcut", x, 4 * filters, 1, step, epsilon=HEAD)
            x = tf.nn.relu(x + y)
            rate, reached = rate * wanted // step, reached * step
    return x, net.maps[f"{root}/block1/unit_2/bottleneck_v1/conv3"]


def head(net, features, classes, rates=(), low_level=None, separable=False):
    """Pyramid pooling and, with `low_level`, the decoder; the scores."""
    settings = {"activation": tf.nn.relu, "epsilon": HEAD}

    def window(scope, x, rate=1):
        if separable:
            return net.separable(scope, x, 256, 1, rate, tf.nn.relu, HEAD)
        return net.conv(scope, x, 256, 3, rate=rate, **settings)

    size = features.shape[1:3]
    pooled = tf.reduce_mean(features, [1, 2], keepdims=True)
    pooled = net.conv("image_pooling", pooled, 256, **settings)
    branches = [tf.tile(pooled, [1, *size, 1]), net.conv("aspp0", features, 256, **settings)]
    branches += [window(f"aspp{i}", features, rate) for i, rate in enumerate(rates, 1)]
    x = net.conv("concat_projection", tf.concat(branches, 3), 256, **settings)
    if low_level is not None:
        details = net.conv("decoder/feature_projection0", low_level, 48, **settings)
        x = tf.raw_ops.ResizeBilinear(images=x, size=details.shape[1:3], align_corners=True)
        x = tf.concat([x, details], 3)
        for number in (0, 1):
            plain = f"decoder/decoder_conv0/decoder_conv0_{number + 1}"
            x = window(f"decoder/decoder_conv{number}" if separable else plain, x)
    kernel = net.draw("logits/semantic/weights", net.rng.normal(size=(1, 1, 256, classes)) / 16)
    return tf.nn.conv2d(x, kernel, 1, "SAME") + net.draw(
        "logits/semantic/biases", net.rng.normal(size=classes)
    )


def write_checkpoint(prefix, variables):
    """Write {name: array} as a checkpoint; returns the files."""
    names = list(variables)
    tensors = [tf.constant(variables[name]) for name in names]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
    )
    return sorted(prefix.parent.glob(f"{prefix.name}.*"))


def write_graph(path, variables):
    """Write {name: array} as a frozen graph."""
    graph = tf.compat.v1.GraphDef()
    for name, array in variables.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
        node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
    path.write_bytes(graph.SerializeToString())


def write_tar(path, members):
    """Write {name in the tar: file, bytes, or a TarInfo} as a .tar.gz."""
    with tarfile.open(path, "w:gz") as tar:
        for name, contents in members.items():
            if isinstance(contents, tarfile.TarInfo):
                tar.addfile(contents)
                continue
            data = contents if isinstance(contents, bytes) else contents.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
