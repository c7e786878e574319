"""Exported models, served by a process that has only TensorFlow and NumPy."""

import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
import tensorflow as tf
from planted import with_orientation
from tensorflow.core.protobuf import saved_model_pb2
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.multiscale import fuse_scales

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=2)
LABELS = LabelSet.generic(4)

# What a user's server does; it does not import this project.
SERVER = """
    import sys
    import numpy as np
    import tensorflow as tf

    inputs = dict(np.load("inputs.npz"))
    results = {}
    for name in ("plain", "with_crf"):
        model = tf.saved_model.load(name)
        serve = model.signatures
        for key in ("wide", "odd", "batch"):
            results[f"{name}/uint8/{key}"] = serve["uint8"](images=tf.constant(inputs[key]))
            images = tf.constant(inputs[key].astype("float32"))
            results[f"{name}/float/{key}"] = serve["serving_default"](images=images)
        files = ("photo.jpg", "photo.png", "turned.jpg", "deep.png")
        contents = [open(path, "rb").read() for path in files]
        results[f"{name}/encoded"] = serve["encoded"](image_bytes=tf.constant(contents))
    assert "deeplab_tf" not in sys.modules and "crf" not in sys.modules
    np.savez("results.npz", **{
        f"{key}/{output}": value.numpy()
        for key, outputs in results.items() for output, value in outputs.items()
    })
"""


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def inputs(folder):
    batch = np.stack([blocks(70, 90, seed=2), blocks(70, 90, seed=3)])
    images = {"wide": blocks(90, 120)[None], "odd": blocks(121, 83)[None], "batch": batch}
    np.savez(folder / "inputs.npz", **images)
    photo = blocks(100, 130, seed=4)[..., ::-1]
    for name in ("photo.jpg", "photo.png"):
        cv2.imwrite(str(folder / name), photo)
    lying = cv2.imencode(".jpg", np.rot90(photo))[1].tobytes()  # as a phone stores it
    (folder / "turned.jpg").write_bytes(with_orientation(lying, 6))
    cv2.imwrite(str(folder / "deep.png"), photo.astype(np.uint16) * 16)  # of 12 bits
    return images


@pytest.fixture(scope="module")
def served(model, folder, inputs):
    """The finished process that served the exports."""
    export_saved_model(model, folder / "plain", LABELS)
    export_saved_model(model, folder / "with_crf", LABELS, PARAMS)
    program = textwrap.dedent(SERVER)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def results(served, folder):
    return dict(np.load(folder / "results.npz"))


def assert_same(model, image, crf, labels, probabilities):
    expected = segment(model, image, crf, return_probabilities=True)
    assert labels.dtype == np.uint8 and probabilities.dtype == np.float32
    assert labels.shape == image.shape[:2]
    assert (labels == segment(model, image, crf)).mean() >= 0.999
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))
    assert np.abs(probabilities - expected).mean() < 1e-5


@pytest.mark.parametrize("signature", ["float", "uint8"])
@pytest.mark.parametrize(("name", "crf"), [("plain", None), ("with_crf", PARAMS)])
@pytest.mark.parametrize("key", ["wide", "odd", "batch"])
def test_served_images_equal_segment(model, inputs, results, key, name, crf, signature):
    labels = results[f"{name}/{signature}/{key}/labels"]
    probabilities = results[f"{name}/{signature}/{key}/probabilities"]
    assert len(labels) == len(inputs[key])
    for row in zip(inputs[key], labels, probabilities, strict=True):
        assert_same(model, row[0], crf, *row[1:])


@pytest.mark.parametrize(("name", "crf"), [("plain", None), ("with_crf", PARAMS)])
def test_served_files_equal_segment(model, folder, results, name, crf):
    labels, probabilities = (results[f"{name}/encoded/{x}"] for x in ("labels", "probabilities"))
    assert len(labels) == 4
    for index, file in enumerate(("photo.jpg", "photo.png", "turned.jpg", "photo.png")):
        image = cv2.imread(str(folder / file))[..., ::-1]  # turned, as viewers show it
        assert_same(model, image, crf, labels[index], probabilities[index])


def test_loading_an_export_prints_no_warnings(served):
    """Such as TensorFlow's about custom gradients that were not saved."""
    assert "WARNING:absl" not in served.stderr and "gradient" not in served.stderr


def test_the_crf_changes_what_is_served(results):
    key = "uint8/wide/labels"
    assert (results[f"plain/{key}"] != results[f"with_crf/{key}"]).mean() > 0.01


def test_class_names_are_saved_as_an_asset(served, folder):
    assert LabelSet.load(folder / "plain" / "assets" / "labels.json") == LABELS


def test_scales_flip_and_padding_are_exported(model, tmp_path):
    settings = {"scales": (1.0, 0.75), "flip": True, "pad_to": 57}
    export_saved_model(model, tmp_path / "served", LABELS, **settings)
    serve = tf.saved_model.load(tmp_path / "served").signatures["uint8"]
    image = blocks(40, 51)
    probabilities = serve(images=tf.constant(image[None]))["probabilities"][0]
    expected = segment(model, image, return_probabilities=True, **settings)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    network = fuse_scales(model, (1.0, 0.75))
    expected = segment(network, image, return_probabilities=True, flip=True, pad_to=57)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    for name in settings:
        fewer = {key: value for key, value in settings.items() if key != name}
        other = segment(model, image, return_probabilities=True, **fewer)
        assert np.abs(other - expected).max() > 0.01, name


def test_one_network_serves_all_signatures(model, tmp_path):
    export_saved_model(model, tmp_path / "served", LABELS)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "served" / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    operations = [node.op for function in functions for node in function.node_def]
    assert operations.count("Conv2D") == 1


def test_only_overwrite_replaces_an_export(model, tmp_path):
    path = tmp_path / "served"
    path.mkdir()
    (path / "mine").write_text("keep")
    with pytest.raises(InputError, match="served: exists and is not empty"):
        export_saved_model(model, path, LABELS)
    assert [file.name for file in path.iterdir()] == ["mine"]
    export_saved_model(model, path, LABELS, overwrite=True)
    assert (path / "saved_model.pb").exists() and not (path / "mine").exists()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_export_leaves_nothing(model, tmp_path):
    with pytest.raises(InputError, match="3 class names for a model of 4 classes"):
        export_saved_model(model, tmp_path / "served", LabelSet.generic(3))
    with pytest.raises(ValueError, match="CRFParams"):
        export_saved_model(model, tmp_path / "served", LABELS, crf="yes")
    assert list(tmp_path.iterdir()) == []
