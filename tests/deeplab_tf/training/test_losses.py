import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.training.losses import (
    ProbabilityLoss,
    SegmentationLoss,
    cross_entropy_sum,
    log_likelihood_sum,
    masked_cross_entropy,
    shrink_labels,
)


def test_shrink_labels_by_hand():
    labels = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    np.testing.assert_array_equal(shrink_labels(labels, 2), [[[0, 2, 4], [10, 12, 14]]])


@pytest.mark.parametrize("size, cells", [(321, 41), (320, 40), (322, 41), (1, 1), (8, 1), (9, 2)])
def test_shrink_labels_has_the_score_maps_size(size, cells):
    assert shrink_labels(tf.zeros((2, size, size), tf.uint8)).shape == (2, cells, cells)


def test_masked_cross_entropy_by_hand():
    # Probabilities 1/4 and 3/4 of class 1, and a void pixel that must not count.
    scores = np.log(np.array([[[[3.0, 1.0], [1.0, 3.0], [9.0, 1.0]]]], np.float32))
    labels = np.array([[[1, 1, VOID]]], np.uint8)
    want = -(np.log(0.25) + np.log(0.75)) / 2
    assert float(masked_cross_entropy(labels, scores)) == pytest.approx(want, rel=1e-6)
    total, count = cross_entropy_sum(labels, scores)
    assert float(total) == pytest.approx(2 * want, rel=1e-6)
    assert float(count) == 2


def test_equals_keras_on_the_valid_pixels():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 5, 4, 7)).astype(np.float32) * 5
    labels = rng.integers(0, 7, (2, 5, 4)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.3] = VOID
    valid = labels != VOID
    want = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        labels[valid], scores[valid]
    )
    assert float(masked_cross_entropy(labels, scores)) == pytest.approx(float(want), rel=1e-5)


def test_void_pixels_have_no_loss_and_no_gradient_even_where_scores_are_infinite():
    scores = tf.Variable([[[[np.inf, 0.0], [2.0, 0.0]]]])
    with tf.GradientTape() as tape:
        loss = masked_cross_entropy(tf.constant([[[VOID, 0]]]), scores)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-2)), rel=1e-6)
    finite = tf.Variable([[[[5.0, 0.0], [2.0, 0.0]]]])
    with tf.GradientTape() as tape:
        loss = masked_cross_entropy(tf.constant([[[VOID, 0]]]), finite)
    gradient = tape.gradient(loss, finite).numpy()
    np.testing.assert_array_equal(gradient[0, 0, 0], [0, 0])
    assert np.all(gradient[0, 0, 1] != 0)


def test_all_void_gives_zero_loss_and_zero_gradient():
    scores = tf.Variable(tf.random.normal((1, 2, 2, 3)))
    with tf.GradientTape() as tape:
        loss = masked_cross_entropy(tf.fill((1, 2, 2), VOID), scores)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, scores), np.zeros((1, 2, 2, 3)))


def test_bfloat16_scores_are_summed_in_float32():
    scores = tf.cast(tf.random.normal((1, 64, 64, 3)), tf.bfloat16)
    loss = masked_cross_entropy(tf.zeros((1, 64, 64), tf.uint8), scores)
    want = masked_cross_entropy(tf.zeros((1, 64, 64), tf.uint8), tf.cast(scores, tf.float32))
    assert loss.dtype == tf.float32
    assert float(loss) == float(want)


def test_wrong_size_is_an_input_error():
    with pytest.raises(InputError, match="output stride"):
        masked_cross_entropy(tf.zeros((1, 4, 4), tf.uint8), tf.zeros((1, 5, 4, 3)))


def test_loss_class_in_fit_matches_the_function_and_survives_saving():
    images = np.random.default_rng(0).uniform(size=(4, 9, 17, 3)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, (4, 9, 17)).astype(np.uint8)
    labels[:, ::8, ::8][:, 0, 1] = VOID
    model = keras.Sequential(
        [keras.Input((9, 17, 3)), keras.layers.Conv2D(3, 1, strides=8, name="fc8")]
    )
    saved = keras.saving.serialize_keras_object(SegmentationLoss(8))
    loss = keras.saving.deserialize_keras_object(saved)
    assert loss.output_stride == 8
    model.compile("sgd", loss=loss)
    want = float(masked_cross_entropy(labels[:, ::8, ::8], model(images)))
    history = model.fit(images, labels, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert history[0] == pytest.approx(want, rel=1e-5)
    assert history[1] < history[0]


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


def test_gradient_of_the_log_likelihood_stays_finite_where_a_label_is_all_but_impossible():
    # Through the softmax it is p - 1 of the label's score and p of the others.
    scores = tf.Variable([[[[60.0, 0.0], [90.0, 0.0]]]])
    with tf.GradientTape() as tape:
        total, _ = log_likelihood_sum([[[1, 1]]], tf.nn.softmax(scores))
    gradient = tape.gradient(total, scores).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0, 0, 0], [1, -1], rtol=1e-5)


def test_all_void_has_no_likelihood_loss():
    probabilities = tf.Variable(tf.fill((1, 2, 2, 3), 1 / 3))
    with tf.GradientTape() as tape:
        loss = ProbabilityLoss()(tf.fill((1, 2, 2), VOID), probabilities)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, probabilities), np.zeros((1, 2, 2, 3)))


def test_probabilities_of_another_size_are_an_input_error():
    with pytest.raises(InputError, match="images' own size"):
        log_likelihood_sum(tf.zeros((1, 9, 9), tf.uint8), tf.fill((1, 2, 2, 3), 1 / 3))


def test_probability_loss_is_the_mean_and_survives_saving():
    saved = keras.saving.serialize_keras_object(ProbabilityLoss(name="mine"))
    loss = keras.saving.deserialize_keras_object(saved)
    assert isinstance(loss, ProbabilityLoss) and loss.name == "mine"
    probabilities = np.array([[[[0.75, 0.25], [0.25, 0.75], [0.9, 0.1]]]], np.float32)
    want = -(np.log(0.25) + np.log(0.75)) / 2
    assert float(loss([[[1, 1, VOID]]], probabilities)) == pytest.approx(want, rel=1e-6)


def test_probabilities_that_are_no_numbers_are_not_hidden():
    probabilities = tf.fill((1, 3, 5, 2), np.nan)
    assert np.isnan(float(ProbabilityLoss()(tf.zeros((1, 3, 5), tf.uint8), probabilities)))
