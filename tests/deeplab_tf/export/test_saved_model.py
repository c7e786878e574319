"""Exported models, served by a process that has only TensorFlow and NumPy."""

import json
import os
import re
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import tensorflow as tf
from fresh_process import run_python
from planted import with_orientation
from tensorflow.core.protobuf import saved_model_pb2
from tiny_model import blocks, random_model

import deeplab_tf
from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import export_saved_model, open_model
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
    return run_python(SERVER, folder)


@pytest.fixture(scope="module")
def results(served, folder):
    return dict(np.load(folder / "results.npz"))


def stored(path):
    """The `MetaGraphDef` in an export, which takes less time to read than to load."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def assert_same(model, image, crf, labels, probabilities=None):
    expected = segment(model, image, crf, return_probabilities=True)
    assert labels.dtype == np.uint8 and labels.shape == image.shape[:2]
    assert (labels == segment(model, image, crf)).mean() >= 0.999
    if probabilities is None:
        return
    assert probabilities.dtype == np.float32
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


def test_the_settings_are_in_the_folder(served, folder):
    for name, crf, source in (("plain", None, "network"), ("with_crf", PARAMS, "crf")):
        assets = folder / name / "assets"
        assert {file.name for file in assets.iterdir()} == {"labels.json", "deeplab_tf.json"}
        found = json.loads((assets / "deeplab_tf.json").read_text())
        assert found["settings"] == {"scales": [1.0], "flip": False, "pad_to": None}
        assert found["crf"] == (crf and json.loads(json.dumps(asdict(crf))))
        assert open_model(folder / name).source == source


def test_a_folder_of_an_older_version_has_only_the_classes(model, tmp_path):
    for name, more in (("any", {}), ("fixed", {"image_size": (33, 50)})):
        export_saved_model(model, tmp_path / name, LABELS, **more)
        (tmp_path / name / "assets" / "deeplab_tf.json").unlink()
    image, opened = blocks(33, 50), open_model(tmp_path / "any")
    assert (opened.label_set, opened.channels, opened.source) == (LABELS, 3, "export")
    assert opened.stride is None and opened.has_crf is None and opened.crf is None
    assert_same(model, image, None, segment(opened, image), opened.probabilities(image))
    with pytest.raises(InputError, match="any does not say whether it applies the CRF itself"):
        segment(opened, image, PARAMS)
    with pytest.raises(InputError, match=r"\(32, 50, 3\), but .*fixed takes \(33, 50, 3\)"):
        open_model(tmp_path / "fixed").probabilities(image[1:])


def demo_network():
    """The network of `make demo`, with random weights."""
    return deeplab_tf.build_deeplab("mobilenetv3small", "large_fov", 4, weights=None)


@pytest.mark.slow
def test_the_demo_is_loaded_without_warnings(tmp_path):
    """Such as TensorFlow's about custom gradients, with its messages as a user sees them."""
    export_saved_model(demo_network(), tmp_path / "served", LABELS, PARAMS)
    program = """
        import numpy as np
        import tensorflow as tf
        model = tf.saved_model.load("served")
        model.signatures["uint8"](images=np.zeros((1, 40, 56, 3), np.uint8))
    """
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("TF_")}
    done = run_python(program, tmp_path, environment)
    assert "gradient" not in done.stderr, done.stderr
    assert not re.search("WARNING:(absl|tensorflow)", done.stderr), done.stderr


def errors_of(signature, inputs):
    """The message of each input that a signature refuses."""
    for given in inputs:
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            signature(**given)
        yield str(error.value)


