"""Losses of image-level labels against computations by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import CRFParams
from deeplab_tf.labels import VOID
from deeplab_tf.models import with_crf
from deeplab_tf.training.weak_supervision import (
    ClassifierObjective,
    EMAdaptObjective,
    MILObjective,
    OnProbabilities,
    adapted_labels,
    image_labels,
)


def test_image_labels_are_the_classes_that_occur():
    labels = np.array([[[0, 2], [2, VOID]], [[VOID, VOID], [1, 1]]], np.uint8)
    np.testing.assert_array_equal(image_labels(labels, 4), [[1, 0, 1, 0], [0, 1, 0, 0]])


def test_classifier_by_hand():
    # One image of 1x3 cells, of which one is void, that shows class 2 of 0..2.
    scores = np.array([[[[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [9.0, 0.0, 9.0]]]], np.float32)
    labels = np.array([[[2, 2, VOID]]], np.uint8)
    objective = ClassifierObjective(output_stride=1, sharpness=2.0)
    pooled = [np.log((np.exp(2 * a) + np.exp(2 * b)) / 2) / 2 for a, b in ((1, -1), (-1, 3))]
    want = (np.log1p(np.exp(pooled[0])) + np.log1p(np.exp(-pooled[1]))) / 2
    np.testing.assert_array_equal(objective.counts(labels), [1])
    np.testing.assert_allclose(objective.sums(labels, scores), [want], rtol=1e-5)


def test_mil_by_hand():
    # Two images of 1x3 cells and 3 classes; the first shows classes 0 and 2.
    p = np.array(
        [
            [[[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3]]],
            [[[0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]],
        ]
    )
    labels = np.array([[[0, 0, 2]], [[1, VOID, 1]]], np.uint8)
    objective = MILObjective(output_stride=1)
    first = -(np.log(0.5) + np.log(0.3)) / 2
    second = -np.log(0.6)
    np.testing.assert_array_equal(objective.counts(labels), [2])
    np.testing.assert_allclose(objective.sums(labels, np.log(p)), [first + second], rtol=1e-5)


def test_mil_raises_only_the_best_cell_of_each_class():
    scores = tf.constant([[[[1.0, 0.0], [0.0, 0.5], [0.0, 3.0]]]])
    labels = np.array([[[1, 1, 1]]], np.uint8)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = tf.reduce_sum(MILObjective(output_stride=1).sums(labels, scores))
    gradient = tape.gradient(loss, scores)[0, 0].numpy()
    assert not gradient[:2].any() and gradient[2, 1] < 0 < gradient[2, 0]


@pytest.mark.usefixtures("tf_seed")
def test_void_images_and_cells_take_no_part():
    scores = tf.random.normal((2, 2, 2, 3), seed=0)
    labels = np.full((2, 2, 2), VOID, np.uint8)
    labels[1, 0, 0] = 2
    objective = MILObjective(output_stride=1)
    np.testing.assert_array_equal(objective.counts(labels), [1])
    want = -tf.nn.log_softmax(scores)[1, 0, 0, 2]
    np.testing.assert_allclose(objective.sums(labels, scores), [want], rtol=1e-5)
    np.testing.assert_array_equal(EMAdaptObjective(output_stride=1).counts(labels), [1])


def test_a_class_is_raised_until_it_wins_its_portion():
    # Class 1 trails by 1, 2, ..., 10: with a portion of 0.3 it wins the three cells where it
    # trails least.
    lead = np.arange(1, 11, dtype=np.float32)
    scores = np.stack([lead, np.zeros(10, np.float32)], -1).reshape(1, 2, 5, 2)
    portions = tf.constant([0.4, 0.3])
    everything = np.ones((1, 2, 5), bool)
    found = adapted_labels(scores, np.array([[True, True]]), everything, portions, 1)
    np.testing.assert_array_equal(found, [[[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]])
    # Absent classes never win, however high; a portion that is there needs no bias.
    found = adapted_labels(scores, np.array([[False, True]]), everything, portions, 5)
    np.testing.assert_array_equal(found, np.ones((1, 2, 5)))
    # Of the valid cells only.
    valid = np.array([[[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]], bool)
    found = adapted_labels(scores, np.array([[True, True]]), valid, portions, 1)
    np.testing.assert_array_equal(found[valid], [1, 1, 1, 0, 0, 0, 0, 0])


def test_portions_are_met_on_random_scores():
    scores = tf.random.stateless_normal((3, 20, 20, 5), (1, 2))
    scores += tf.constant([9.0, 0, 0, -5, 2])
    present = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 0]], bool)
    portions = tf.constant([0.4, 0.2, 0.2, 0.2, 0.2])
    valid = np.ones((3, 20, 20), bool)
    found = adapted_labels(scores, present, valid, portions, 5).numpy()
    shares = np.stack([(found == label).mean(axis=(1, 2)) for label in range(5)], axis=1)
    assert (shares[~present] == 0).all()
    assert (shares >= 0.9 * np.where(present, portions, 0)).all()


def test_em_adapt_is_cross_entropy_of_the_adapted_labels():
    scores = tf.random.stateless_normal((2, 4, 4, 3), (3, 4))
    labels = np.zeros((2, 25, 25), np.uint8)
    labels[0, 3:9] = 2
    labels[1, 8, 8] = VOID
    objective = EMAdaptObjective()
    cells = labels[:, ::8, ::8]
    present = image_labels(labels, 3)
    portions = tf.constant([0.4, 0.2, 0.2])
    estimated = adapted_labels(scores, present, cells != VOID, portions, 5).numpy()
    log_p = tf.nn.log_softmax(scores).numpy()
    want = -sum(log_p[(*at, estimated[at])] for at in np.ndindex(cells.shape) if cells[at] != VOID)
    np.testing.assert_array_equal(objective.counts(labels), [31])
    np.testing.assert_allclose(objective.sums(labels, scores), [want], rtol=1e-5)
    assert (estimated[0] == 2).sum() >= 3  # a fifth of 16 cells


@pytest.mark.parametrize(
    "objective", [ClassifierObjective(1), MILObjective(1), EMAdaptObjective(1, 2, 0.3, 0.2)]
)
def test_probabilities_are_what_their_logarithms_are(objective):
    scores = tf.random.stateless_normal((2, 4, 5, 3), (3, 4))
    labels = np.zeros((2, 4, 5), np.uint8)
    labels[0, 1:3], labels[1, 0, 0] = 2, VOID
    found = OnProbabilities(objective)
    np.testing.assert_array_equal(found.counts(labels), objective.counts(labels))
    want = objective.sums(labels, scores)
    np.testing.assert_allclose(found.sums(labels, tf.nn.softmax(scores)), want, rtol=1e-4)
    certain = tf.constant([[[[0.0, 1.0, 0.0]]]])  # what the CRF is sure of has a finite loss
    wrong = OnProbabilities(MILObjective(1)).sums(np.uint8([[[2]]]), certain)
    assert np.isfinite(wrong).all() and wrong[0] > 10


def test_mil_reaches_the_scores_through_the_crf():
    """Image labels with the CRF in training: the network and the CRF both get gradients."""
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(3, 1, name="fc8")(images / 255.0))
    model = with_crf(network, CRFParams(sigma_alpha=5, iterations=2), trainable=True)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 12, 12, 3)).astype(np.float32)
    labels = np.zeros((1, 12, 12), np.uint8)
    labels[0, 3, 4] = 2
    with tf.GradientTape() as tape:
        probabilities = model(pixels, training=True)
        loss = tf.reduce_sum(OnProbabilities(MILObjective(1)).sums(labels, probabilities))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) == 5  # kernel, bias, w1, w2, compatibility
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)
