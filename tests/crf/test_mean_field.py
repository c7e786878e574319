import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams
from crf.exact import ExactFilter
from crf.mean_field import _normalized_filter, _pixel_features, _run_updates, mean_field


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class MatrixFilter:
    def __init__(self, matrix):
        self.matrix = tf.constant(matrix, tf.float32)

    def __call__(self, values):
        return tf.matmul(self.matrix, values)

    def scaled(self, before, after):
        return MatrixFilter(after * self.matrix * tf.transpose(before))


def test_one_update_by_hand():
    # A filter that swaps two pixels, weight 2: logits log p + 2 p_other.
    p = np.array([[0.9, 0.1], [0.4, 0.6]])
    swap = MatrixFilter([[0, 1], [1, 0]])
    result = _run_updates(tf.constant(-np.log(p), tf.float32), [(2.0, swap)], iterations=1)
    np.testing.assert_allclose(result, softmax(np.log(p) + 2 * p[::-1]), atol=1e-6)


def test_several_updates_of_two_kernels_equal_numpy():
    rng = np.random.default_rng(0)
    matrices = rng.random((2, 6, 6)) / 6
    unary = rng.random((6, 4)) * 3
    q = softmax(-unary)
    for _ in range(7):
        q = softmax(-unary + 3.0 * matrices[0] @ q + 0.5 * matrices[1] @ q)
    kernels = [(3.0, MatrixFilter(matrices[0])), (0.5, MatrixFilter(matrices[1]))]
    result = _run_updates(tf.constant(unary, tf.float32), kernels, iterations=7)
    np.testing.assert_allclose(result, q, atol=1e-5)


def test_compatibility_by_hand():
    # Label 0 next to label 1 costs 5, label 1 next to label 0 costs 7.
    p = np.array([[0.9, 0.1], [0.4, 0.6]])
    costs = tf.constant([[0.0, 5.0], [7.0, 0.0]])
    swap = MatrixFilter([[0, 1], [1, 0]])
    result = _run_updates(tf.constant(-np.log(p), tf.float32), [(2.0, swap)], 1, costs)
    penalties = 2 * np.array([[5 * 0.6, 7 * 0.4], [5 * 0.1, 7 * 0.9]])
    np.testing.assert_allclose(result, softmax(np.log(p) - penalties), atol=1e-6)


@pytest.mark.parametrize("in_graph", [False, True])
def test_potts_equals_a_compatibility_of_ones_off_the_diagonal(in_graph):
    rng = np.random.default_rng(0)
    unary = tf.constant(rng.random((6, 4)) * 3)
    first, second = rng.random((2, 6, 6)) / 6
    kernels = [(3.0, lambda q: tf.matmul(first, q)), (0.5, lambda q: tf.matmul(second, q))]
    run = tf.function(_run_updates) if in_graph else _run_updates
    plain = run(unary, kernels, 5)
    np.testing.assert_allclose(run(unary, kernels, 5, 1 - np.eye(4)), plain, rtol=1e-12)
    other = run(unary, kernels, 5, np.triu(np.ones((4, 4)), 1))
    assert np.abs(other - plain).max() > 0.01


def test_zero_iterations_return_the_start():
    unary = tf.constant([[0.5, 2.0, 1.0]])
    result = _run_updates(unary, [(9.0, tf.zeros_like)], iterations=0)
    np.testing.assert_allclose(result, softmax(-unary.numpy()), atol=1e-6)


@pytest.mark.parametrize("normalization", ["none", "before", "after", "symmetric"])
def test_normalizations_by_hand(normalization):
    matrix, values = np.array([[1.0, 3.0], [0.0, 9.0]]), np.array([[2.0], [5.0]])
    # Row sums are 4 and 9.
    expected = {
        "none": [[17], [45]],
        "before": [[2 / 4 + 3 * 5 / 9], [5]],
        "after": [[17 / 4], [5]],
        "symmetric": [[(2 / 2 + 3 * 5 / 3) / 2], [9 * 5 / 3 / 3]],
    }
    run = _normalized_filter(MatrixFilter(matrix), tf.ones([2, 1]), normalization)
    np.testing.assert_allclose(
        run(tf.constant(values, tf.float32)), expected[normalization], rtol=1e-6
    )


def count_builds(built):
    def build_filter(features):
        built.append(features.shape)
        return MatrixFilter(tf.eye(features.shape[0]))

    return build_filter


@pytest.mark.parametrize(
    ("weights", "shapes"),
    [((1, 1), [(6, 5), (6, 2)]), ((0, 1), [(6, 2)]), ((1, 0), [(6, 5)]), ((0, 0), [])],
)
def test_each_filter_is_built_once_unless_its_weight_is_zero(weights, shapes):
    built = []
    params = CRFParams(w1=weights[0], w2=weights[1], iterations=5)
    image, probabilities = np.zeros((2, 3, 3), np.uint8), tf.fill([2, 3, 4], 0.25)
    mean_field(probabilities, image, params, count_builds(built))
    assert built == shapes


def test_given_weights_and_compatibility_replace_those_of_the_params():
    rng = np.random.default_rng(0)
    probabilities = tf.constant(rng.dirichlet(np.ones(3), (4, 5)), tf.float32)
    image = rng.integers(0, 40, (4, 5, 3)).astype(np.uint8)
    costs = ((0.0, 1.0, 2.0), (0.5, 0.0, 0.5), (3.0, 1.0, 0.0))
    own = CRFParams(w1=1.5, w2=0.5, sigma_alpha=5, sigma_beta=20, compatibility=costs)
    other = CRFParams(w1=0, w2=9, sigma_alpha=5, sigma_beta=20, compatibility=np.eye(3))
    result = mean_field(
        probabilities, image, other, ExactFilter, tf.constant([1.5, 0.5]), tf.constant(costs)
    )
    expected = mean_field(probabilities, image, own, ExactFilter)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    potts = mean_field(
        probabilities, image, dataclasses.replace(own, compatibility=None), ExactFilter
    )
    assert np.abs(potts - expected).max() > 0.01


def test_probabilities_are_clamped_at_1e_5():
    # Identity filters: one update by hand, with probability 0 taken as 1e-5.
    params = CRFParams(w1=2, w2=1, iterations=1, normalization="none")
    image = np.zeros((1, 1, 3), np.uint8)
    result = mean_field(tf.constant([[[1.0, 0.0]]]), image, params, lambda features: tf.identity)
    start = np.array([1, 1e-5]) / (1 + 1e-5)
    expected = softmax(np.log([1, 1e-5]) + 3 * start)
    np.testing.assert_allclose(result[0, 0], expected, rtol=1e-5)


def test_pixel_features_by_hand():
    image = np.uint8(
        [[[0, 30, 60], [90, 120, 150], [0, 0, 0]], [[255, 0, 0], [3, 6, 9], [1, 1, 1]]]
    )
    params = CRFParams(sigma_alpha=2, sigma_beta=3, sigma_gamma=4)
    bilateral, spatial = _pixel_features(image, params)
    assert bilateral.shape == (6, 5) and spatial.shape == (6, 2)
    np.testing.assert_allclose(bilateral[1], [0.5, 0, 30, 40, 50])
    np.testing.assert_allclose(bilateral[4], [0.5, 0.5, 1, 2, 3])
    np.testing.assert_allclose(spatial[5], [0.5, 0.25])
