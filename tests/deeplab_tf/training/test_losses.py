"""Losses and objectives against computations by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.training.cross_entropy import cross_entropy_sum
from deeplab_tf.training.losses import (
    MultiScaleObjective,
    ProbabilityLoss,
    ProbabilityObjective,
    ScoreMapObjective,
    SegmentationLoss,
    masked_cross_entropy,
)


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


def test_void_pixels_have_no_loss_and_no_gradient_even_if_scores_are_infinite():
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


@pytest.mark.usefixtures("tf_seed")
def test_all_void_gives_zero_loss_and_zero_gradient():
    scores = tf.Variable(tf.random.normal((1, 2, 2, 3)))
    with tf.GradientTape() as tape:
        loss = masked_cross_entropy(tf.fill((1, 2, 2), VOID), scores)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, scores), np.zeros((1, 2, 2, 3)))


@pytest.mark.usefixtures("tf_seed")
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


def test_all_void_has_no_likelihood_loss():
    probabilities = tf.Variable(tf.fill((1, 2, 2, 3), 1 / 3))
    with tf.GradientTape() as tape:
        loss = ProbabilityLoss()(tf.fill((1, 2, 2), VOID), probabilities)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, probabilities), np.zeros((1, 2, 2, 3)))


def test_probability_loss_is_the_mean_and_survives_saving():
    saved = keras.saving.serialize_keras_object(ProbabilityLoss(name="mine"))
    loss = keras.saving.deserialize_keras_object(saved)
    assert isinstance(loss, ProbabilityLoss) and loss.name == "mine"
    probabilities = np.array([[[[0.75, 0.25], [0.25, 0.75], [0.9, 0.1]]]], np.float32)
    want = -(np.log(0.25) + np.log(0.75)) / 2
    assert float(loss([[[1, 1, VOID]]], probabilities)) == pytest.approx(want, rel=1e-6)


def test_nan_probabilities_give_a_nan_loss():
    probabilities = tf.fill((1, 3, 5, 2), np.nan)
    assert np.isnan(float(ProbabilityLoss()(tf.zeros((1, 3, 5), tf.uint8), probabilities)))


WEIGHTS = (0.5, 2.0, 4.0)


def test_keras_losses_divide_the_weighted_sum_by_the_number_of_pixels():
    # The labels' probabilities are 1/2 and 1/4, their weights 4 and 2.
    probabilities = np.array([[[[1, 1, 2], [2, 1, 1], [1, 1, 2]]]], np.float32) / 4
    labels = np.array([[[2, 1, VOID]]], np.uint8)
    want = -(4 * np.log(1 / 2) + 2 * np.log(1 / 4)) / 2
    of_scores, of_probabilities = SegmentationLoss(1, WEIGHTS), ProbabilityLoss(WEIGHTS)
    assert float(of_scores(labels, np.log(probabilities))) == pytest.approx(want, rel=1e-6)
    assert float(of_probabilities(labels, probabilities)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("loss", [SegmentationLoss, ProbabilityLoss])
def test_class_weights_are_saved_with_a_compiled_model(tmp_path, loss):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1)])
    options = {"output_stride": 1} if loss is SegmentationLoss else {}
    model.compile("sgd", loss=loss(class_weights=np.float32(WEIGHTS), **options))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert tuple(loaded.loss.class_weights) == WEIGHTS
    assert keras.saving.serialize_keras_object(loss())["config"]["class_weights"] is None


# Objectives


def random_labels(shape, num_classes=3, seed=0):
    labels = np.random.default_rng(seed).integers(0, num_classes + 1, shape)
    return np.where(labels == num_classes, VOID, labels).astype(np.uint8)


def entropy(labels, scores):
    """Sum of the cross-entropies and the number of cells, cell by cell."""
    total, count = 0.0, 0
    for cell in np.ndindex(labels.shape):
        if labels[cell] != VOID:
            row = np.asarray(scores, np.float64)[cell]
            total += np.log(np.exp(row - row.max()).sum()) + row.max() - row[labels[cell]]
            count += 1
    return total, count


def interpolated(map_, height, width):
    """(h, w, C) with its corners kept, written out."""
    result = np.zeros((height, width, map_.shape[2]))
    for i, j in np.ndindex(height, width):
        y, x = (
            i * (map_.shape[0] - 1) / (height - 1),
            j * (map_.shape[1] - 1) / (width - 1),
        )
        top, left = min(int(y), map_.shape[0] - 2), min(int(x), map_.shape[1] - 2)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = (1 - abs(y - top - row)) * (1 - abs(x - left - column))
            result[i, j] += weight * map_[top + row, left + column]
    return result


def check(objective, labels, outputs, expected):
    counts, sums = objective.counts(labels), objective.sums(labels, outputs)
    np.testing.assert_array_equal(counts, [count for _, count in expected])
    np.testing.assert_allclose(sums, [total for total, _ in expected], rtol=1e-5)


def test_score_map_by_hand():
    labels = random_labels((2, 17, 9))
    scores = np.random.default_rng(1).normal(size=(2, 3, 2, 3)).astype(np.float32)
    check(ScoreMapObjective(8), labels, scores, [entropy(labels[:, ::8, ::8], scores)])


def test_probabilities_by_hand():
    labels = random_labels((1, 5, 4))
    scores = np.random.default_rng(1).normal(size=(1, 5, 4, 3)).astype(np.float32)
    check(ProbabilityObjective(), labels, tf.nn.softmax(scores), [entropy(labels, scores)])


@pytest.fixture
def three_scales():
    """A 33x33 image: maps of 5x5, and of 25x25 and 17x17 pixels, 4x4 and 3x3."""
    rng = np.random.default_rng(2)
    sizes = (5, 5, 4, 3)  # fused, 1, 0.75, 0.5
    maps = [rng.normal(size=(1, size, size, 3)).astype(np.float32) for size in sizes]
    return random_labels((1, 33, 33)), maps


def test_four_losses_with_the_authors_labels(three_scales):
    labels, (fused, whole, three_quarters, half) = three_scales
    fine = labels[:, ::8, ::8]
    upsampled = interpolated(three_quarters[0], 5, 5)[None]
    expected = [
        entropy(fine, fused),
        entropy(fine, whole),
        entropy(fine, upsampled),
        entropy(labels[:, ::16, ::16], half),
    ]
    check(MultiScaleObjective(), labels, three_scales[1], expected)


def test_four_losses_with_labels_of_each_scale(three_scales):
    labels, (fused, whole, three_quarters, half) = three_scales
    fine = labels[:, ::8, ::8]
    # Cells 0, 8, 16, 24 of 25 pixels lie on 0, 10 2/3, 21 1/3, 32 of 33.
    nearest = [0, 11, 21, 32]
    expected = [
        entropy(fine, fused),
        entropy(fine, whole),
        entropy(labels[:, nearest][:, :, nearest], three_quarters),
        entropy(labels[:, ::16, ::16], half),
    ]
    check(MultiScaleObjective(label_sizes="own"), labels, three_scales[1], expected)


def test_the_published_crop_has_the_published_sizes():
    labels = np.zeros((1, 321, 321), np.uint8)
    authors = MultiScaleObjective().counts(labels)
    own = MultiScaleObjective(label_sizes="own").counts(labels)
    np.testing.assert_array_equal(authors, [41**2, 41**2, 41**2, 21**2])
    np.testing.assert_array_equal(own, [41**2, 41**2, 31**2, 21**2])


def test_objectives_weigh_the_sums_and_not_the_counts(three_scales):
    labels, maps = three_scales
    fine = labels[:, ::8, ::8]
    objective = ScoreMapObjective(8, WEIGHTS)
    assert float(objective.counts(labels)[0]) == entropy(fine, maps[0])[1]
    of_class = [np.where(fine == index, fine, VOID) for index in range(3)]
    want = sum(w * entropy(part, maps[0])[0] for w, part in zip(WEIGHTS, of_class, strict=True))
    np.testing.assert_allclose(objective.sums(labels, maps[0]), [want], rtol=1e-5)
    all_scales = MultiScaleObjective(class_weights=WEIGHTS)
    np.testing.assert_array_equal(all_scales.counts(labels), MultiScaleObjective().counts(labels))
    np.testing.assert_allclose(all_scales.sums(labels, maps)[0], want, rtol=1e-5)
    np.testing.assert_allclose(
        ProbabilityObjective(WEIGHTS).sums(fine, tf.nn.softmax(maps[0])), [want], rtol=1e-5
    )


def test_other_label_sizes_are_refused():
    with pytest.raises(InputError, match="unknown label sizes 'half'; available: authors, own"):
        MultiScaleObjective(label_sizes="half")
