import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import random_model

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.models.score_heads import slices_of, with_heads
from deeplab_tf.training.head_losses import HeadsLoss, HeadsObjective
from deeplab_tf.training.losses import MultiScaleObjective, ScoreMapObjective
from deeplab_tf.training.step import TrainStep

SIZES = {"thing": 3, "surface": 2}
PARTS = tuple(slices_of(SIZES).values())
# Two pixels; the second has no surface. Probabilities 1/4 1/2 1/4 and 1/4 3/4.
SCORES = np.log(np.float32([[[[1, 2, 1, 1, 3], [1, 2, 1, 1, 3]]]]))
LABELS = np.uint8([[[[1, 1], [0, VOID]]]])
# Each head has its own mean: over two labeled pixels, and over one.
RIGHT = (np.log(2) + np.log(4)) / 2 + np.log(4 / 3)


def test_the_loss_is_the_sum_of_the_heads_means():
    objective = HeadsObjective((ScoreMapObjective(1),) * 2, PARTS)
    counts, sums = objective.counts(LABELS), objective.sums(LABELS, SCORES)
    assert counts.numpy().tolist() == [2, 1]
    assert float(tf.reduce_sum(sums / counts)) == pytest.approx(RIGHT, rel=1e-6)
    assert float(HeadsLoss([3, 2], 1)(LABELS, SCORES)) == pytest.approx(RIGHT, rel=1e-6)


def test_a_head_without_labels_adds_nothing():
    labels = LABELS.copy()
    labels[..., 1] = VOID
    right = (np.log(2) + np.log(4)) / 2
    assert float(HeadsLoss([3, 2], 1)(labels, SCORES)) == pytest.approx(right, rel=1e-6)


def test_class_weights_are_those_of_each_head():
    each = ScoreMapObjective(1, (1.0, 2.0, 4.0)), ScoreMapObjective(1, (1.0, 0.5))
    sums = HeadsObjective(each, PARTS).sums(LABELS, SCORES)
    right = [2 * np.log(2) + np.log(4), 0.5 * np.log(4 / 3)]
    np.testing.assert_allclose(sums, right, rtol=1e-6)


def test_all_maps_of_several_scales_are_divided():
    rng = np.random.default_rng(0)
    maps = [np.float32(rng.normal(size=(1, 3, 3, 5))) for _ in range(3)]
    labels = np.stack([rng.integers(0, n, (1, 17, 17), np.uint8) for n in (3, 2)], axis=-1)
    one = MultiScaleObjective((1.0, 0.75), 8)
    found = HeadsObjective((one, one), PARTS).sums(labels, maps)
    right = [one.sums(labels[..., i], [x[..., PARTS[i]] for x in maps]) for i in (0, 1)]
    np.testing.assert_allclose(found, tf.concat(right, 0))


def test_fit_trains_both_heads():
    keras.utils.set_random_seed(0)
    model = with_heads(random_model(5), SIZES)
    model.compile(keras.optimizers.Adam(0.03), loss=HeadsLoss([3, 2], 8), run_eagerly=True)
    bright = np.random.default_rng(1).integers(0, 2, (8, 4, 4)).repeat(8, 1).repeat(8, 2)
    images = np.float32(bright[..., None] * [200, 200, 200])
    labels = np.uint8(np.stack([2 - 2 * bright, bright], axis=-1))
    model.fit(images, labels, epochs=20, verbose=0)
    scores = model(images).numpy()
    cells = labels[:, ::8, ::8]
    assert (scores[..., :3].argmax(-1) == cells[..., 0]).mean() > 0.95
    assert (scores[..., 3:].argmax(-1) == cells[..., 1]).mean() > 0.95
    again = HeadsLoss.from_config(HeadsLoss([3, 2], 4).get_config())
    assert (again.sizes, again.output_stride) == ([3, 2], 4)


def test_labels_or_scores_of_other_heads_are_refused():
    with pytest.raises(InputError, match=r"give labels \(B, H, W, 2\) and 5 score channels"):
        HeadsLoss([3, 2], 1).call(tf.constant(LABELS[..., :1]), tf.constant(SCORES))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_of_the_loop_has_the_gradient_of_the_sum(accumulate):
    model = with_heads(random_model(5), SIZES)
    rng = np.random.default_rng(2)
    images = np.float32(rng.integers(0, 256, (4, 17, 17, 3)))
    labels = np.stack([rng.integers(0, n, (4, 17, 17), np.uint8) for n in (3, 2)], axis=-1)
    labels[0, ..., 1] = VOID
    before = [variable.numpy() for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = HeadsLoss([3, 2], 8)(labels, model(images))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    objective = HeadsObjective((ScoreMapObjective(8),) * 2, PARTS)
    step = TrainStep(
        model, optimizer, objective, tf.distribute.get_strategy(), accumulate=accumulate
    )
    found, *_ = step(tf.constant(images), tf.constant(labels))
    assert float(found) == pytest.approx(float(loss), rel=1e-5)
    for old, gradient, variable in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.5 * gradient, atol=1e-5)
