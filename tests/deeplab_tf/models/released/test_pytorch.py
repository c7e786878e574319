"""DeepLab v2's PyTorch port: imported, its networks give the scores of a direct computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from torch_writer import TorchNetwork, state_dict, write_torch

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.backbones import ImagePreprocessing
from deeplab_tf.models.released import pytorch as released
from deeplab_tf.models.released.pytorch import import_pytorch

SIZE = (33, 49)  # 8 k + 1


def image():
    return np.random.default_rng(1).uniform(0, 255, (1, *SIZE, 3)).astype(np.float32)


def blue_first():
    return tf.constant(image()[..., ::-1] - np.float32(MEAN_RGB[::-1]))


def assert_scores(model, expected):
    found, expected = np.array(model(image())), np.array(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def small_network(classes, branches=True):
    """A network with the names of ours: the first layers, one block of 8 channels, and the head."""

    def unit(x, name, filters, size=1, stride=1, activate=True):
        pad = (size - 1) // 2
        x = keras.layers.ZeroPadding2D(pad)(x) if pad else x
        x = keras.layers.Conv2D(filters, size, stride, name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)
        return keras.layers.ReLU()(x) if activate else x

    images = keras.Input((None, None, 3))
    x = unit(ImagePreprocessing("deeplab")(images), "conv1", 4, 7, 2)
    x = keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1)(x))
    y = unit(x, "conv4_block1_1", 2, 1, 2)
    y = unit(unit(y, "conv4_block1_2", 2, 3), "conv4_block1_3", 8, activate=False)
    x = unit(x, "conv4_block1_0", 8, 1, 2, activate=False)
    x = keras.layers.ReLU()(keras.layers.Add()([x, y]))

    def branch(name, size, rate):
        return AtrousConv2D(classes, size, padding="same", dilation_rate=rate, name=name)(x)

    rates = (6, 12, 18, 24) if branches else ()
    scores = [branch(f"fc8_rate{rate}", 3, rate) for rate in rates] or [branch("fc8", 1, 1)]
    return keras.Model(images, keras.layers.Add()(scores) if branches else scores[0])


def small(classes=5, branches=True):
    """The same network of the port, with the names of 23 blocks, and the scores of `image`."""
    net = TorchNetwork()
    x = net.block("base.layer4.block1", net.stem(blue_first(), 4), 8, 2, first=True)
    scores = net.scores(x, classes)
    if not branches:
        for index in range(4):
            del net.arrays[f"base.aspp.c{index}.weight"], net.arrays[f"base.aspp.c{index}.bias"]
        scores = net.convolution("base.fc", x, classes, bias=True)
    more = {f"base.layer4.block{n}.reduce.conv.weight": np.ones(1, "f4") for n in range(2, 24)}
    return net.arrays | more, scores


@pytest.fixture(scope="module")
def networks():
    return {}


@pytest.fixture
def quick(monkeypatch, networks):
    """Fill small networks, and note the arguments of those that are meant."""
    calls = []

    def build(*arguments, **options):
        calls.append((arguments, options))
        key = arguments[2], arguments[1] == "aspp_l"
        if key not in networks:
            networks[key] = small_network(*key)
        return networks[key]

    monkeypatch.setattr(released, "build_deeplab", build)
    return calls


def write(tmp_path, arrays, old=False):
    write_torch(tmp_path / "a.pth", state_dict(arrays), old)
    return tmp_path / "a.pth"


@pytest.mark.parametrize("branches", [True, False], ids=["aspp_l", "plain"])
def test_scores_of_a_small_network(tmp_path, quick, branches):
    arrays, expected = small(branches=branches)
    done = import_pytorch(write(tmp_path, arrays, old=branches))
    assert_scores(done.model, expected)
    head = "aspp_l" if branches else "plain"
    options = {"weights": None, "preprocessing": "deeplab"}
    assert quick == [(("resnet101", head, 5, 8), options)]
    assert (done.backbone, done.head, done.missing) == ("resnet101", head, ())
    assert done.used["conv4_block1_2_bn"] == ("layer4.block1.conv3x3.bn",)
    assert done.used["fc8_rate18" if branches else "fc8"] == ("aspp.c2" if branches else "fc",)
    assert len(done.unused) == 22 and done.unused[0] == "layer4.block2.reduce.conv.weight"


def test_class_layers_dropped_to_train_on(tmp_path, quick):
    path = write(tmp_path, small()[0])
    done = import_pytorch(path, num_classes=3, drop_classes=True, output_stride=16)
    assert done.missing == ("fc8_rate6", "fc8_rate12", "fc8_rate18", "fc8_rate24")
    assert quick[0][0] == ("resnet101", "aspp_l", 3, 16)
    assert sum("aspp" in name for name in done.unused) == 8
    with pytest.raises(InputError, match="drop_classes needs num_classes"):
        import_pytorch(path, drop_classes=True)


def refused(path, *needles, **options):
    with pytest.raises(InputError) as error:
        import_pytorch(path, **options)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    for needle in needles:
        assert needle in message, message


def test_files_of_other_networks(tmp_path, quick):
    arrays = small()[0]
    path = write(tmp_path, arrays)
    refused(path, "has 5 classes, expected 21", num_classes=21)
    refused(path, "its backbone is resnet101, not resnet50", backbone="resnet50")
    refused(path, "not the head large_fov", head="large_fov")
    refused(path, "not the head plain", head="plain")
    refused(path, "not the head aspp_s", head="aspp_s")  # as many branches, of other rates
    write(tmp_path, {n: x for n, x in arrays.items() if "aspp.c3" not in n})
    refused(path, "its class layers are aspp.c0, aspp.c1, aspp.c2, which is not the head of a net")
    write(tmp_path, arrays | {"base.aspp.c1.weight": np.ones((4, 8, 3, 3), "f4")})
    refused(path, "has 4 and 5 classes, expected one number")
    name = "base.layer4.block1.conv3x3.conv.weight"
    write(tmp_path, arrays | {name: arrays[name][:1]})
    refused(path, "layer4.block1.conv3x3.conv has shapes [(3, 3, 2, 1), (2,)], 'conv4_block1_2_co")
    write(tmp_path, arrays | {name: np.ones(3, "f4")})
    refused(path, "layer4.block1.conv3x3.conv has shapes")
    write(tmp_path, {"conv1.weight": np.ones((3, 3), "f4")})
    refused(path, "none of its 1 arrays is of a network that can be imported; available: DeepLab")
    write(tmp_path, {n: x for n, x in arrays.items() if "conv3x3.bn.bias" not in n})
    assert import_pytorch(path).missing == ("conv4_block1_2_bn",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aspp.aspp1.atrous_conv.weight", "jfzhang95/pytorch-deeplab-xception"),
        ("module.aspp.aspp1.atrous_conv.weight", "jfzhang95/pytorch-deeplab-xception"),
        ("backbone.low_level_features.0.0.weight", "VainF/DeepLabV3Plus-Pytorch on MobileNetV2"),
        ("base.aspp.stages.c0.conv.weight", "v3 and v3+"),
    ],
)
def test_ports_whose_networks_differ_from_ours(tmp_path, name, words):
    path = write(tmp_path, {name: np.ones((1, 1, 1, 1), "f4")})
    refused(path, "a network of ", words, "no network here gives its scores, so it is not imported")


@pytest.mark.slow
def test_the_port_with_all_its_layers(tmp_path):
    """ResNet-50, which has the kinds of layers that ResNet-101 has."""
    net = TorchNetwork()
    expected = net.scores(net.resnet(blue_first(), (3, 4, 6, 3)), 21)
    done = import_pytorch(write(tmp_path, net.arrays))
    assert (done.backbone, done.head) == ("resnet50", "aspp_l")
    assert (done.unused, done.missing) == ((), ())
    assert_scores(done.model, expected)