def test_errors_of_a_server_say_what_is_wrong(served, folder):
    photo = (folder / "photo.png").read_bytes()
    small = cv2.imencode(".png", blocks(20, 30))[1].tobytes()
    batches = [[photo, b"damaged"], [photo, small], []]
    batches = [{"image_bytes": tf.constant(x, tf.string, [len(x)])} for x in batches]
    loaded = tf.saved_model.load(folder / "plain")  # owns the variables of its signatures
    serve = loaded.signatures
    damaged, sizes, empty = errors_of(serve["encoded"], batches)
    assert "image_bytes[1]: cannot be decoded" in damaged and "replace or omit" in damaged
    assert "image_bytes[1] has 30x20 pixels but image_bytes[0] has 130x100 pixels; send" in sizes
    assert "image_bytes is empty; send at least one file" in empty
    for signature, dtype in (("uint8", tf.uint8), ("serving_default", tf.float32)):
        nothing = [{"images": tf.zeros(shape, dtype)} for shape in ((0, 9, 9, 3), (1, 0, 9, 3))]
        no_image, no_rows = errors_of(serve[signature], nothing)
        assert "images of shape [0 9 9 3] are empty; send at least one image" in no_image
        assert "images of shape [1 0 9 3] are empty" in no_rows


def convert_to_tflite(saved_model):
    """What TensorFlow's own converter makes of an export, as a function of one image."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    return interpreter.get_signature_runner("serving_default")


# The converter and the interpreter warn of their own successors.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"scales": (1, 0.5), "flip": True}])
def test_an_export_of_one_size_converts_to_tflite(tmp_path, settings):
    network, image = demo_network(), blocks(66, 90)
    kernel = network.get_layer("fc8").kernel
    kernel.assign(kernel / np.std(network(image[None])))  # random scores are all alike
    export_saved_model(network, tmp_path / "served", LABELS, image_size=(66, 90), **settings)
    found = convert_to_tflite(tmp_path / "served")(images=image[None].astype(np.float32))
    expected = segment(network, image, return_probabilities=True, **settings)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found["probabilities"][0], expected, atol=1e-4)
    assert found["labels"].dtype == np.uint8
    assert (found["labels"][0] == expected.argmax(-1)).mean() > 0.999


def test_an_export_of_one_size(model, tmp_path):
    export_saved_model(model, tmp_path / "served", LABELS, PARAMS, image_size=(33, 50))
    signatures = tf.saved_model.load(tmp_path / "served").signatures
    assert set(signatures) == {"serving_default", "uint8"}
    assert signatures["uint8"].structured_input_signature[1]["images"].shape == (1, 33, 50, 3)
    served = open_model(tmp_path / "served")
    assert served.has_crf and served.crf == PARAMS
    assert_same(model, blocks(33, 50), PARAMS, segment(served, blocks(33, 50)))
    with pytest.raises(InputError, match=r"\(40, 50, 3\), but .*served takes \(33, 50, 3\)"):
        segment(served, blocks(40, 50))
    with pytest.raises(InputError, match="served applies the CRF itself"):
        segment(served, blocks(33, 50), PARAMS)


def test_a_network_of_four_channels(tmp_path):
    model, image = random_model(channels=4), np.dstack([blocks(33, 50), blocks(33, 50)[..., 0]])
    export_saved_model(model, tmp_path / "served", LABELS, PARAMS)
    names = {"serving_default", "uint8", "labels_only", "uint8_crf"}
    assert set(stored(tmp_path / "served").signature_def) == {*names, "__saved_model_init_op"}
    served = open_model(tmp_path / "served")
    assert served.channels == 4
    assert_same(model, image, PARAMS, segment(served, image))
    with pytest.raises(InputError, match=r"image is uint8 \(33, 50, 3\); give .* \(H, W, 4\)"):
        served.probabilities(image[..., :3])


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


@pytest.mark.parametrize(("name", "lattices"), [("plain", 0), ("with_crf", 2)])
def test_one_network_and_one_crf_serve_all_signatures(served, folder, name, lattices):
    functions = stored(folder / name).graph_def.library.function
    operations = [node.op for function in functions for node in function.node_def]
    assert operations.count("Conv2D") == 1
    assert operations.count("InvertPermutation") == lattices  # one for each kernel


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
    for size in ((513,), (0, 9)):
        with pytest.raises(InputError, match=r"give \(height, width\) in pixels"):
            export_saved_model(model, tmp_path / "served", LABELS, image_size=size)
    assert list(tmp_path.iterdir()) == []
