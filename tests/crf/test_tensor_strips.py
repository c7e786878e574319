"""Strips in graphs; those of `refine` are the oracle."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scene import scene as random_scene

from crf import CRFParams, dense_crf, refine
from crf.memory import GRAPH_FACTOR
from crf.strips import plan_strips, strip_bytes
from crf.tensor_strips import refine_in_strips

scene = partial(random_scene, levels=(90, 160))
PARAMS = CRFParams(w1=3, sigma_alpha=3, sigma_beta=30, w2=2, sigma_gamma=1, iterations=3)
# Strips of 13 of 30 lines: for `refine`, and for the lattice engine.
LIMITS = {"max_memory": strip_bytes(13, 8, 3), "overlap": 4}
IN_GRAPH = {**LIMITS, "max_memory": strip_bytes(13, 8, 3, GRAPH_FACTOR)}
UNKNOWN_SIZE = [
    tf.TensorSpec([None, None, None, 3]),
    tf.TensorSpec([None, None, None, 3], tf.uint8),
]


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    overlap=st.integers(0, 5),
    lines=st.integers(20, 50),
)
def test_the_strips_are_those_of_refine(height, width, overlap, lines):
    memory, seen = strip_bytes(lines, min(height, width), 2, GRAPH_FACTOR), []
    probabilities = np.random.default_rng(0).random((height, width, 2)).astype(np.float32)
    image = np.zeros((height, width, 3), np.uint8)

    def refine_part(part, colors, origin):
        top, left = map(int, origin)
        rows = slice(top, top + part.shape[0])
        columns = slice(left, left + part.shape[1])
        np.testing.assert_array_equal(part, probabilities[rows, columns])
        assert colors.shape == (*part.shape[:2], 3)
        seen.append((rows, columns))
        return len(seen) + part

    given = tf.constant(probabilities), tf.constant(image)
    found = refine_in_strips(refine_part, *given, PARAMS, memory, overlap, GRAPH_FACTOR)
    memory = strip_bytes(lines, min(height, width), 2)
    strips = plan_strips(probabilities.shape, PARAMS, memory, overlap)
    assert seen == [strip.seen for strip in strips]
    for number, strip in enumerate(strips):
        np.testing.assert_array_equal(found[strip.kept], number + 1 + probabilities[strip.kept])


@pytest.mark.parametrize(
    ("size", "prune_below"),
    [((30, 8), 0.7), pytest.param((8, 30), 0.0, marks=pytest.mark.slow)],
)
def test_engines_give_what_refine_gives(size, prune_below):
    probabilities, image = scene(*size)
    # Label 2 is probable at one end only, and exchanges messages in every strip.
    probabilities = 0.6 * probabilities + np.float32([0.2, 0.2, 0])
    probabilities[-1, -1] = [0.1, 0.1, 0.8]
    wanted = refine(probabilities, image, PARAMS, prune_below=prune_below, **LIMITS)
    options = {"prune_below": prune_below, **IN_GRAPH}
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **options), input_signature=UNKNOWN_SIZE)
    np.testing.assert_allclose(run(probabilities[None], image[None])[0], wanted, atol=1e-5)
    options = {"prune_below": prune_below, **LIMITS}
    found = dense_crf(probabilities[None], image[None], PARAMS, "numba", **options)
    np.testing.assert_array_equal(found[0], wanted)
    whole = refine(probabilities, image, PARAMS, prune_below=prune_below)
    assert np.abs(whole - wanted).max() > 1e-4  # otherwise nothing is tested


@pytest.mark.slow
def test_given_weights_and_costs_count_in_strips():
    probabilities, image = scene(30, 8)
    params = CRFParams(w1=0, sigma_alpha=2, sigma_beta=30, w2=0, sigma_gamma=1, iterations=2)
    costs = np.float32([[0, 1, 2], [0.5, 0, 1], [1, 1, 0]])
    own = CRFParams(**{**vars(params), "w1": 3, "w2": 2, "compatibility": costs})
    wanted = refine(probabilities, image, own, max_memory=LIMITS["max_memory"])
    options = {"weights": (3.0, 2.0), "compatibility": costs}
    for engine, limits in (("numba", LIMITS), ("lattice", IN_GRAPH)):
        options["max_memory"] = limits["max_memory"]
        found = dense_crf(probabilities[None], image[None], params, engine, **options)
        np.testing.assert_allclose(found[0], wanted, atol=1e-5)


@pytest.mark.slow
def test_gradients_flow_through_strips():
    probabilities, image = scene(30, 8)
    readout = tf.random.stateless_normal([1, *probabilities.shape], [1, 2])

    def gradient(given, **limits):
        with tf.GradientTape() as tape:
            tape.watch(given)
            refined = dense_crf(given, image[None], PARAMS, "lattice", **limits)
            value = tf.reduce_sum(readout * refined)
        return tape.gradient(value, given)

    given = tf.constant(probabilities[None])
    run = tf.function(partial(gradient, **IN_GRAPH))
    found, whole = run(given), gradient(given)
    scale = np.abs(whole).max()
    assert np.abs(found - whole).mean() < 0.03 * scale
    assert np.abs(found - whole).max() > 1e-6 * scale
    # One strip is the whole image.
    found = gradient(given, max_memory=strip_bytes(30, 8, 3, GRAPH_FACTOR))
    np.testing.assert_allclose(found, whole, atol=1e-6 * scale)


@pytest.mark.slow
def test_the_gradient_of_numba_has_the_strips_of_its_forward_pass():
    # Too little memory for strips of the lattice engine, which takes twice as much.
    probabilities, image = scene(30, 8)
    readout = tf.random.stateless_normal([1, *probabilities.shape], [1, 2])
    params = CRFParams(**{**vars(PARAMS), "iterations": 1})

    def gradient(engine, **limits):
        given = tf.constant(probabilities[None])
        with tf.GradientTape() as tape:
            tape.watch(given)
            refined = dense_crf(given, image[None], params, engine, **limits)
            value = tf.reduce_sum(readout * refined)
        return tape.gradient(value, given)

    found, wanted = gradient("numba", **LIMITS), gradient("lattice", **IN_GRAPH)
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())
    assert np.abs(wanted - gradient("lattice")).max() > 1e-4 * np.abs(wanted).max()


def test_more_memory_than_64_bits_count_means_one_strip():
    given = tf.zeros([30, 8, 3]), tf.zeros([30, 8, 3], tf.uint8)
    found = refine_in_strips(lambda part, *_: part + 1, *given, PARAMS, 1e30, 4, GRAPH_FACTOR)
    np.testing.assert_array_equal(found, np.ones([30, 8, 3]))


def test_too_little_memory_is_an_error():
    probabilities, image = scene(30, 8)
    given = probabilities[None], image[None]
    limits = {"max_memory": strip_bytes(14, 8, 3), "overlap": 6}
    for engine in ("numba", "lattice"):
        with pytest.raises(ValueError, match=r"^dense_crf: max_memory is .* GB, but strips of 8"):
            dense_crf(*given, PARAMS, engine, **limits)
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **limits))
    with pytest.raises(ValueError, match=r"dense_crf: max_memory is .* GB, but strips of 8"):
        run(*given)
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **limits), input_signature=UNKNOWN_SIZE)
    needed = strip_bytes(15, 8, 3, GRAPH_FACTOR)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"but the strips of this image.*\[{needed}\]"
    ):
        run(*given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_memory": 0}, "dense_crf: max_memory must be a number of bytes above 0, not 0"),
        ({"overlap": 3}, "dense_crf: overlap has no effect without max_memory; give both"),
        ({"max_memory": 1e9, "overlap": -1}, "dense_crf: overlap must be a whole number"),
        ({"max_memory": 1e9, "engine": "xla"}, "engine 'xla' cannot work in strips; use lattice"),
        ({"max_memory": 1e9, "engine": "exact"}, "engine 'exact' cannot work in strips"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    probabilities, image = scene(4, 5)
    with pytest.raises(ValueError, match=message):
        dense_crf(probabilities[None], image[None], PARAMS, **options)
