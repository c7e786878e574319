"""Whose a weights file is that does not fit, with the remedy."""

from collections import Counter

import keras
import pytest

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import foreign_weights
from deeplab_tf.models.foreign_weights import find_owner


@pytest.fixture(scope="module")
def mobilenetv2():
    return keras.applications.MobileNetV2(weights=None, include_top=False)


def refusal(path, num_classes=2, backbone="mobilenet"):
    with pytest.raises(InputError) as error:
        deeplab_tf.build_deeplab(backbone, "large_fov", num_classes, weights=path)
    message = str(error.value)
    assert message.startswith(f"weights {path} fit neither the backbone {backbone!r} nor")
    assert "\n" not in message and "nested container" not in message
    return message


@pytest.mark.parametrize(
    "name", ["mobilenet_v2_no_top.h5", "mobilenet_v2.weights.h5", "MobileNetV2.keras"]
)
def test_the_file_of_another_backbone(mobilenetv2, tmp_path, name):
    path = tmp_path / name
    save = mobilenetv2.save_weights if name.endswith(".weights.h5") else mobilenetv2.save
    save(path)
    assert refusal(path).endswith(
        "its backbone is mobilenetv2; give --backbone=mobilenetv2 (in Python: "
        "backbone='mobilenetv2')"
    )


def test_the_released_file(weights):
    (path,) = weights.glob("mobilenetv2_imagenet_*.weights.h5")
    assert "its backbone is mobilenetv2; give --backbone=mobilenetv2" in refusal(path)


def test_the_name_of_the_file_does_not_matter(mobilenetv2, monkeypatch):
    monkeypatch.setattr(
        foreign_weights, "backbone_names", lambda: ("mobilenet", "mobilenetv2", "vgg16")
    )
    stored = Counter(tuple(weight.shape) for weight in mobilenetv2.weights)
    assert find_owner(stored, "resnet50_of_mine.h5", "vgg16") == "mobilenetv2"
    with_classifier = stored + Counter([(1280, 1000), (1000,)])
    assert find_owner(with_classifier, "x.h5", "vgg16") == "mobilenetv2"
    shape, _ = stored.most_common(1)[0]
    assert find_owner(stored - Counter([shape]), "x.h5", "vgg16") is None


def test_what_extends_another_backbone_is_told_apart():
    """VGG-19 has all the shapes of VGG-16, and more."""
    network = keras.applications.VGG19(weights=None, include_top=False)
    stored = Counter(tuple(weight.shape) for weight in network.weights)
    assert find_owner(stored, "vgg16_or_vgg19.h5", "vgg16") == "vgg19"


@pytest.mark.parametrize("name", ["whole.keras", "whole.weights.h5"])
def test_the_same_network_for_other_classes(tmp_path, name):
    whole = deeplab_tf.build_deeplab("mobilenet", "large_fov", 5, weights=None)
    path = tmp_path / name
    whole.save(path) if name.endswith(".keras") else whole.save_weights(path)
    message = refusal(path)
    assert ": it is this network with 5 classes instead of 2; " in message
    if name.endswith(".keras"):
        assert f"give --init_from={path} instead of --weights" in message
    else:
        assert "save the network as a .keras file, and give that to --init_from" in message


def test_the_same_backbone_with_another_head(tmp_path):
    path = tmp_path / "whole.keras"
    deeplab_tf.build_deeplab("mobilenet", "aspp_s", 2, weights=None).save(path)
    assert "its backbone is mobilenet, but its head is another one" in refusal(path)


def test_a_network_without_a_backbone_is_not_searched_for(monkeypatch):
    monkeypatch.setattr(foreign_weights, "backbone_names", pytest.fail)
    assert find_owner(Counter([(4, 3), (3,)]), "x.h5", "vgg16") is None
