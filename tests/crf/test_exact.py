import numpy as np
import pytest
import tensorflow as tf

from crf.exact import _BLOCK, ExactFilter


def kernel_matrix(features):
    squares = ((features[:, None].astype(np.float64) - features[None]) ** 2).sum(axis=2)
    return np.exp(-squares / 2)


def test_two_points_by_hand():
    # One unit apart: each point keeps its own value and gets exp(-1/2) of the other's.
    filtered = ExactFilter(tf.constant([[0.0], [1.0]]))(tf.constant([[1.0, 2.0], [0.0, 4.0]]))
    near = np.exp(-0.5)
    np.testing.assert_allclose(filtered, [[1, 2 + 4 * near], [near, 4 + 2 * near]], rtol=1e-6)


def test_equals_numpy_for_more_points_than_a_block():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(_BLOCK + 37, 5)).astype(np.float32)
    values = rng.random((_BLOCK + 37, 3)).astype(np.float32)
    filtered = ExactFilter(tf.constant(features))(tf.constant(values))
    np.testing.assert_allclose(filtered, kernel_matrix(features) @ values, rtol=1e-5)


def test_close_points_far_from_the_origin_lose_no_digits():
    features = np.float32([[1000, 1000], [1000.25, 1000]])
    filtered = ExactFilter(tf.constant(features))(tf.constant([[0.0], [1.0]]))
    np.testing.assert_allclose(filtered[0, 0], np.exp(-0.03125), rtol=1e-6)


@pytest.mark.usefixtures("tf_seed")
def test_works_in_a_graph_of_unknown_size():
    signature = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, None])]
    run = tf.function(lambda f, v: ExactFilter(f)(v), input_signature=signature)
    features, values = tf.random.normal([_BLOCK * 2, 2]), tf.random.uniform([_BLOCK * 2, 4])
    np.testing.assert_allclose(run(features, values), ExactFilter(features)(values), rtol=1e-5)
