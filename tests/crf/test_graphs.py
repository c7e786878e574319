"""The engines inside tf.function, their choice, and the numba engine's gradient."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from crf import ENGINES, CRFParams, dense_crf, refine
from crf.dense import resolve_engine
from crf.memory import GRAPH_FACTOR
from crf.strips import strip_bytes

PARAMS = CRFParams(w1=4, sigma_alpha=20, sigma_beta=10, w2=3, sigma_gamma=2, iterations=4)
UNKNOWN_SIZE = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]


def scene(height, width, num_classes, batch=1):
    """Images of two noisy halves, and random probabilities."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(num_classes), (batch, height, width))
    images = 60 * (np.arange(width)[:, None] > width // 2)
    images = images + rng.integers(0, 12, (batch, height, width, 3))
    return probabilities.astype(np.float32), images.astype(np.uint8)


def graph_function(**options):
    return tf.function(
        lambda p, i: dense_crf(p, i, PARAMS, **options), input_signature=UNKNOWN_SIZE
    )


def operations(function):
    """Types of the operations in a graph, including those in its loops."""
    graph = function.get_concrete_function().graph.as_graph_def()
    return {n.op for f in graph.library.function for n in f.node_def} | {n.op for n in graph.node}


@pytest.mark.parametrize("engine", ENGINES)
def test_graph_of_unknown_size_equals_eager(engine):
    run = graph_function(engine=engine)
    for shape in ((7, 8, 3), (1, 1, 2)):
        data = scene(*shape, batch=2)
        np.testing.assert_allclose(run(*data), dense_crf(*data, PARAMS, engine), atol=1e-5)


def test_lattice_graph_is_saved_and_loaded(tmp_path):
    module = tf.Module()
    module.run = graph_function()
    tf.saved_model.save(module, tmp_path)
    data = scene(6, 7, 3)
    loaded = tf.saved_model.load(tmp_path).run(*map(tf.constant, data))
    np.testing.assert_allclose(loaded, dense_crf(*data, PARAMS), atol=1e-5)


@pytest.mark.slow
def test_a_graph_that_prunes_in_strips_is_saved_and_loaded(tmp_path):
    module, memory = tf.Module(), strip_bytes(5, 6, 3, GRAPH_FACTOR)
    module.run = graph_function(prune_below=0.85, max_memory=memory, overlap=1)
    tf.saved_model.save(module, tmp_path)
    data = scene(6, 7, 3)
    loaded = tf.saved_model.load(tmp_path).run(*map(tf.constant, data))[0]
    options = {"prune_below": 0.85, "max_memory": strip_bytes(5, 6, 3), "overlap": 1}
    wanted = refine(data[0][0], data[1][0], PARAMS, **options)
    np.testing.assert_allclose(loaded, wanted, atol=1e-5)
    assert np.abs(wanted - dense_crf(*data, PARAMS)[0]).max() > 0.01


def test_auto_is_numba_only_eagerly_and_without_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert resolve_engine("auto") == "numba"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert resolve_engine("auto") == "lattice"


STACK = tf.stack


def stack_in_a_graph(*args, **kwargs):
    """`tf.stack`, which the lattice calls, but only for graphs."""
    assert not tf.executing_eagerly(), "an operation ran outside of a graph"
    return STACK(*args, **kwargs)


def test_with_a_gpu_eager_calls_run_in_a_graph(monkeypatch):
    sizes = ((6, 7, 3), (5, 9, 3), (6, 7, 3))
    data = [scene(*size) for size in sizes]
    alone = [dense_crf(*pair, PARAMS, "lattice") for pair in data]
    costs = 2.0 - 2 * np.eye(3, dtype=np.float32)
    options = {"weights": (tf.constant(2.0), tf.constant(1.0)), "compatibility": costs}
    learned = dense_crf(*data[0], PARAMS, "lattice", **options)

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [kind])
    monkeypatch.setattr(tf, "stack", stack_in_a_graph)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: dense_crf(*pair, PARAMS, "lattice"), data))
    for expected, result in zip(alone, found, strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-5)
    found = dense_crf(*data[0], PARAMS, "lattice", **options)
    np.testing.assert_allclose(found, learned, atol=1e-5)
    tiny = CRFParams(sigma_alpha=1e-9, sigma_beta=1e-9)
    with pytest.raises(ValueError, match="sigmas are too small"):
        dense_crf(*data[0], tiny, "lattice")


@pytest.mark.parametrize(
    ("options", "leaves_tensorflow"),
    [
        ({}, False),
        ({"prune_below": 0.01, "max_memory": 1e9}, False),
        ({"engine": "exact"}, False),
        ({"engine": "numba", "prune_below": 0.01}, True),
    ],
)
def test_only_numba_leaves_tensorflow_in_a_graph(options, leaves_tensorflow):
    found = operations(graph_function(**options))
    # Otherwise the graph would be incomplete.
    assert {"While", "StatelessWhile", "PyFunc", "PyFuncStateless"} & found
    assert any("PyFunc" in name for name in found) == leaves_tensorflow


@pytest.mark.parametrize("prune_below", [0.0, 0.3])
def test_numba_gives_bit_identical_results_in_a_graph_and_eagerly(prune_below):
    data, options = scene(12, 15, 5, batch=2), {"engine": "numba", "prune_below": prune_below}
    result = tf.function(lambda p, i: dense_crf(p, i, PARAMS, **options))(*data)
    assert result.shape == data[0].shape
    np.testing.assert_array_equal(result, dense_crf(*data, PARAMS, **options))


@pytest.mark.parametrize(("in_graph", "learned"), [(False, True), (True, False)])
@pytest.mark.usefixtures("tf_seed")
def test_numba_has_the_gradients_of_the_lattice(in_graph, learned):
    probabilities, images = scene(5, 6, 3, batch=2)
    params = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=2)
    readout = tf.random.normal(probabilities.shape)
    costs = [tf.constant(1 - np.eye(3) + np.triu(np.full((3, 3), 0.3)), tf.float32)]
    inputs = [tf.constant(probabilities), tf.constant(1.5), tf.constant(0.5)] + costs * learned

    def gradients(engine, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            options = {"weights": inputs[1:3], "compatibility": inputs[3] if learned else None}
            refined = dense_crf(inputs[0], images, params, engine, **options)
            value = tf.reduce_sum(readout * refined)
        return value, *tape.gradient(value, inputs)

    run = tf.function(gradients) if in_graph else gradients
    for mine, wanted in zip(run("numba", *inputs), gradients("lattice", *inputs), strict=True):
        scale = np.abs(wanted).max()
        assert scale > 1e-3  # otherwise nothing is tested
        np.testing.assert_allclose(mine, wanted, atol=1e-4 * scale)


@pytest.mark.parametrize("in_graph", [False, True])
def test_numba_gradient_does_not_build_a_kernel_of_weight_zero(in_graph):
    # This sigma_gamma is too small for a lattice.
    params = CRFParams(w1=2, sigma_alpha=9, sigma_beta=10, w2=0, sigma_gamma=1e-9, iterations=2)
    probabilities, images = map(tf.constant, scene(7, 8, 3))

    def gradient(probabilities, engine):
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            value = tf.reduce_sum(dense_crf(probabilities, images, params, engine)[..., 0])
        return tape.gradient(value, probabilities)

    run = tf.function(gradient) if in_graph else gradient
    mine, wanted = run(probabilities, "numba"), gradient(probabilities, "lattice")
    np.testing.assert_allclose(mine, wanted, atol=1e-4 * np.abs(wanted).max())
