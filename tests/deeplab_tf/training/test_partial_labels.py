"""Losses of points and scribbles against computations by hand."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.labels import VOID
from deeplab_tf.training.cross_entropy import shrink_labels
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.partial_labels import PartialLabelsObjective, nearest_labels
from deeplab_tf.training.weak_supervision import MILObjective


def test_a_cell_takes_the_label_nearest_to_its_center():
    labels = np.full((1, 9, 9), VOID, np.uint8)
    labels[0, 3, 0] = 2  # one pixel from the center (4, 0) of cell (1, 0)
    labels[0, 6, 0] = 1  # halfway between the centers (4, 0) and (8, 0)
    labels[0, 1, 7] = 0  # cell (0, 2), whose center is (0, 8)
    found = nearest_labels(labels, 4)
    np.testing.assert_array_equal(found, [[[VOID, VOID, 0], [2, VOID, VOID], [1, VOID, VOID]]])


@pytest.mark.parametrize("size", [(1, 1), (7, 10), (8, 9), (17, 16), (23, 33)])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_no_point_is_lost_and_full_labels_stay(size, stride):
    rng = np.random.default_rng(0)
    full = rng.integers(0, 5, (2, *size)).astype(np.uint8)
    cells = shrink_labels(full, stride)
    np.testing.assert_array_equal(nearest_labels(full, stride), cells)
    rows, columns = (x.ravel() for x in np.mgrid[: size[0], : size[1]])
    points = np.full((rows.size, *size), VOID, np.uint8)  # an image for each point
    points[np.arange(rows.size), rows, columns] = 3
    found = (nearest_labels(points, stride).numpy() == 3).any(axis=(1, 2))
    # A pixel beyond the last center by more than half a stride belongs to no cell.
    last = [(n - 1) // stride * stride + stride // 2 for n in size]
    np.testing.assert_array_equal(found, (rows <= last[0]) & (columns <= last[1]))
    seen = (shrink_labels(points, stride) == 3).any(axis=(1, 2))
    assert seen.sum() == cells[0].size and (found.sum() > seen.sum()) == (
        stride > 1 and size != (1, 1)
    )


def test_both_terms_by_hand():
    # An image of 1x4 cells and 3 classes; a point of class 2 in the second cell.
    p = np.array([[[[0.5, 0.3, 0.2], [0.6, 0.1, 0.3], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]]]])
    labels = np.array([[[VOID, 2, VOID, VOID]]], np.uint8)
    objective = PartialLabelsObjective(output_stride=1)
    np.testing.assert_array_equal(objective.counts(labels), [1, 1])
    # The cross-entropy takes the labeled cell, MIL the third, which is unlabeled.
    want = [-np.log(0.3), -np.log(0.7)]
    np.testing.assert_allclose(objective.sums(labels, np.log(p)), want, rtol=1e-5)


def test_scribbles_are_void_for_pixels_and_image_labels_for_mil():
    rng = np.random.default_rng(0)
    scores = tf.constant(rng.normal(size=(2, 5, 6, 4)), tf.float32)
    scribbles = np.full((2, 5, 6), VOID, np.uint8)
    scribbles[0, 1, 1:5], scribbles[0, 3, 2:4], scribbles[1, 4, :3] = 0, 3, 1
    filled = scribbles.copy()  # MIL of the image labels: any cell may have any of its classes
    filled[0, 0], filled[1, :4] = 3, 1
    filled[filled == VOID] = 0
    filled[1, 4] = 1
    objective = PartialLabelsObjective(1, class_weights=(1.0, 2.0, 1.0, 3.0))
    pixels = ScoreMapObjective(1, (1.0, 2.0, 1.0, 3.0))
    found = objective.sums(scribbles, scores)
    np.testing.assert_allclose(found[:1], pixels.sums(scribbles, scores), rtol=1e-5)
    np.testing.assert_allclose(found[1:], MILObjective(1).sums(filled, scores), rtol=1e-5)
    np.testing.assert_array_equal(objective.counts(scribbles), [9, 2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        supervised, mil = tf.unstack(objective.sums(scribbles, scores))
    np.testing.assert_array_equal(
        np.abs(tape.gradient(supervised, scores)).sum(axis=-1) > 0, scribbles != VOID
    )
    cells = np.abs(tape.gradient(mil, scores)).sum(axis=-1) > 0
    assert cells[0].sum() == 2 and cells[1].sum() == 1  # the best of each image's classes


def test_an_image_without_labels_takes_no_part():
    scores = tf.random.stateless_normal((2, 2, 2, 3), (1, 2))
    labels = np.full((2, 9, 9), VOID, np.uint8)
    labels[1, 2, 3] = 1
    objective = PartialLabelsObjective(8)
    np.testing.assert_array_equal(objective.counts(labels), [1, 1])
    alone = objective.sums(labels[1:], scores[1:])
    np.testing.assert_allclose(objective.sums(labels, scores), alone, rtol=1e-5)
    nothing = np.full((1, 9, 9), VOID, np.uint8)
    np.testing.assert_array_equal(objective.sums(nothing, scores[:1]), [0, 0])
