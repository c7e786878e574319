"""Sums of the cross-entropy and numbers of pixels, against computations by hand."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.training.cross_entropy import (
    cross_entropy_sum,
    log_likelihood_sum,
    shrink_labels,
)


def test_shrink_labels_by_hand():
    labels = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    np.testing.assert_array_equal(shrink_labels(labels, 2), [[[0, 2, 4], [10, 12, 14]]])


@pytest.mark.parametrize("size, cells", [(321, 41), (320, 40), (322, 41), (1, 1), (8, 1), (9, 2)])
def test_shrink_labels_has_the_score_maps_size(size, cells):
    assert shrink_labels(tf.zeros((2, size, size), tf.uint8)).shape == (2, cells, cells)


def test_log_likelihood_sum_by_hand():
    # Probabilities 1/4 and 3/4 of class 1, a void pixel that must not count, and one that is
    # as good as zero.
    probabilities = np.array([[[[0.75, 0.25], [0.25, 0.75], [0.9, 0.1], [1, 0]]]], np.float32)
    total, count = log_likelihood_sum(np.array([[[1, 1, VOID, 1]]], np.uint8), probabilities)
    want = -(np.log(0.25) + np.log(0.75) + np.log(1e-30))
    assert float(total) == pytest.approx(want, rel=1e-6)
    assert float(count) == 3


def test_log_likelihood_of_a_softmax_is_the_cross_entropy_of_its_scores():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, (2, 5, 4)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.3] = VOID
    scores = tf.Variable(rng.normal(size=(2, 5, 4, 7)).astype(np.float32) * 5)
    with tf.GradientTape(persistent=True) as tape:
        want, want_count = cross_entropy_sum(labels, scores)
        found, count = log_likelihood_sum(labels, tf.nn.softmax(scores))
    assert float(found) == pytest.approx(float(want), rel=1e-5)
    assert float(count) == float(want_count)
    np.testing.assert_allclose(tape.gradient(found, scores), tape.gradient(want, scores), atol=1e-5)


def test_gradient_of_the_log_likelihood_stays_finite_if_a_label_is_almost_impossible():
    # Through the softmax it is p - 1 of the label's score and p of the others.
    scores = tf.Variable([[[[60.0, 0.0], [90.0, 0.0]]]])
    with tf.GradientTape() as tape:
        total, _ = log_likelihood_sum([[[1, 1]]], tf.nn.softmax(scores))
    gradient = tape.gradient(total, scores).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0, 0, 0], [1, -1], rtol=1e-5)


def test_probabilities_of_another_size_are_an_input_error():
    with pytest.raises(InputError, match="size of the images"):
        log_likelihood_sum(tf.zeros((1, 9, 9), tf.uint8), tf.fill((1, 2, 2, 3), 1 / 3))


# Class weights

LABELS = np.array([[[0, 1, 1, VOID, 2]]], np.uint8)
PROBABILITIES = (
    np.array([[[[2, 1, 1], [1, 2, 1], [1, 1, 2], [1, 2, 1], [1, 1, 2]]]], np.float32) / 4
)


@pytest.mark.parametrize(
    ("entropy_sum", "outputs"),
    [(cross_entropy_sum, np.log(PROBABILITIES)), (log_likelihood_sum, PROBABILITIES)],
)
def test_class_weights_by_hand(entropy_sum, outputs):
    # The labels' probabilities are 1/2, 1/2, 1/4 and 1/2; those of weight 0 add nothing.
    total, count = entropy_sum(LABELS, outputs, (3.0, 0.5, 0.0))
    want = -(3 * np.log(1 / 2) + 0.5 * np.log(1 / 2) + 0.5 * np.log(1 / 4))
    assert float(total) == pytest.approx(want, rel=1e-6)
    assert float(count) == 4
    equal, plain = entropy_sum(LABELS, outputs, [1, 1, 1]), entropy_sum(LABELS, outputs)
    assert float(equal[0]) == pytest.approx(float(plain[0]), rel=1e-6)


def test_the_gradient_is_weighted_by_the_class_of_the_pixel():
    scores, weights = tf.Variable(np.log(PROBABILITIES)), np.float32([3, 0.5, 0])
    gradients = []
    for class_weights in (None, weights):
        with tf.GradientTape() as tape:
            total, _ = cross_entropy_sum(LABELS, scores, class_weights)
        gradients.append(tape.gradient(total, scores).numpy())
    factors = np.float32([3, 0.5, 0.5, 0, 0])[:, None]
    np.testing.assert_allclose(gradients[1], gradients[0] * factors, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1.0, 2.0), "2 class weights for 3 classes; give one for each"),
        ((1.0, -1.0, 1.0), "give numbers >= 0, at least one above 0"),
        ((1.0, float("nan"), 1.0), "give numbers >= 0"),
        ((1.0, float("inf"), 1.0), "give numbers >= 0"),
        ((0.0, 0.0, 0.0), "at least one above 0"),
    ],
)
@pytest.mark.parametrize("entropy_sum", [cross_entropy_sum, log_likelihood_sum])
def test_wrong_class_weights(entropy_sum, weights, message):
    with pytest.raises(InputError, match=message):
        entropy_sum(LABELS, PROBABILITIES, weights)


@pytest.mark.parametrize("entropy_sum", [cross_entropy_sum, log_likelihood_sum])
def test_one_class_cannot_be_learned(entropy_sum):
    with pytest.raises(InputError, match="one class, which cannot be learned; name a background"):
        entropy_sum(np.zeros((1, 2, 2), np.uint8), tf.ones((1, 2, 2, 1)))
