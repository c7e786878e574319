"""The lattice of static shapes; `lattice_filter` is the oracle."""

import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams, dense_crf
from crf.lattice import lattice_filter
from crf.static_lattice import _neighbors, _number_vertices, _search, static_lattice_filter

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=2)


def test_search_by_hand():
    ordered = tf.constant([2, 5, 5, 9], tf.int64)
    wanted = tf.constant([-7, 2, 3, 5, 6, 9, 10, 2**62], tf.int64)
    np.testing.assert_array_equal(_search(ordered, wanted), [0, 0, 1, 1, 3, 3, 4, 4])


def test_vertices_and_neighbors_by_hand():
    # Two points whose keys are 5 and 9, and 5 and 7: three vertices are used, one is not.
    vertices, corners = _number_vertices(tf.constant([[5, 5], [9, 7]], tf.int64))
    np.testing.assert_array_equal(vertices, [5, 7, 9, 2**63 - 1])
    np.testing.assert_array_equal(corners, [[0, 0], [2, 1]])
    # After 5 comes 7, after 7 comes 9; 4 stands for none.
    neighbors = _neighbors(vertices, tf.constant(2, tf.int64))
    np.testing.assert_array_equal(neighbors, [[1, 4], [2, 0], [4, 1], [4, 4]])
    # The sum of the largest integer and an offset wraps around, and is not found either.
    neighbors = _neighbors(vertices, tf.constant(-4, tf.int64))
    np.testing.assert_array_equal(neighbors, [[4, 2], [4, 4], [0, 4], [4, 4]])


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("labels", [1, 5])
def test_equals_the_lattice_filter(d, labels):
    rng = np.random.default_rng(d)
    features, values = tf.constant(3 * rng.normal(size=(60, d))), rng.random((60, labels))
    before, after = tf.constant(rng.random((2, 60, 1)) + 0.5)
    upstream = tf.constant(rng.normal(size=(60, labels)))
    results = []
    for make in (lattice_filter, static_lattice_filter):
        run, given = make(features).scaled(before, after), tf.constant(values)
        with tf.GradientTape() as tape:
            tape.watch(given)
            filtered = run(given)
        results.append((filtered, tape.gradient(filtered, given, upstream)))
    for wanted, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_too_small_sigmas_raise():
    far = tf.constant([[0.0, 0.0], [1e8, 0.0]])
    with pytest.raises(ValueError, match="too small for the lattice"):
        static_lattice_filter(far)


def test_no_shape_depends_on_the_content():
    """Operations whose result has another shape for another image of the same size."""
    signature = [tf.TensorSpec([1, 6, 7, 9]), tf.TensorSpec([1, 6, 7, 3], tf.uint8)]
    run = tf.function(
        lambda p, i: dense_crf(p, i, PARAMS, "xla", prune_below=0.1), input_signature=signature
    )
    graph = run.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    found = {node.op for node in nodes}
    assert "UnsortedSegmentSum" in found and "GatherV2" in found
    dynamic = {"Unique", "UniqueV2", "Where", "SparseTensorDenseMatMul"}
    assert not found & {*dynamic, "PyFunc", "EagerPyFunc", "PrintV2"}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["xla", "exact"])
@pytest.mark.parametrize("prune_below", [0.0, 0.2])
def test_xla_gives_the_same(engine, prune_below):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(5, 0.3), (2, 6, 7)).astype(np.float32)
    probabilities[..., 3:] *= 0.1
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    images = rng.integers(0, 256, (2, 6, 7, 3)).astype(np.uint8)
    readout = tf.random.stateless_normal(probabilities.shape, [1, 2])

    def run(probabilities, images, engine=engine):
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            refined = dense_crf(probabilities, images, PARAMS, engine, prune_below=prune_below)
            value = tf.reduce_sum(readout * refined)
        return refined, tape.gradient(value, probabilities)

    given = tf.constant(probabilities), tf.constant(images)
    compiled = tf.function(run, jit_compile=True)(*given)
    wanted = run(*given, "lattice" if engine == "xla" else engine)
    for mine, expected in zip(compiled, wanted, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_what_xla_cannot_refuse_is_nan():
    features = tf.constant([[0.0, 0.0], [1e8, 0.0]])
    run = tf.function(lambda f: static_lattice_filter(f)(tf.ones([2, 1])), jit_compile=True)
    assert np.isnan(run(features)).all()
    assert np.isfinite(run(features / 1e8)).all()
