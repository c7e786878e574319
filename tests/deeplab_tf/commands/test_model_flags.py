"""--output_stride of the commands that use a trained network."""

import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model
from tool_runner import run_tool

from deeplab_tf.data.image_files import load_image, load_label
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.data.voc import read_label_set
from deeplab_tf.evaluation import segment

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=1, num_val=1, size=(128, 150))
    return folder


@pytest.fixture(scope="module")
def model(data_dir):
    """A network that scores every 16th pixel."""
    return random_model(read_label_set(data_dir).num_classes, output_stride=16)


@pytest.fixture(scope="module")
def at_8(model):
    """The same layers and weights, built to score every eighth pixel."""

    def finer(layer):
        config = layer.get_config()
        strided = isinstance(layer, keras.layers.Conv2D)
        return type(layer).from_config({**config, "strides": (8, 8)} if strided else config)

    built = keras.models.clone_model(model, clone_function=finer)
    built.set_weights(model.get_weights())
    return built


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), blocks(97, 129))
    return tmp_path / "photo.png"


def test_predict_and_export(model, at_8, model_dir, photo, tmp_path):
    expected, coarse = (segment(network, load_image(photo)) for network in (at_8, model))
    assert (expected != coarse).mean() > 0.05
    flags = [f"--model={model_dir}", "--output_stride=8"]
    done = run_tool("predict", *flags, f"--out_dir={tmp_path / 'labels'}", photo)
    assert done.status == 0, done.err
    classes = model.output_shape[-1]
    np.testing.assert_array_equal(load_label(tmp_path / "labels" / "photo.png", classes), expected)
    done = run_tool("export", *flags, f"--out={tmp_path / 'served'}")
    assert done.status == 0, done.err
    serve = tf.saved_model.load(tmp_path / "served").signatures["uint8"]
    served = serve(images=load_image(photo)[None])["labels"][0].numpy()
    assert (served == expected).mean() >= 0.999
    error = run_tool("predict", f"--model={tmp_path / 'served'}", flags[1], "--out_dir=o", photo)
    assert "--output_stride has no effect: " in error.error


def test_evaluate(at_8, model_dir, data_dir, tmp_path):
    """The scores are those of the file of a network built at 8."""
    at_8.save(tmp_path / "at_8.keras")
    found = []
    for flags in (
        [f"--model={model_dir}", "--output_stride=8"],
        [f"--model={tmp_path}/at_8.keras"],
    ):
        json_out = tmp_path / "scores.json"
        done = run_tool("evaluate", *flags, f"--data_dir={data_dir}", f"--json_out={json_out}")
        assert done.status == 0, done.err
        found.append(json.loads(json_out.read_text()))
    settings = [scores.pop("settings") for scores in found]
    assert settings[0] == {**settings[1], "output_stride": 8}
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("stride", "message"), [(32, "has output stride 16, and 32 would"), (5, "must be one of")]
)
def test_other_strides_are_refused(model_dir, photo, tmp_path, stride, message):
    flags = [f"--model={model_dir}", f"--output_stride={stride}", f"--out_dir={tmp_path / 'o'}"]
    error = run_tool("predict", *flags, photo).error
    assert f"--output_stride={stride}: " in error and message in error
    assert not (tmp_path / "o").exists()
