"""Weights from files in Keras's formats, and layers copied from a trained network."""

import zipfile

import keras
import numpy as np
import pytest
from small_backbones import small_backbones, small_mobilenet

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import start_from
from deeplab_tf.models.heads import HEADS
from deeplab_tf.models.weights import read_weights, subsample_classifier


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones("MobileNet"):
        yield


@pytest.fixture(scope="module")
def trained():
    return small_mobilenet(weights=None, include_top=False)


@pytest.mark.parametrize("name", ["old.h5", "new.weights.h5", "whole.keras"])
def test_a_backbone_by_path(trained, tmp_path, name):
    path = tmp_path / name
    trained.save_weights(path) if name == "new.weights.h5" else trained.save(path)
    found = read_weights("mobilenet", str(path))
    assert found.classifier is None and found.whole is None
    for a, b in zip(found.backbone, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_from_a_backbone_file(trained, tmp_path):
    trained.save(tmp_path / "backbone.keras")
    model = deeplab_tf.build_deeplab(
        "mobilenet", "large_fov", 2, weights=tmp_path / "backbone.keras"
    )
    for name in ("conv1", "conv_pw_4_bn"):
        for a, b in zip(
            model.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name", ["top.weights.h5", pytest.param("top.keras", marks=pytest.mark.slow)]
)
def test_a_file_with_classifier(tmp_path, name):
    network = small_mobilenet(weights=None, include_top=True)
    path = tmp_path / name
    network.save_weights(path) if name.endswith(".h5") else network.save(path)
    found = read_weights("mobilenet", path)
    assert len(found.backbone) == len(network.weights) - 2
    np.testing.assert_array_equal(found.backbone[0], network.get_weights()[0])
    assert found.classifier is None and found.whole is None


@pytest.fixture(scope="module")
def deeplab():
    return deeplab_tf.build_deeplab("mobilenet", "large_fov", 2, weights=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["deeplab.keras", pytest.param("deeplab.weights.h5", marks=pytest.mark.slow)]
)
def test_a_whole_deeplab(deeplab, tmp_path, name):
    path = tmp_path / name
    deeplab.save_weights(path) if name.endswith(".h5") else deeplab.save(path)
    second = deeplab_tf.build_deeplab("mobilenet", "large_fov", 2, weights=path)
    for a, b in zip(deeplab.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_whole_deeplab_is_not_taken_for_its_backbone(tmp_path):
    """At output stride 16 the layers of VGG-16 have the classes of the plain backbone's."""
    with small_backbones("VGG16"):
        model = deeplab_tf.build_deeplab(
            "vgg16", "large_fov", 2, output_stride=16, weights=None, fc_channels=8
        )
        model.save_weights(tmp_path / "whole.weights.h5")
        found = read_weights("vgg16", tmp_path / "whole.weights.h5")
    assert found.backbone is None and found.whole == tmp_path / "whole.weights.h5"


def test_fc6_and_fc7_from_the_classifier():
    rng = np.random.default_rng(0)
    kernel6 = rng.normal(size=(7, 7, 16, 4096)).astype("float32")
    kernel7 = rng.normal(size=(4096, 4096)).astype("float32")
    bias = np.arange(4096.0)
    classifier = [kernel6.reshape(784, 4096), bias, kernel7, bias]
    made = subsample_classifier(classifier, HEADS["large_fov"])
    assert [w.shape for w in made] == [(3, 3, 16, 1024), (1024,), (1, 1, 1024, 1024), (1024,)]
    assert made[0][1, 2, 5, 7] == kernel6[3, 6, 5, 28]
    assert made[1][7] == 28
    assert made[2][0, 0, 3, 9] == kernel7[12, 36]
    made = subsample_classifier(classifier, HEADS["4x4"])
    np.testing.assert_array_equal(made[0], kernel6[::2, ::2])
    np.testing.assert_array_equal(made[2][0, 0], kernel7)
    made = subsample_classifier(classifier, HEADS["7x7"])
    np.testing.assert_array_equal(made[0], kernel6)
    np.testing.assert_array_equal(made[1], bias)


@pytest.mark.slow
def test_vgg16_starts_from_the_imagenet_classifier(tmp_path):
    classifier = keras.applications.VGG16(weights=None)
    classifier.save_weights(tmp_path / "vgg16.weights.h5")
    path = tmp_path / "vgg16.weights.h5"
    model = deeplab_tf.build_deeplab("vgg16", "aspp_s", weights=path)
    expected = np.array(classifier.get_layer("fc1").kernel).reshape(7, 7, 512, 4096)
    for rate in (2, 12):
        kernel = model.get_layer(f"fc6_rate{rate}").get_weights()[0]
        np.testing.assert_array_equal(kernel, expected[::3, ::3, :, ::4])


def one_line(action, *needles):
    """The action is refused by one line that has the needles."""
    with pytest.raises(InputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for needle in needles:
        assert needle in message


def test_bad_files(trained, tmp_path):
    def refused(name, *needles):
        one_line(lambda: read_weights("mobilenet", tmp_path / name), name, *needles)

    refused("none.h5", "no weights file", "none for random weights (in Python: weights=None)")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    refused("text.h5", "not a .h5 file, or damaged")
    (tmp_path / "w.caffemodel").write_text("x")
    refused("w.caffemodel", "unknown suffix", ".keras")
    trained.save_weights(tmp_path / "ok.weights.h5")
    contents = (tmp_path / "ok.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(contents[: len(contents) // 2])
    refused("cut.weights.h5", "download it again")
    with zipfile.ZipFile(tmp_path / "bytes.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{" + " " * 5000)
    contents = (tmp_path / "bytes.keras").read_bytes()
    start = contents.index(b"config.json") + len("config.json")
    damaged = contents[:start] + b"\xff" * 4 + contents[start + 4 :]
    (tmp_path / "bytes.keras").write_bytes(damaged)
    refused("bytes.keras", "download it again")


@pytest.mark.parametrize(
    "name", ["other.keras", pytest.param("other.weights.h5", marks=pytest.mark.slow)]
)
def test_the_file_of_another_network(tmp_path, name):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    path = tmp_path / name
    other.save(path) if name.endswith(".keras") else other.save_weights(path)
    one_line(
        lambda: deeplab_tf.build_deeplab("mobilenet", "large_fov", 2, weights=path),
        name,
        "fit neither",
    )


def test_download_without_a_network(monkeypatch):
    def offline(**arguments):
        raise Exception("URL fetch failure on https://example.org/w.h5: None -- refused")

    monkeypatch.setattr(keras.applications, "ResNet50", offline)
    one_line(
        lambda: read_weights("resnet50", "imagenet"),
        "cannot download the ImageNet weights of resnet50 (refused); check the network connection,",
        "or download https://example.org/w.h5 elsewhere and give the file as --weights=FILE (",
        "random weights are --weights=none (weights=None)",
    )


def dense_layers(**units):
    """A network of dense layers, the last ones nested in a model."""
    names = list(units)
    x = inputs = keras.Input((4,))
    for name in names[:-1]:
        x = keras.layers.Dense(units[name], name=name)(x)
    nested = keras.Sequential(
        [keras.Input((x.shape[-1],)), keras.layers.Dense(units[names[-1]], name=names[-1])]
    )
    return keras.Model(inputs, nested(x))


def test_start_from_copies_what_fits(tmp_path):
    source = dense_layers(fc6=3, fc8=5)
    source.save(tmp_path / "m.keras")
    model = dense_layers(fc6=3, fc7=3, fc8=2)
    before = model.get_weights()
    start = start_from(model, tmp_path / "m.keras")
    assert start == (["fc6"], ["fc8"], ["fc7"], [])
    assert (
        start.summary() == "1 layers copied; not copied, shapes differ: fc8; not in the file: fc7"
    )
    np.testing.assert_array_equal(model.get_weights()[0], source.get_weights()[0])
    for a, b in zip(before[2:], model.get_weights()[2:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_start_from_without_the_class_layers(tmp_path):
    sizes = dict.fromkeys(("fc6", "fc8_r6", "score_pool4", "upscore2_pool4", "hha_fc8"), 4)
    source, model = dense_layers(**sizes), dense_layers(**sizes)
    source.save(tmp_path / "m.keras")
    before = model.get_weights()
    start = start_from(model, tmp_path / "m.keras", drop_classes=True)
    assert start == (["fc6"], [], [], ["fc8_r6", "score_pool4", "upscore2_pool4", "hha_fc8"])
    assert start.summary() == (
        "1 layers copied; left as they were: fc8_r6, score_pool4, upscore2_pool4, hha_fc8"
    )
    np.testing.assert_array_equal(model.get_weights()[0], source.get_weights()[0])
    for old, new in zip(before[2:], model.get_weights()[2:], strict=True):
        np.testing.assert_array_equal(old, new)


def test_start_from_a_fused_network_is_refused(tmp_path):
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(2, 1, name="conv")(images)
    model = keras.Model(images, keras.layers.BatchNormalization(name="bn")(x))
    deeplab_tf.fuse(model).save(tmp_path / "fused.keras")
    one_line(lambda: start_from(model, tmp_path / "fused.keras"), "was made by fuse; take the net")


def test_start_from_another_network(tmp_path):
    dense_layers(other=3, more=2).save(tmp_path / "other.keras")
    model = dense_layers(fc6=3, fc8=2)
    one_line(lambda: start_from(model, tmp_path / "other.keras"), "other.keras: none of its layers")
