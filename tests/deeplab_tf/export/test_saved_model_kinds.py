"""SavedModels for images of one size, of several channels, of older versions, and of the demo."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf
from exported import assert_as_segment, stored
from fresh_process import run_python
from tiny_model import blocks, random_model

import deeplab_tf
from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import export_saved_model, open_model
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=15, iterations=2)
LABELS = LabelSet.generic(4)


@pytest.fixture(scope="module")
def model():
    return random_model()


def test_a_folder_of_an_older_version_has_only_the_classes(model, tmp_path):
    for name, more in (("any", {}), ("fixed", {"image_size": (33, 50)})):
        export_saved_model(model, tmp_path / name, LABELS, **more)
        (tmp_path / name / "assets" / "deeplab_tf.json").unlink()
    image, opened = blocks(33, 50), open_model(tmp_path / "any")
    assert (opened.label_set, opened.channels, opened.source) == (LABELS, 3, "export")
    assert opened.stride is None and opened.has_crf is None and opened.crf is None
    assert_as_segment(model, image, None, segment(opened, image), opened.probabilities(image))
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
    assert_as_segment(model, blocks(33, 50), PARAMS, segment(served, blocks(33, 50)))
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
    assert_as_segment(model, image, PARAMS, segment(served, image))
    with pytest.raises(InputError, match=r"image is uint8 \(33, 50, 3\); give .* \(H, W, 4\)"):
        served.probabilities(image[..., :3])
