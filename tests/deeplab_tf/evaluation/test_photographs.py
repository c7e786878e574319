"""Enlarging what was found in reduced photographs, by hand."""

import numpy as np

from deeplab_tf.data.shrink import shrink
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.photographs import enlarge


def test_full_size_stays_as_it_is():
    probabilities = np.zeros((3, 5, 2), np.float32)
    assert enlarge(probabilities, (3, 5)) is probabilities


def test_enlarging_by_hand():
    """Each cell's center is the middle of its two pixels."""
    cells = np.float32([[[0, 1], [1, 0]]])
    expected = [[0, 1], [0.25, 0.75], [0.75, 0.25], [1, 0]]
    np.testing.assert_allclose(enlarge(cells, (2, 4)), [expected, expected], atol=1e-6)


def test_a_slope_keeps_its_place():
    """A slope that was reduced and enlarged is the slope again, but for its ends."""
    slope = np.arange(0, 240, 2, dtype=np.uint8)[None, :, None].repeat(20, 0).repeat(3, 2)
    small = shrink(slope, 30).astype(np.float32)
    found = enlarge(small, slope.shape[:2])
    np.testing.assert_allclose(found[:, 2:-2], slope[:, 2:-2], atol=0.01)


def test_labels_are_those_of_the_enlarged_probabilities():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(200), (6, 9)).astype(np.float32)
    found = most_probable(probabilities, (31, 44))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, enlarge(probabilities, (31, 44)).argmax(axis=2))
    np.testing.assert_array_equal(most_probable(probabilities), probabilities.argmax(axis=2))
