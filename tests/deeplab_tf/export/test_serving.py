"""What servers and their clients need of a SavedModel: small answers, CRF inputs, refusals.

A part of `make test-formats`, because a graph takes seconds when a signature is first called.
"""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from handmade_png import chunk
from prediction_logs import prediction_log, read_requests
from tensorflow.core.protobuf import saved_model_pb2
from tiny_model import blocks, random_model

import deeplab_tf
from crf import CRFParams
from deeplab_tf import segment
from deeplab_tf.export import export_saved_model, load_description
from deeplab_tf.export.warmup import FILE
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

pytest.importorskip("tensorflow_serving", reason="a part of make test-formats")

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=2)
OTHERS = CRFParams(w1=9, sigma_alpha=9, sigma_beta=30, w2=1, sigma_gamma=2, iterations=4)
INPUTS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma", "iterations")
LABELS = LabelSet.generic(4)
SMALL, WIDE = blocks(40, 56), blocks(70, 90, seed=1)  # the wide one is reduced


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "served"
    export_saved_model(model, path, LABELS, PARAMS, max_pixels=6300, served_max_side=80)
    return path


@pytest.fixture(scope="module")
def served(path):
    return tf.saved_model.load(path)


def serve(served, name, **inputs):
    results = served.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    return {key: value.numpy() for key, value in results.items()}


def assert_labels(found, model, image, crf=PARAMS):
    expected = segment(model, image, crf, max_side=80)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert (found == expected).mean() > 0.999


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_labels_only(model, served):
    for image in (SMALL, WIDE):
        found = serve(served, "labels_only", images=image[None])
        assert list(found) == ["labels"]
        assert_labels(found["labels"][0], model, image)


def test_png_files_of_several_sizes_in_one_batch(model, served):
    found = serve(served, "encoded_png", image_bytes=[png(SMALL), png(WIDE)])
    assert list(found) == ["png_bytes"]  # so a server's JSON has it as base64
    for contents, image in zip(found["png_bytes"], (SMALL, WIDE), strict=True):
        labels = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
        assert_labels(labels, model, image)


def test_large_images_are_reduced_as_by_segment(model, served):
    found = serve(served, "uint8", images=WIDE[None])
    assert_labels(found["labels"][0], model, WIDE)
    settings = {"return_probabilities": True, "max_side": 80}
    expected = segment(model, WIDE, PARAMS, **settings)
    assert np.abs(found["probabilities"][0] - expected).mean() < 1e-5
    assert (found["labels"][0] != segment(model, WIDE, PARAMS)).mean() > 0.01


def values(*params):
    return {
        name: np.array(
            [getattr(one, name) for one in params], np.int32 if name == "iterations" else np.float32
        )
        for name in INPUTS
    }


def test_every_image_has_its_crf_parameters(model, served):
    images = np.stack([SMALL, SMALL, blocks(40, 56, seed=2)])
    found = serve(served, "uint8_crf", images=images, **values(PARAMS, OTHERS, OTHERS))
    for image, crf, labels in zip(images, (PARAMS, OTHERS, OTHERS), found["labels"], strict=True):
        assert_labels(labels, model, image, crf)
    assert (found["labels"][0] != found["labels"][1]).mean() > 0.01
    plain = serve(served, "uint8", images=SMALL[None])["probabilities"]
    np.testing.assert_allclose(found["probabilities"][:1], plain, atol=1e-6)


def test_one_number_of_a_crf_parameter_is_for_all_images(model, served):
    one = {name: value[0] for name, value in values(OTHERS).items()}
    files = [png(SMALL), png(WIDE)]
    found = serve(served, "encoded_png_crf", image_bytes=files, **one)["png_bytes"]
    for contents, image in zip(found, (SMALL, WIDE), strict=True):
        labels = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
        assert_labels(labels, model, image, OTHERS)


def test_a_server_fills_in_the_crf_parameters(path):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    for signature in ("uint8_crf", "encoded_png_crf"):
        defaults = saved.meta_graphs[0].signature_def[signature].defaults
        found = {name: tf.make_ndarray(tensor).tolist() for name, tensor in defaults.items()}
        assert found == {name: value.tolist() for name, value in values(PARAMS).items()}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"w1": np.float32(-1)}, "w1 is -1, but must be finite and at least 0"),
        ({"sigma_alpha": np.float32(1e-9)}, "sigmas are too small for the lattice"),
    ],
)
def test_crf_parameters_that_cannot_be(served, given, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        serve(served, "uint8_crf", images=SMALL[None], **{**values(PARAMS), **given})


@pytest.mark.parametrize("change", [lambda levels: levels / 255, lambda levels: levels * np.nan])
def test_floats_that_are_no_levels(served, change):
    images = np.stack([SMALL, SMALL]).astype(np.float32)
    assert (
        serve(served, "serving_default", images=images)["labels"][1]
        == serve(served, "labels_only", images=SMALL[None])["labels"][0]
    ).all()
    images[1] = change(images[1])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"images\[1\] holds .*; send RGB levels"
    ):
        serve(served, "serving_default", images=images)


def test_images_of_too_many_pixels(served):
    message = "images of 91x70 pixels, but at most 6300 pixels are taken; reduce them"
    for name, dtype in (("uint8", np.uint8), ("serving_default", np.float32)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            serve(served, name, images=np.full((1, 70, 91, 3), 9, dtype))


def test_files_of_too_many_pixels_are_not_decoded(served):
    header = np.array([60000, 50000], ">u4").tobytes() + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)  # no pixels follow
    large = cv2.imencode(".jpg", np.zeros((70, 91, 3), np.uint8))[1].tobytes()
    for name in ("encoded", "encoded_png"):
        for contents, size in ((bomb, "60000x50000"), (large, "91x70")):
            message = rf"image_bytes\[1\] has {size} pixels, but at most 6300 pixels are taken"
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                serve(served, name, image_bytes=[png(SMALL), contents])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[1\]: cannot be decoded"):
            serve(served, name, image_bytes=[png(SMALL), bomb[:20]])
        with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes is empty"):
            serve(served, name, image_bytes=np.zeros(0, "S1"))


def test_every_signature_serves_its_warm_up_request(path, served):
    requests = dict(read_requests(path / FILE, prediction_log()))
    assert requests.keys() == served.signatures.keys()
    assert len(requests) == 7
    for name, inputs in requests.items():
        assert serve(served, name, **inputs)


def test_the_assets_say_what_is_served(path):
    found = json.loads((path / "assets" / "deeplab_tf.json").read_text())
    assert found["version"] == deeplab_tf.__version__
    assert found["limits"] == {"max_pixels": 6300, "max_side": 80}
    assert load_description(path).crf_params == PARAMS
