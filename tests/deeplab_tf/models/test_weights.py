"""Weights from files in Keras's formats, made here small or as the networks are."""

import keras
import numpy as np
import pytest

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import weights as weight_files
from deeplab_tf.models.heads import HEADS

CONSTRUCTOR = keras.applications.MobileNetV2


@pytest.fixture(scope="module")
def trained():
    return CONSTRUCTOR(weights=None, include_top=False)


def first_kernel(model):
    return np.array(model.get_layer("Conv1").kernel)


@pytest.mark.parametrize("name", ["old.h5", "new.weights.h5", "whole.keras"])
def test_a_backbone_by_path(trained, tmp_path, name):
    path = tmp_path / name
    if name == "old.h5":
        keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5(trained, path)
    elif name.endswith(".weights.h5"):
        trained.save_weights(path)
    else:
        trained.save(path)
    model = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, weights=str(path))
    np.testing.assert_array_equal(first_kernel(model), first_kernel(trained))
    last = "Conv_1"
    np.testing.assert_array_equal(
        model.get_layer(last).get_weights()[0], trained.get_layer(last).get_weights()[0]
    )


@pytest.mark.parametrize("name", ["top.weights.h5", "top.keras"])
def test_a_file_with_classifier(tmp_path, name):
    network = CONSTRUCTOR(weights=None, include_top=True)
    path = tmp_path / name
    network.save_weights(path) if name.endswith(".h5") else network.save(path)
    found = weight_files.read_weights(CONSTRUCTOR, "mobilenetv2", path)
    np.testing.assert_array_equal(found.backbone[0], network.get_weights()[0])
    assert found.classifier is None and found.whole is None


@pytest.mark.parametrize("name", ["deeplab.keras", "deeplab.weights.h5"])
def test_a_whole_deeplab(tmp_path, name):
    first = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, weights=None)
    path = tmp_path / name
    first.save_weights(path) if name.endswith(".h5") else first.save(path)
    second = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, weights=path)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fc6_and_fc7_from_the_classifier():
    rng = np.random.default_rng(0)
    kernel6 = rng.normal(size=(7, 7, 16, 4096)).astype("float32")
    kernel7 = rng.normal(size=(4096, 4096)).astype("float32")
    bias = np.arange(4096.0)
    classifier = [kernel6.reshape(784, 4096), bias, kernel7, bias]
    made = weight_files.subsample_classifier(classifier, HEADS["large_fov"])
    assert [w.shape for w in made] == [(3, 3, 16, 1024), (1024,), (1, 1, 1024, 1024), (1024,)]
    assert made[0][1, 2, 5, 7] == kernel6[3, 6, 5, 28]
    assert made[1][7] == 28
    assert made[2][0, 0, 3, 9] == kernel7[12, 36]
    made = weight_files.subsample_classifier(classifier, HEADS["4x4"])
    np.testing.assert_array_equal(made[0], kernel6[::2, ::2])
    np.testing.assert_array_equal(made[2][0, 0], kernel7)
    made = weight_files.subsample_classifier(classifier, HEADS["7x7"])
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
    with pytest.raises(InputError) as error:
        action()
    message = str(error.value)
    assert "\n" not in message
    for needle in needles:
        assert needle in message


def test_bad_files_say_what_to_do(trained, tmp_path):
    def build(weights):
        return deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, weights=weights)

    one_line(lambda: build(tmp_path / "none.h5"), "none.h5", "no weights file")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    one_line(lambda: build(tmp_path / "text.h5"), "text.h5", "damaged")
    (tmp_path / "w.caffemodel").write_text("x")
    one_line(lambda: build(tmp_path / "w.caffemodel"), "unknown kind", ".keras")
    trained.save_weights(tmp_path / "ok.weights.h5")
    contents = (tmp_path / "ok.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(contents[: len(contents) // 2])
    one_line(lambda: build(tmp_path / "cut.weights.h5"), "cut.weights.h5", "again")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    other.save(tmp_path / "other.keras")
    one_line(lambda: build(tmp_path / "other.keras"), "other.keras", "fit neither")
    other.save_weights(tmp_path / "other.weights.h5")
    one_line(lambda: build(tmp_path / "other.weights.h5"), "other.weights.h5", "fit neither")


def test_offline_download_says_what_to_do(monkeypatch):
    def offline(**arguments):
        raise Exception("URL fetch failure on https://example.org/w.h5: None -- refused")

    one_line(
        lambda: weight_files.read_weights(offline, "resnet50", "imagenet"),
        "resnet50",
        "weights=None",
    )
