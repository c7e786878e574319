"""What training minimises, against computations by hand."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.training.objectives import (
    MultiScaleObjective,
    ProbabilityObjective,
    ScoreMapObjective,
)


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


def test_other_label_sizes_are_refused():
    with pytest.raises(InputError, match="label sizes 'half'; give one of authors, own"):
        MultiScaleObjective(label_sizes="half")
