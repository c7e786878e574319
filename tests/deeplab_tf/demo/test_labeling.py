import numpy as np
import pytest
from demo_client import LABELS
from tiny_model import blocks, color_model, preparations, random_model

from crf import CRFParams, refine
from deeplab_tf.demo import labeling
from deeplab_tf.demo.labeling import Labeler, Network, chosen_params
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import predict_probabilities, segment
from deeplab_tf.export import export_saved_model, open_model

PARAMS = CRFParams(w1=5, sigma_alpha=20, sigma_beta=15, iterations=3)


class Photographs:
    """In place of a folder; counts how often each is read."""

    def __init__(self):
        self.images = {name: blocks(40, 56, seed=i) for i, name in enumerate("abc")}
        self.read = []

    def __call__(self, name):
        self.read.append(name)
        return self.images[name]


@pytest.fixture(scope="module")
def model():
    return color_model(factor=0.03)


@pytest.fixture
def photographs():
    return Photographs()


@pytest.fixture
def labeler(model, photographs):
    def opener(**options):
        return lambda: Network("colors", model, LABELS, PARAMS, **options)

    return Labeler({"colors": opener(), "small": opener(max_side=28)}, photographs)


def test_parameters_of_the_sliders(model):
    network = Network("colors", model, LABELS, CRFParams(normalization="none"))
    chosen = chosen_params(network, [1, 20, 3.5, 2, 4, 6])
    assert chosen == CRFParams(1, 20, 3.5, 2, 4, 6, normalization="none")
    with pytest.raises(InputError, match=r"^sigma_alpha must be a finite number above 0, not 0$"):
        chosen_params(network, [1, 0, 3.5, 2, 4, 6])


def test_more_iterations_than_the_network_has_are_too_many(model):
    values = [1, 20, 3.5, 2, 4]
    network = Network("colors", model, LABELS, PARAMS)
    assert chosen_params(network, [*values, 50]).iterations == 50
    with pytest.raises(InputError, match=r"^iterations must be at most 50 here$"):
        chosen_params(network, [*values, 51])
    # Those that the page starts with are fine.
    network = Network("colors", model, LABELS, CRFParams(iterations=60))
    assert chosen_params(network, [*values, 60]).iterations == 60
    with pytest.raises(InputError, match=r"^iterations must be at most 60 here$"):
        chosen_params(network, [*values, 61])


def test_before_and_after_the_crf(labeler, model, photographs):
    found = labeler.refined("a", "colors", PARAMS)
    image = photographs.images["a"]
    before = predict_probabilities(model, image)
    assert np.array_equal(found.scored.probabilities, before)
    # No color is improbable everywhere, so nothing is pruned.
    assert (before.max(axis=(0, 1)) > labeling.PRUNE_BELOW).all()
    np.testing.assert_allclose(found.probabilities, refine(before, image, PARAMS), atol=1e-6)
    assert found.scored.size == (40, 56) and found.params == PARAMS and found.seconds > 0


def test_the_network_sees_a_photograph_once(labeler, photographs, monkeypatch):
    scored = labeler.refined("a", "colors", PARAMS).scored
    monkeypatch.setattr(labeling, "predict_probabilities", None)  # calling it would fail
    assert labeler.refined("a", "colors", CRFParams(w1=1, iterations=2)).scored is scored
    assert photographs.read == ["a"]


def test_weights_are_prepared_once_for_all_photographs(photographs, monkeypatch):
    prepared = preparations(monkeypatch)
    model = random_model(num_classes=3)
    labeler = Labeler({"n": lambda: Network("n", model, LABELS, PARAMS)}, photographs)
    labeler.warm_up()
    for name in "ab":
        labeler.refined(name, "n", PARAMS)
    assert len(prepared) == 1


def test_the_same_question_is_answered_once(labeler):
    first = labeler.refined("a", "colors", PARAMS)
    assert (
        labeler.refined("a", "colors", CRFParams(w1=5, sigma_alpha=20, sigma_beta=15, iterations=3))
        is first
    )


def test_the_oldest_photographs_are_forgotten(labeler, photographs, monkeypatch):
    monkeypatch.setattr(labeling, "MAX_KEPT_BYTES", 2 * 40 * 56 * 3 * 4)
    for name in "abaca":  # b is the one that was not asked for again
        labeler.refined(name, "colors", PARAMS)
    assert photographs.read == ["a", "b", "c"]
    labeler.refined("b", "colors", PARAMS)
    assert photographs.read == ["a", "b", "c", "b"]


def test_a_large_photograph_is_reduced_and_its_labels_are_not(labeler, model, photographs):
    scored = labeler.refined("a", "small", PARAMS).scored
    assert scored.image.shape == (20, 28, 3) and scored.size == (40, 56)
    image, label = labeler.full_size("a", "small", PARAMS)
    assert np.array_equal(image, photographs.images["a"])
    assert np.array_equal(label, segment(model, image, PARAMS, max_side=28))


def test_an_improbable_class_is_pruned(photographs):
    model = color_model(factor=0.2)
    photographs.images["a"] = np.full((40, 56, 3), (200, 180, 0), np.uint8)
    labeler = Labeler({"colors": lambda: Network("colors", model, LABELS, PARAMS)}, photographs)
    before = labeler.refined("a", "colors", PARAMS)
    assert before.scored.probabilities[..., 2].max() < labeling.PRUNE_BELOW
    pruned = refine(
        before.scored.probabilities,
        photographs.images["a"],
        PARAMS,
        prune_below=labeling.PRUNE_BELOW,
    )
    assert np.array_equal(before.probabilities, pruned)
    # A learned compatibility cannot be pruned.
    learned = CRFParams(iterations=1, compatibility=1 - np.eye(3))
    assert labeler.refined("a", "colors", learned).probabilities.shape == (40, 56, 3)


def test_what_cannot_be(labeler, photographs):
    with pytest.raises(InputError, match="no network 'x'; available: colors, small"):
        labeler.refined("a", "x", PARAMS)
    with pytest.raises(InputError, match="no network"):
        labeler.network(["colors"])
    photographs.images["a"] = blocks(300, 300)
    with pytest.raises(InputError, match="the sigmas are too small"):
        labeler.refined("a", "colors", CRFParams(sigma_alpha=1e-30, sigma_gamma=1e-30))


def test_an_exported_network(model, photographs, tmp_path):
    export_saved_model(model, tmp_path / "served", LABELS)
    opened = open_model(tmp_path / "served")
    labeler = Labeler({"served": lambda: Network("served", opened, LABELS, PARAMS)}, photographs)
    labeler.warm_up()
    labels = labeler.full_size("a", "served", PARAMS)[1]
    expected = segment(model, photographs.images["a"], PARAMS)
    assert (labels == expected).mean() > 0.999
    found = labeler.refined("a", "served", PARAMS)
    assert np.abs(found.scored.probabilities - opened.probabilities(found.scored.image)).max() == 0
