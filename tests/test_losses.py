import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.labels import VOID
from deeplab_tf.errors import InputError
from deeplab_tf.training.losses import (
    SegmentationLoss,
    cross_entropy_sum,
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
