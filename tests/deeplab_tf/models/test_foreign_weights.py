"""Whose a weights file is that does not fit, with the remedy."""

from collections import Counter

import keras
import pytest
from small_backbones import small_backbones

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import foreign_weights
from deeplab_tf.models.foreign_weights import find_owner
from deeplab_tf.models.whole_weights import load_whole


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones("MobileNet"):
        yield


@pytest.fixture(scope="module")
def mobilenetv2():
    return keras.applications.MobileNetV2(weights=None, include_top=False)


@pytest.fixture(scope="module")
def network():
    return build_at(8)


def build_at(output_stride):
    return deeplab_tf.build_deeplab("mobilenet", "large_fov", 2, output_stride, weights=None)


def refusal(network, path):
    with pytest.raises(InputError) as error:
        load_whole(network, path, "mobilenet", build_at)
    message = str(error.value)
    assert message.startswith(f"weights {path} fit neither the backbone 'mobilenet' nor")
    assert "\n" not in message and "nested container" not in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2_no_top.h5",
        pytest.param("mobilenet_v2.weights.h5", marks=pytest.mark.slow),
        pytest.param("MobileNetV2.keras", marks=pytest.mark.slow),
    ],
)
def test_the_file_of_another_backbone(network, mobilenetv2, tmp_path, name):
    path = tmp_path / name
    save = mobilenetv2.save_weights if name.endswith(".weights.h5") else mobilenetv2.save
    save(path)
    assert refusal(network, path).endswith(
        "its backbone is mobilenetv2; give --backbone=mobilenetv2 (in Python: "
        "backbone='mobilenetv2')"
    )


def test_the_released_file(network, weights):
    (path,) = weights.glob("mobilenetv2_imagenet_*.weights.h5")
    assert "its backbone is mobilenetv2; give --backbone=mobilenetv2" in refusal(network, path)


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


def with_head(network, num_classes, kernel_size):
    """The network with another last convolution."""
    layer = keras.layers.Conv2D(num_classes, kernel_size, padding="same")
    return keras.Model(network.input, layer(network.layers[-1].input))


def test_the_same_network_for_other_classes(network, tmp_path):
    path, weights_path = tmp_path / "whole.keras", tmp_path / "whole.weights.h5"
    other = with_head(network, 5, kernel_size=3)
    other.save(path)
    other.save_weights(weights_path)
    start = ": it is this network with 5 classes instead of 2; "
    assert f"{start}give --init_from={path} instead of --weights" in refusal(network, path)
    advice = "save the network as a .keras file, and give that to --init_from"
    assert start + advice in refusal(network, weights_path)


def test_as_many_classes_as_its_window_has_rows(network, tmp_path):
    path = tmp_path / "whole.keras"
    with_head(network, 3, kernel_size=3).save(path)
    other = with_head(network, 2, kernel_size=3)
    assert ": it is this network with 3 classes instead of 2; " in refusal(other, path)


def test_the_same_backbone_with_another_head(network, tmp_path):
    path = tmp_path / "whole.keras"
    with_head(network, 2, kernel_size=1).save(path)
    assert "its backbone is mobilenet, but it has another head" in refusal(network, path)


def test_a_network_without_a_backbone_is_not_searched_for(monkeypatch):
    monkeypatch.setattr(foreign_weights, "backbone_names", pytest.fail)
    assert find_owner(Counter([(4, 3), (3,)]), "x.h5", "vgg16") is None
