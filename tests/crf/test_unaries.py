import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crf import (
    image_features,
    unary_from_labels,
    unary_from_probabilities,
    unary_from_scribbles,
)


def probabilities_of(unary):
    return np.exp(-unary)


def test_probabilities_by_hand():
    unary = unary_from_probabilities([[0.25, 0.75], [1, 0]])
    np.testing.assert_allclose(unary, [-np.log([0.25, 0.75]), [0, -np.log(1e-5)]], rtol=1e-6)
    assert unary.dtype == np.float32
    assert unary_from_probabilities([[1, 0]], least=0.1)[0, 1] == pytest.approx(-np.log(0.1))


def test_labels_by_hand():
    unary = unary_from_labels(np.array([[0, 2], [255, 1]]), 3, confidence=0.8)
    third = [1 / 3] * 3
    expected = [[[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], [third, [0.1, 0.8, 0.1]]]
    np.testing.assert_allclose(probabilities_of(unary), expected, rtol=1e-5)
    assert unary.dtype == np.float32


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    num_labels=st.integers(2, 9),
    dtype=st.sampled_from([np.uint8, np.int16, np.int64, np.uint32]),
    order=st.sampled_from("CF"),
    confidence=st.floats(0.05, 0.95),
)
def test_labels_of_any_rank_type_and_memory_order(shape, num_labels, dtype, order, confidence):
    drawn = np.random.default_rng(0).integers(0, num_labels + 1, shape)
    given_labels = np.array(np.where(drawn == num_labels, 100, drawn), dtype, order=order)
    before = given_labels.copy()
    unary = unary_from_labels(given_labels, num_labels, confidence, unsure=100)
    assert unary.shape == (*shape, num_labels) and unary.dtype == np.float32
    np.testing.assert_array_equal(given_labels, before)
    for place, label in np.ndenumerate(drawn):
        wanted = np.full(num_labels, (1 - confidence) / (num_labels - 1))
        if label < num_labels:
            wanted[label] = confidence
        else:
            wanted[:] = 1 / num_labels
        np.testing.assert_allclose(probabilities_of(unary[place]), wanted, rtol=1e-5)


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    labels=st.integers(2, 9),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    order=st.sampled_from("CF"),
)
def test_probabilities_of_any_rank_type_and_memory_order(shape, labels, dtype, order):
    drawn = np.random.default_rng(0).dirichlet(np.ones(labels), shape)
    probabilities = np.array(drawn, dtype, order=order)
    unary = unary_from_probabilities(probabilities)
    assert unary.shape == (*shape, labels) and unary.dtype == np.float32
    wanted = -np.log(np.maximum(probabilities.astype(np.float64), 1e-5))
    np.testing.assert_allclose(unary, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [([0.9, 0.6, 0.7], [0.9, 0.6, 0.6]), (np.float32([0.55, 0.65, 0.75]), [0.55, 0.65, 0.75])],
)
def test_a_confidence_for_each_label_or_point(confidence, expected):
    # Three points in the second case: shapes that agree mean points, so labels are (1, 3).
    labels = np.array([0, 1, 1])
    labels = labels[None] if isinstance(confidence, list) else labels
    unary = unary_from_labels(labels, 3, confidence=confidence)
    own = np.take_along_axis(probabilities_of(unary), labels[..., None], axis=-1)
    np.testing.assert_allclose(own.ravel(), expected, rtol=1e-5)
    np.testing.assert_allclose(probabilities_of(unary).sum(axis=-1), 1, rtol=1e-5)


def test_several_unsure_values_or_none():
    unary = unary_from_labels(np.array([7, 0, 9]), 2, unsure=(7, 9))
    np.testing.assert_allclose(probabilities_of(unary)[[0, 2]], 0.5, rtol=1e-6)
    unary = unary_from_labels(np.array([True, False]), 2, 0.9, unsure=None)
    np.testing.assert_allclose(probabilities_of(unary), [[0.1, 0.9], [0.9, 0.1]], rtol=1e-5)
    # 0 as the unsure value: no point can be sure of label 0.
    assert unary_from_labels(np.array([0, 1]), 2, unsure=0)[0].tolist() == pytest.approx(
        [np.log(2)] * 2
    )


def test_scribbles_without_features_are_labels_with_unsure_points():
    lines = np.array([[0, 255, 1]])
    np.testing.assert_array_equal(
        unary_from_scribbles(lines, 2), unary_from_labels(lines, 2, confidence=0.99)
    )


