"""Pruning of improbable labels in TensorFlow; the numba engine is the oracle."""

import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams, dense_crf, refine
from crf.active_labels import find_active_labels, infer_active, only_active
from crf.mean_field import mean_field

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=4)
UNKNOWN_SIZE = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]


def scene(height=9, width=11, labels=7, probable=(1, 4, 6)):
    """Like a network's: a few probable labels, not the first ones, and others that never are."""
    rng = np.random.default_rng(0)
    scores = 1.5 * rng.normal(size=(height, width, labels))
    scores -= 9 * ~np.isin(np.arange(labels), probable)
    exponentials = np.exp(scores)
    image = 60 * (np.arange(width)[:, None] > width // 2)
    image = image + rng.integers(0, 12, (height, width, 3))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities.astype(np.float32), image.astype(np.uint8)


def test_active_labels_by_hand():
    # Label 1 is below 0.3 at both pixels, label 2 reaches it at one.
    probabilities = tf.constant([[[0.7, 0.2, 0.1]], [[0.5, 0.1, 0.4]]])
    np.testing.assert_array_equal(find_active_labels(probabilities, 0.3), [True, False, True])
    np.testing.assert_array_equal(find_active_labels(probabilities, 0.2), [True, True, True])
    assert find_active_labels(probabilities, 0.0) is None


def add_one_to_active(prior):
    """Inference in which every active label receives one message of 1."""
    gained = prior * tf.constant([np.e] * (prior.shape[1] - 1) + [1], prior.dtype)
    return gained / tf.reduce_sum(gained, axis=1, keepdims=True)


@pytest.mark.parametrize("active", [[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
def test_pruned_labels_share_in_proportion_to_their_prior(active):
    prior = np.array([[0.9, 0.06, 0.03, 0.01], [0.2, 0.3, 0.1, 0.4]])
    found = infer_active(tf.constant(prior), tf.constant(active) == 1, add_one_to_active)
    odds = prior * np.where(active, np.e, 1)
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True), rtol=1e-12)


def test_pruned_labels_receive_nothing_by_hand():
    run = only_active(lambda values: 2 * values, tf.constant([True, False]))
    np.testing.assert_array_equal(run(tf.constant([[3.0, 5.0]])), [[6, 0]])


@pytest.mark.parametrize("engine", ["lattice", "xla"])
@pytest.mark.parametrize("prune_below", [0.01, 0.05, 0.9])  # of 7 labels 0, 4 and 7 are pruned
def test_engines_prune_as_numba_does(engine, prune_below):
    probabilities, image = scene()
    probabilities = 0.7 * probabilities + np.float32(0.3 / 7)
    wanted = refine(probabilities, image, PARAMS, prune_below=prune_below)
    found = dense_crf(probabilities[None], image[None], PARAMS, engine, prune_below=prune_below)
    assert np.abs(found[0] - wanted).max() < 5e-6
    whole = refine(probabilities, image, PARAMS)
    assert (np.abs(wanted - whole).max() > 1e-4) == (prune_below > 0.01)


@pytest.mark.parametrize("labels", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_images_of_a_batch_are_pruned_separately_in_a_graph(labels):
    """Forty labels are filtered in more than one group."""
    first, image = scene(6, 7, labels, (0,))
    second, _ = scene(6, 7, labels, range(0, labels, 2))
    third, _ = scene(6, 7, labels, range(labels))
    batch, images = np.stack([first, second, third]), np.stack([image] * 3)
    signature = [tf.TensorSpec([None, None, None, labels]), UNKNOWN_SIZE[1]]
    run = tf.function(
        lambda p, i: dense_crf(p, i, PARAMS, prune_below=0.02), input_signature=signature
    )
    for found, prior in zip(run(batch, images), batch, strict=True):
        wanted = refine(prior, image, PARAMS, prune_below=0.02)
        np.testing.assert_allclose(found, wanted, atol=5e-6)


def test_the_filters_of_a_graph_see_only_active_labels():
    seen = []

    def build_filter(features):
        def run(values):
            tf.py_function(lambda shape: seen.append(tuple(shape.numpy())), [tf.shape(values)], [])
            return values

        return run

    probabilities, image = scene(2, 3)
    params = CRFParams(w1=1, w2=0, iterations=2, normalization="none")

    @tf.function
    def run(probabilities):
        active = find_active_labels(probabilities, 0.05)
        return mean_field(probabilities, image, params, build_filter, active=active)

    run(tf.constant(probabilities))
    assert seen == [(6, 3), (6, 3)]


@pytest.mark.parametrize(
    ("engine", "in_graph"),
    [
        ("numba", False),
        ("lattice", False),
        pytest.param("lattice", True, marks=pytest.mark.slow),
        pytest.param("xla", True, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_the_pruned_function(engine, in_graph):
    # Large probabilities, so that steps of float32 do not drown in rounding.
    probabilities, image = scene(4, 5, 3, probable=(0, 2))
    probabilities = 0.6 * probabilities + np.float32([0.12, 0.16, 0.12])
    assert probabilities[..., 1].max() < 0.2  # this one is pruned
    params = CRFParams(sigma_alpha=3, sigma_beta=20, sigma_gamma=1.5, iterations=1)
    readout = tf.random.stateless_normal(probabilities.shape, [1, 2])
    direction = np.random.default_rng(1).normal(size=probabilities.shape).astype(np.float32)
    direction -= direction.mean(axis=-1, keepdims=True)

    def value(probabilities, engine, prune_below=0.2):
        images = tf.constant(image[None])
        options = {"engine": engine, "prune_below": prune_below}
        return tf.reduce_sum(readout * dense_crf(probabilities[None], images, params, **options)[0])

    def slope(probabilities):
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            result = value(probabilities, engine)
        return tf.reduce_sum(tape.gradient(result, probabilities) * direction)

    found = (tf.function(slope) if in_graph else slope)(tf.constant(probabilities))
    ends = [value(tf.constant(probabilities + step * direction), "numba") for step in (3e-3, -3e-3)]
    wanted = (ends[0] - ends[1]) / 6e-3
    np.testing.assert_allclose(found, wanted, rtol=0.01)
    # That of the function without pruning is another one.
    ends = [
        value(tf.constant(probabilities + step * direction), "numba", 0.0) for step in (3e-3, -3e-3)
    ]
    assert abs((ends[0] - ends[1]) / 6e-3 - wanted) > 0.02 * abs(wanted)
