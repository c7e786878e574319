"""v3 and v3+ of torchvision and its kin: imported, they give a direct computation's scores."""

from functools import cache, partial

import keras
import numpy as np
import pytest
from torch_writer import state_dict, write_torch
from torchvision_network import FILTERS, LOW_LEVEL, TorchvisionNetwork, half_pixel, normalized

from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models import heads_v3, torch_backbones
from deeplab_tf.models.released import pytorch, torch_v3
from deeplab_tf.models.released.pytorch import import_pytorch
from deeplab_tf.models.torch_backbones import MobileBlock

UNITS, WIDTH, CLASSES = (1, 1, 2, 1), 4, 5
BLOCKS = (
    MobileBlock(3, 16, 16, False, "relu"),
    MobileBlock(5, 72, 24, True, "relu", 2),
    MobileBlock(3, 32, 24, False, "hard_silu", 2),
    MobileBlock(3, 40, 24, False, "hard_silu", 2),
    MobileBlock(5, 48, 32, True, "hard_silu", rate=2),
    MobileBlock(5, 48, 32, True, "hard_silu", rate=2),
)
GATES = {72: 24, 48: 16}  # channels of squeeze-and-excite: a quarter, in eights, not much less
built_once = cache(build_deeplab)  # filled again by every test
IMAGES = np.random.default_rng(1).uniform(0, 255, (1, 42, 51, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The networks with few blocks and channels."""
    resnet = partial(torch_backbones.resnet_torch, "resnet50torch", UNITS, WIDTH)
    mobile = partial(torch_backbones.mobilenet_v3_torch, torch_v3.MOBILE, BLOCKS)
    monkeypatch.setattr(torch_backbones, "ResNet50Torch", resnet)
    monkeypatch.setattr(torch_backbones, "MobileNetV3LargeTorch", mobile)
    monkeypatch.setattr(torch_v3, "MOBILENET_V3_LARGE", BLOCKS)
    monkeypatch.setitem(torch_v3.RESNETS, UNITS, "resnet50torch")
    monkeypatch.setattr(pytorch, "build_deeplab", built_once)
    monkeypatch.setattr(heads_v3, "_FILTERS", FILTERS)
    monkeypatch.setattr(heads_v3, "_LOW_LEVEL_FILTERS", LOW_LEVEL)


def torchvision_resnet(net, images, output_stride=8, place="classifier"):
    x, _ = net.resnet(images, UNITS, WIDTH, output_stride)
    rates = [rate * 16 // output_stride for rate in (6, 12, 18)]
    return net.v3(x, CLASSES, rates, place)


def torchvision_mobile(net, images):
    blocks = [b._replace(has_gate=GATES[b.expanded] if b.has_gate else 0) for b in BLOCKS]
    return net.v3(net.mobilenet(images, blocks), CLASSES, (6, 12, 18))


def vainf_plus(net, images):
    return net.v3plus(*net.resnet(images, UNITS, WIDTH, 16), CLASSES, (6, 12, 18))


def write(tmp_path, arrays, inside=None):
    content = state_dict(arrays)
    write_torch(tmp_path / "a.pth", {inside: content} if inside else content)
    return tmp_path / "a.pth"


NETWORKS = {
    "torchvision, ResNet": (torchvision_resnet, "resnet50torch", "aspp_v3_torch", 8),
    "torchvision, MobileNetV3": (torchvision_mobile, torch_v3.MOBILE, "aspp_v3_torch", 16),
    "VainF, v3+": (vainf_plus, "resnet50torch", "v3plus_torch", 16),
    "VainF, v3": (
        partial(torchvision_resnet, output_stride=16, place="classifier.classifier"),
        *("resnet50torch", "aspp_v3_torch", 16),
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "VainF, v3" else n for n in NETWORKS],
)
def test_scores_of_every_pixel(tmp_path, name):
    compute, backbone, head, output_stride = NETWORKS[name]
    net = TorchvisionNetwork()
    expected = half_pixel(compute(net, normalized(IMAGES)), *IMAGES.shape[1:3])
    net.arrays["aux_classifier.0.weight"] = np.ones((2, 2, 3, 3), "f4")
    done = import_pytorch(write(tmp_path, net.arrays, "model_state"))
    assert (done.backbone, done.head, done.output_stride) == (backbone, head, output_stride)
    assert (done.missing, done.unused) == ((), ("aux_classifier.0.weight",))
    first, *others = done.notes
    assert first == "aux_classifier, which only training uses, is left out"
    assert [note[:42] for note in others] == ["the file does not tell its output stride, "][
        : name.startswith("VainF")
    ]
    assert done.half_pixel_upsampling and done.preprocessing is None
    found = np.array(done.model(IMAGES))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected, axis=(1, 2)).min() > 1e-2 * np.abs(expected).max()  # not constant


@pytest.mark.slow
def test_scores_of_every_eighth_pixel_and_other_classes(tmp_path):
    net = TorchvisionNetwork()
    expected = torchvision_resnet(net, normalized(IMAGES))
    path = write(tmp_path, net.arrays)
    done = import_pytorch(path, num_classes=CLASSES, half_pixel_upsampling=False)
    np.testing.assert_allclose(
        done.model(IMAGES), expected, atol=1e-5 * np.abs(np.array(expected)).max()
    )
    assert not done.notes and not done.half_pixel_upsampling
    start = import_pytorch(path, num_classes=3, drop_classes=True, half_pixel_upsampling=False)
    assert start.missing == ("fc8",)
    assert start.unused == ("classifier.4.weight", "classifier.4.bias")


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"num_classes": 21}, {}, "has 5 classes, expected 21"),
        ({"backbone": "resnet101"}, {}, "its backbone is resnet50torch, not resnet101; leave"),
        ({"head": "aspp_v3"}, {}, "its head is aspp_v3_torch, not aspp_v3; leave it out"),
        ({}, {"classifier.4.weight": None}, "has no class layer classifier.4; it is no network"),
        ({}, {"classifier.4.weight": np.ones((5, 2), "f4")}, "classifier.4 has shapes"),
        ({}, {"classifier.0.convs.1.0.bias": np.ones(FILTERS, "f4")}, "classifier.0.convs.1.0 has"),
        ({}, {"classifier.0.convs.4.1.weight": np.ones(3, "f4")}, "classifier.0.convs.4.1 has sh"),
        ({}, {"backbone.layer4.1.conv1.weight": np.ones(3, "f4")}, "arrays is of a network that c"),
    ],
)
def test_files_of_other_networks(tmp_path, options, change, message):
    net = TorchvisionNetwork()
    torchvision_resnet(net, normalized(IMAGES[:, :9, :9]))
    arrays = {name: x for name, x in (net.arrays | change).items() if x is not None}
    path = write(tmp_path, arrays)
    with pytest.raises(InputError, match=message) as error:
        import_pytorch(path, **options)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "published", "auxiliary"),
    [
        ("resnet50_torch", 42_004_074, 1024 * 256 * 9 + 2 * 256 + 257 * 21),
        ("resnet101_torch", 60_996_202, 1024 * 256 * 9 + 2 * 256 + 257 * 21),
        ("mobilenetv3large_torch", 11_029_328, 40 * 10 * 9 + 2 * 10 + 11 * 21),
    ],
)
def test_parameter_counts(backbone, published, auxiliary, monkeypatch):
    """torchvision's numbers of parameters, which are those that are trained."""
    monkeypatch.undo()
    with keras.StatelessScope(initialize_variables=False):
        model = build_deeplab(backbone, "aspp_v3_torch", 21, 16, weights=None)
        found = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    keras.backend.clear_session()
    assert found == published - auxiliary
