"""Errors of dense_crf as its callers see them; tests/crf/test_checks.py has every case."""

import numpy as np
import pytest
import tensorflow as tf

from crf import ENGINES, CRFParams, dense_crf

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=2)
UNKNOWN_SIZE = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]


def scene(height=4, width=5):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), (1, height, width)).astype(np.float32)
    return probabilities, rng.integers(0, 256, (1, height, width, 3)).astype(np.uint8)


GOOD_P, GOOD_I = scene()


def with_value(value):
    probabilities = GOOD_P.copy()
    probabilities[0, 1, 2, 0] = value
    return probabilities


@pytest.mark.parametrize(
    ("probabilities", "images", "message"),
    [
        (with_value(np.nan), GOOD_I, "NaN or infinite"),
        (with_value(-0.5), GOOD_I, "negative"),
        (GOOD_P * 1.01, GOOD_I, "sum to one"),
        (GOOD_P.astype(np.int32), GOOD_I, "must be floating, not int32"),
        (GOOD_P, GOOD_I.astype(np.float32), "must be uint8 .* not float32"),
        (GOOD_P[0], GOOD_I[0], r"needs \(B, H, W, C\)"),
        (GOOD_P, GOOD_I[..., :1], "3 channels"),
        (GOOD_P, np.swapaxes(GOOD_I, 1, 2), "must agree"),
        (GOOD_P[:, :0], GOOD_I[:, :0], "is empty"),
    ],
)
def test_bad_input_raises_one_line(probabilities, images, message):
    with pytest.raises(ValueError, match=rf"^dense_crf: .*{message}") as error:
        dense_crf(probabilities, images, PARAMS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "fast"}, "unknown engine 'fast'; available: auto, numba, lattice, xla, exact"),
        ({"prune_below": 0.1, "compatibility": np.eye(3)}, "in the Potts model; .* prune_below=0"),
        ({"prune_below": 1.5}, "prune_below must be a probability, not 1.5"),
        ({"num_threads": 0}, "num_threads must be a whole number of at least 1, not 0"),
        ({"weights": (1.0,)}, "weights must be two scalars"),
        ({"compatibility": np.eye(4)}, r"the compatibility is \(4, 4\), but there are 3 labels"),
    ],
)
def test_bad_options_raise_one_line(options, message, in_graph):
    run = tf.function(dense_crf) if in_graph else dense_crf
    with pytest.raises(ValueError, match=message) as error:
        run(GOOD_P, GOOD_I, PARAMS, **options)
    # While tracing, TensorFlow adds the place in the code.
    assert in_graph or "\n" not in str(error.value)


def test_params_of_another_type_raise():
    with pytest.raises(ValueError, match="must be a CRFParams"):
        dense_crf(GOOD_P, GOOD_I, {"w1": 4})


def test_a_compatibility_of_the_params_excludes_pruning():
    params = CRFParams(compatibility=np.eye(3))
    for run in (dense_crf, tf.function(dense_crf)):
        with pytest.raises(ValueError, match="labels can only be pruned in the Potts model"):
            run(GOOD_P, GOOD_I, params, prune_below=0.1)


def test_a_graph_checks_shapes_and_types_when_it_is_traced():
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS))
    with pytest.raises(ValueError, match="must be uint8"):
        run(GOOD_P, GOOD_I.astype(np.float32))
    with pytest.raises(ValueError, match="must agree"):
        run(GOOD_P, GOOD_I[:, :3])


@pytest.mark.parametrize("engine", ["numba", "lattice"])
def test_a_graph_of_unknown_size_checks_sizes_and_values_when_it_runs(engine):
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, engine), input_signature=UNKNOWN_SIZE)
    assert run(GOOD_P, GOOD_I).shape == GOOD_P.shape
    for probabilities, images, message in (
        (GOOD_P, np.swapaxes(GOOD_I, 1, 2), "differ in size"),
        (np.zeros((0, 4, 5, 3), np.float32), GOOD_I[:0], "the input is empty"),
        (with_value(np.nan), GOOD_I, "must be finite, not negative, and sum to one"),
        (GOOD_P * 1.01, GOOD_I, "must be finite, not negative, and sum to one"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            run(probabilities, images)


@pytest.mark.parametrize(
    ("weights", "costs", "message"),
    [
        ((1, -0.5), np.eye(3), "weights must be finite and at least 0, but w2 is -0.5"),
        ((1, 2), np.full((3, 3), np.nan), "the compatibility holds NaN or infinite values"),
    ],
)
def test_numba_in_a_graph_checks_weights_and_compatibility_when_it_runs(weights, costs, message):
    signature = [tf.TensorSpec([2]), tf.TensorSpec([3, 3])]
    run = tf.function(
        lambda w, c: dense_crf(
            GOOD_P, GOOD_I, PARAMS, "numba", weights=tf.unstack(w), compatibility=c
        ),
        input_signature=signature,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run(tf.constant(weights, tf.float32), tf.constant(costs, tf.float32))


@pytest.mark.parametrize("engine", ["numba", "lattice"])
def test_too_small_sigmas_raise(engine):
    data, params = scene(8, 9), CRFParams(sigma_beta=1e-4)
    message = "^crf: the sigmas are too small for the lattice; choose larger sigmas"
    with pytest.raises(ValueError, match=message) as error:
        dense_crf(*data, params, engine)
    assert "\n" not in str(error.value)
    run = tf.function(lambda p, i: dense_crf(p, i, params, engine))
    with pytest.raises(tf.errors.InvalidArgumentError, match="choose larger sigmas"):
        run(*data)


@pytest.mark.parametrize("sigma_gamma", [1e-5, 1e-6])
def test_a_tiny_spatial_sigma_on_a_whole_image_raises(sigma_gamma):
    probabilities = np.full((1, 375, 500, 2), 0.5, np.float32)
    images, params = np.zeros((1, 375, 500, 3), np.uint8), CRFParams(w1=0, sigma_gamma=sigma_gamma)
    with pytest.raises(ValueError, match=r"^crf: the sigmas are too small") as error:
        dense_crf(probabilities, images, params, "lattice")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_too_little_memory_raises_before_anything_is_computed(engine, monkeypatch):
    monkeypatch.setattr("crf.memory.available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"crf: .* of memory are available; compute tiles"):
        dense_crf(GOOD_P, GOOD_I, PARAMS, engine)
