"""How an exported graph computes the CRF."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model

from crf import CRFParams, refine
from crf.memory import GRAPH_FACTOR
from crf.strips import strip_bytes
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.export import export_model, export_saved_model
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMS = CRFParams(sigma_alpha=10, sigma_beta=15, iterations=2)
LABELS = LabelSet.generic(4)


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lattice", "xla"])
def test_a_pruned_export_gives_the_labels_of_refine(model, tmp_path, engine):
    image = blocks(50, 70)
    probabilities = segment(model, image, return_probabilities=True)
    bound = float(np.median(probabilities.max(axis=(0, 1))))  # half of the labels are pruned
    options = {"prune_below": bound}
    if engine == "lattice":
        options.update(max_memory=strip_bytes(60, 50, 4), overlap=10)
    wanted = refine(probabilities, image, PARAMS, **options)
    if engine == "lattice":
        options["max_memory"] = strip_bytes(60, 50, 4, GRAPH_FACTOR)  # the same strips
    export_saved_model(
        model, tmp_path / "served", LABELS, PARAMS, crf_options={"engine": engine, **options}
    )
    serve = tf.saved_model.load(tmp_path / "served").signatures["uint8"]
    found = serve(images=tf.constant(image[None]))
    assert (found["labels"][0] == wanted.argmax(axis=-1)).numpy().mean() >= 0.999
    assert np.abs(found["probabilities"][0] - wanted).mean() < 1e-5
    whole = refine(probabilities, image, PARAMS)
    assert np.abs(wanted - whole).mean() > 1e-4  # otherwise nothing is tested
    if engine == "xla":
        compiled = tf.function(lambda images: serve(images=images), jit_compile=True)
        again = compiled(tf.constant(image[None]))["probabilities"][0]
        assert np.abs(again - wanted).mean() < 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crf_options": {"engine": "numba"}}, "'numba' cannot be exported; .*: lattice, xla, ex"),
        ({"crf_options": {"engine": "fast"}}, "unknown engine 'fast'"),
        ({"crf_options": {"prune_below": 2}}, "prune_below must be a probability, not 2"),
        ({"crf_options": {"threads": 2}}, "unknown options of the CRF: threads"),
        ({"crf_options": {"prune_below": 0.1}, "crf": None}, "prune_below: have no effect without"),
        (
            {"crf_options": {"prune_below": 0.1}, "crf": CRFParams(compatibility=1 - np.eye(4))},
            "labels can only be pruned in the Potts model",
        ),
        (
            {"crf_options": {"max_memory": 1e4}, "image_size": (40, 56)},
            "dense_crf: max_memory is 1e-05 GB, but strips of 40 pixels by 4 labels",
        ),
    ],
)
def test_options_that_cannot_be_exported(model, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        export_saved_model(model, tmp_path / "served", LABELS, **{"crf": PARAMS, **settings})
    assert not list(tmp_path.iterdir())


def test_other_formats_have_no_crf_in_their_graph(model, tmp_path):
    with pytest.raises(InputError, match="prune_below: are for SavedModels, which compute the CRF"):
        export_model(model, tmp_path / "m.onnx", LABELS, PARAMS, crf_options={"prune_below": 0.1})
    assert not list(tmp_path.iterdir())
