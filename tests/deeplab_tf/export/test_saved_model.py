"""Exported models, served by a process that has only TensorFlow and NumPy."""

import json
import os
import re
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import tensorflow as tf
from exported import assert_as_segment, stored
from fresh_process import run_python
from planted import with_orientation
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import export_saved_model, open_model
from deeplab_tf.export.served_crf import INPUTS
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.multiscale import fuse_scales

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=2)
# Of two images, with a request.
SENT = PARAMS, CRFParams(w1=6, sigma_alpha=30, sigma_beta=8, w2=2, sigma_gamma=2, iterations=1)
LABELS = LabelSet.generic(4)

# What a user's server does; it does not import this project.
SERVER = """
    import sys
    import warnings
    from pathlib import Path
    import numpy as np
    import tensorflow as tf

    warnings.simplefilter("error")  # of what follows
    def read_png_files(found):
        (files,) = found.values()
        return {str(index): tf.io.decode_png(file)[..., 0] for index, file in enumerate(files)}

    inputs = dict(np.load("inputs.npz"))
    small = Path("small.png").read_bytes()
    results = {}
    for name in ("plain", "with_crf"):
        model = tf.saved_model.load(name)
        serve = model.signatures
        for key in ("wide", "odd", "batch"):
            results[f"{name}/uint8/{key}"] = serve["uint8"](images=tf.constant(inputs[key]))
            images = tf.constant(inputs[key].astype("float32"))
            results[f"{name}/float/{key}"] = serve["serving_default"](images=images)
        files = ("photo.jpg", "photo.png", "turned.jpg", "deep.png")
        contents = [Path(path).read_bytes() for path in files]
        results[f"{name}/encoded"] = serve["encoded"](image_bytes=tf.constant(contents))
        results[f"{name}/labels_only"] = serve["labels_only"](images=tf.constant(inputs["batch"]))
        found = serve["encoded_png"](image_bytes=tf.constant(contents[:1] + [small]))
        results[f"{name}/encoded_png"] = read_png_files(found)
    parameters = {key: tf.constant(value) for key, value in np.load("crf.npz").items()}
    results["uint8_crf"] = serve["uint8_crf"](images=tf.constant(inputs["batch"]), **parameters)
    files = tf.constant([contents[1], small])
    found = serve["encoded_png_crf"](image_bytes=files, **parameters)
    results["encoded_png_crf"] = read_png_files(found)
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
    sent = {name: [getattr(params, name) for params in SENT] for name in INPUTS}
    types = {name: np.int32 if name == "iterations" else np.float32 for name in INPUTS}
    np.savez(folder / "crf.npz", **{name: types[name](sent[name]) for name in INPUTS})
    cv2.imwrite(str(folder / "small.png"), blocks(40, 30, seed=5)[..., ::-1])
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
    # With TensorFlow's messages as a user sees them.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("TF_")}
    return run_python(SERVER, folder, environment)


@pytest.fixture(scope="module")
def results(served, folder):
    return dict(np.load(folder / "results.npz"))


@pytest.mark.parametrize("signature", ["float", "uint8"])
@pytest.mark.parametrize(("name", "crf"), [("plain", None), ("with_crf", PARAMS)])
@pytest.mark.parametrize("key", ["wide", "odd", "batch"])
def test_served_images_equal_segment(model, inputs, results, key, name, crf, signature):
    labels = results[f"{name}/{signature}/{key}/labels"]
    probabilities = results[f"{name}/{signature}/{key}/probabilities"]
    assert len(labels) == len(inputs[key])
    for row in zip(inputs[key], labels, probabilities, strict=True):
        assert_as_segment(model, row[0], crf, *row[1:])


@pytest.mark.parametrize(("name", "crf"), [("plain", None), ("with_crf", PARAMS)])
def test_served_files_equal_segment(model, folder, results, name, crf):
    labels, probabilities = (results[f"{name}/encoded/{x}"] for x in ("labels", "probabilities"))
    assert len(labels) == 4
    for index, file in enumerate(("photo.jpg", "photo.png", "turned.jpg", "photo.png")):
        image = cv2.imread(str(folder / file))[..., ::-1]  # turned, as viewers show it
        assert_as_segment(model, image, crf, labels[index], probabilities[index])


@pytest.mark.parametrize(("name", "crf"), [("plain", None), ("with_crf", PARAMS)])
def test_served_labels_alone(model, inputs, folder, results, name, crf):
    assert not [key for key in results if "labels_only" in key and not key.endswith("/labels")]
    for image, labels in zip(inputs["batch"], results[f"{name}/labels_only/labels"], strict=True):
        assert_as_segment(model, image, crf, labels)
    for index, file in enumerate(("photo.jpg", "small.png")):
        image = cv2.imread(str(folder / file))[..., ::-1]
        assert_as_segment(model, image, crf, results[f"{name}/encoded_png/{index}"])


def test_served_with_crf_parameters_of_the_request(model, inputs, folder, results):
    labels, probabilities = (results[f"uint8_crf/{key}"] for key in ("labels", "probabilities"))
    for row in zip(inputs["batch"], SENT, labels, probabilities, strict=True):
        assert_as_segment(model, *row)
    assert (labels[1] != segment(model, inputs["batch"][1], PARAMS)).mean() > 0.01
    for index, file in enumerate(("photo.png", "small.png")):
        image = cv2.imread(str(folder / file))[..., ::-1]
        assert_as_segment(model, image, SENT[index], results[f"encoded_png_crf/{index}"])


def operations_of(graph, signature):
    """The names of the operations that a signature of a `MetaGraphDef` may compute."""
    functions = {one.signature.name: one.node_def for one in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    (output, *_) = graph.signature_def[signature].outputs.values()
    waiting, seen, found = [nodes[output.name.partition(":")[0]]], set(), set()
    while waiting:
        node = waiting.pop()
        found.add(node.op)
        called = {value.func.name for value in node.attr.values() if value.func.name} - seen
        seen |= called
        waiting += [inner for name in called for inner in functions[name]]
    return found


@pytest.mark.parametrize(
    ("name", "signature", "softmax"),
    [
        ("plain", "uint8", True),
        ("plain", "labels_only", False),
        ("plain", "encoded_png", False),
        ("with_crf", "labels_only", True),
    ],
)
def test_labels_alone_need_no_softmax(served, folder, name, signature, softmax):
    found = operations_of(stored(folder / name), signature)
    assert "Conv2D" in found and ("Softmax" in found) == softmax


def test_exports_are_loaded_and_run_without_warnings(served):
    assert not re.search("WARNING:(absl|tensorflow)|Warning|gradient", served.stderr), served.stderr


def test_the_settings_are_in_the_folder(served, folder):
    for name, crf, source in (("plain", None, "network"), ("with_crf", PARAMS, "crf")):
        assets = folder / name / "assets"
        assert {file.name for file in assets.iterdir()} == {"labels.json", "deeplab_tf.json"}
        found = json.loads((assets / "deeplab_tf.json").read_text())
        assert found["settings"] == {"scales": [1.0], "flip": False, "pad_to": None}
        assert found["crf"] == (crf and json.loads(json.dumps(asdict(crf))))
        assert open_model(folder / name).source == source


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