def test_scribbles_with_features_by_hand():
    # Points 0 and 3 are drawn on; 1 is like 0 in color, 2 is like nothing.
    lines, gray = np.array([0, 255, 255, 1]), np.array([10.0, 10, 500, 90])
    features = image_features(gray, np.inf, 1, channel_axis=None)
    unary = unary_from_scribbles(lines, 2, features, confidence=0.9, doubt=0.5)
    found = probabilities_of(unary)
    np.testing.assert_allclose(found[[0, 3]], [[0.9, 0.1], [0.1, 0.9]], rtol=1e-5)
    np.testing.assert_allclose(found[2], 0.5, rtol=1e-5)
    assert found[1, 0] > 0.6
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@settings(max_examples=10)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    num_labels=st.integers(2, 9),
    dtype=st.sampled_from([np.uint8, np.int16, np.int64]),
    feature_type=st.sampled_from([np.float32, np.float64, np.uint8]),
    order=st.sampled_from("CF"),
)
def test_scribbles_of_any_rank_type_and_memory_order(shape, num_labels, dtype, feature_type, order):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, num_labels, shape)
    drawn[rng.random(shape) < 0.6] = 99
    drawn.flat[0] = num_labels - 1
    lines = np.array(drawn, dtype, order=order)
    features = np.array(rng.integers(0, 9, (lines.size, 2)), feature_type, order=order)
    before = lines.copy(), features.copy()
    unary = unary_from_scribbles(lines, num_labels, features, confidence=0.8, unlabeled=99)
    assert unary.shape == (*shape, num_labels) and unary.dtype == np.float32
    found = probabilities_of(unary)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-4)
    known = drawn != 99
    np.testing.assert_allclose(found[known, drawn[known]], 0.8, rtol=1e-4)
    plain = unary_from_scribbles(drawn, num_labels, features.astype(float), 0.8, 99)
    np.testing.assert_allclose(unary, plain, rtol=1e-5)
    for array, copy in zip((lines, features), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_labels_count_alike_however_many_points_they_were_drawn_on():
    # Point 9 is equally like label 0, drawn on eight points, and label 1, drawn on one.
    lines = np.array([0] * 8 + [1, 255])
    found = probabilities_of(unary_from_scribbles(lines, 2, np.zeros((10, 1))))
    np.testing.assert_allclose(found[9], 0.5, rtol=1e-5)


def test_a_label_that_nobody_drew_is_less_probable_than_similar_ones():
    found = probabilities_of(unary_from_scribbles(np.array([0, 1, 255]), 3, np.zeros((3, 1))))
    assert found[2, 2] < found[2, 0] and found[2, 0] == pytest.approx(found[2, 1])


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (unary_from_labels, ([[0, 3]], 3), "label 3 is not from 0 to 2; if it means"),
        (unary_from_labels, ([[0, 255]], 3, 0.7, None), "unknown, give unsure=255"),
        (unary_from_labels, ([[0, -1]], 3), "label -1 is not from 0 to 2; if it means"),
        (unary_from_labels, ([[0, -1]], 3), "give unsure=-1"),
        (unary_from_labels, ([[0.0, 1]], 3), "must be an array of integers, but are float64"),
        (unary_from_labels, (np.zeros(0, int), 3), "array of integers, but are int64 (0,)"),
        (unary_from_labels, ([[0]], 1), "num_labels must be a whole number of at least 2, not 1"),
        (unary_from_labels, ([[0]], 2.0), "num_labels must be a whole number of at least 2"),
        (unary_from_labels, ([[0]], "2"), "must be a whole number of at least 2, not '2'"),
        (unary_from_labels, ([[0]], 2, 1.0), "confidence must be above 0 and below 1"),
        (unary_from_labels, ([[0]], 2, [0.5] * 3), "2 for the labels, or (1, 1) for the points"),
        (unary_from_scribbles, ([[9]], 2), "label 9 is not from 0 to 1; if it means"),
        (unary_from_scribbles, ([[9]], 2, None, 0.9, 255), "give unlabeled=9"),
        (unary_from_scribbles, ([[0]], True), "num_labels must be a whole number of at least 2"),
        (unary_from_scribbles, ([[0]], 2, None, 1), "confidence must be above 0 and below 1"),
        (unary_from_scribbles, ([[0]], 2, None, [0.5] * 3), "confidence must be one number, 2 for"),
        (unary_from_scribbles, ([[255]], 2), "no point has a label; all have the value 255"),
        (unary_from_scribbles, ([[0]], 2, np.ones((2, 1))), "features of 2 points, but scribbles"),
        (unary_from_scribbles, ([[0]], 2, [[1]], 0.9, 255, 0), "doubt must be a finite number"),
        (unary_from_probabilities, ([0.5, 0.5],), "probabilities must be (..., C), but are (2,)"),
        (unary_from_probabilities, ([[2.0, -3.0]],), "scores need a softmax first"),
        (unary_from_scribbles, ([[0]], 2, [[1]], 0.9, 255, "1"), "doubt must be a finite number"),
        (unary_from_labels, ([[0], [1, 2]], 3), "labels must be an array of integers"),
        (unary_from_labels, ([[0]], 3, 0.7, [[1], [2, 3]]), "unsure must be a value, or several"),
        (unary_from_probabilities, ([[0.5, 0.5]], "a"), "least must be above 0 and below 1"),
        (unary_from_probabilities, ([[0.5, 0.5]], 0), "least must be above 0 and below 1, not 0"),
    ],
)
def test_bad_arguments_are_one_line(function, arguments, message):
    with pytest.raises(ValueError, match=rf"^{function.__name__}: ") as error:
        function(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value)
