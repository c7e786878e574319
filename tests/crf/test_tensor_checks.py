import numpy as np
import pytest
import tensorflow as tf

from crf.tensor_checks import (
    check_compatibility,
    check_probabilities,
    check_types_and_shapes,
    check_weights,
)

TOLERANCE = 1e-3


def uniform(*shape):
    return np.full(shape, 1 / shape[-1], np.float32)


def pixels(*shape, dtype=tf.uint8):
    return tf.zeros(shape, dtype)


def check(probabilities):
    """Check constant probabilities eagerly."""
    probabilities = tf.constant(probabilities)
    return check_probabilities(probabilities, pixels(*probabilities.shape[:3], 3))


def message_of(function, *arguments):
    """The one line that a check raises."""
    with pytest.raises(ValueError, match=r"^dense_crf: ") as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_accepts_all_floating_types(dtype):
    check_types_and_shapes(tf.zeros([1, 2, 2, 3], dtype), pixels(1, 2, 2, 3))


@pytest.mark.parametrize("dtype", [tf.int32, tf.uint8, tf.bool, tf.complex64])
def test_other_types_of_probabilities_are_named(dtype):
    probabilities = tf.zeros([1, 2, 2, 3], dtype)
    message = message_of(check_types_and_shapes, probabilities, pixels(1, 2, 2, 3))
    assert "probabilities must be floating" in message and dtype.name in message


@pytest.mark.parametrize("labels", [1, 2, 64])
def test_accepts_shapes_that_agree(labels):
    check_types_and_shapes(tf.zeros([2, 4, 5, labels]), pixels(2, 4, 5, 3))


def test_unknown_sizes_are_checked_as_far_as_they_are_known():
    images = tf.TensorSpec([2, None, 5, 3], tf.uint8)
    check_types_and_shapes(tf.TensorSpec([None, 4, None, None]), images)
    probabilities = tf.TensorSpec([None, 4, None, 2])
    message = message_of(check_types_and_shapes, probabilities, pixels(2, 6, 5, 3))
    assert "must agree" in message and "(None, 4, None, 2)" in message


@pytest.mark.parametrize(
    ("probabilities", "images", "reason"),
    [
        ((4, 5, 2), (4, 5, 3), "needs (B, H, W, C) and (B, H, W, 3)"),
        ((1, 4, 5, 2), (4, 5, 3), "needs (B, H, W, C) and (B, H, W, 3)"),
        ((1, 4, 5, 2), (1, 4, 5, 1), "3 channels"),
        ((1, 4, 5, 2), (1, 4, 5, 4), "3 channels"),
        ((1, 4, 5, 2), (1, 5, 4, 3), "must agree"),
        ((2, 4, 5, 2), (1, 4, 5, 3), "must agree"),
        ((1, 4, 5, 0), (1, 4, 5, 3), "is empty"),
        ((0, 4, 5, 2), (0, 4, 5, 3), "is empty"),
        ((1, 4, 0, 2), (1, 4, 0, 3), "is empty"),
    ],
)
def test_wrong_shapes_are_named(probabilities, images, reason):
    message = message_of(check_types_and_shapes, tf.zeros(probabilities), pixels(*images))
    assert reason in message and str(probabilities) in message and str(images) in message


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 3, 5, 2), (1, 1, 300, 64)])
def test_accepts_probabilities_within_the_tolerance(shape):
    for factor in (1, 1 - 0.9 * TOLERANCE, 1 + 0.9 * TOLERANCE):
        given = uniform(*shape) * np.float32(factor)
        np.testing.assert_array_equal(check(given), given)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (tf.float16, 3 / 1024, 5 / 1024),
        (tf.bfloat16, 3 / 128, 5 / 128),
        (tf.float32, 0.9e-3, 1.1e-3),
        (tf.float64, 0.9e-3, 1.1e-3),
    ],
)
def test_the_tolerance_of_sums_is_larger_in_half_precision(dtype, good, bad):
    # These numbers are exact in their types.
    result = check(tf.constant([[[[0.5, 0.5 + good]]]], dtype))
    assert result.dtype == tf.float32
    assert "sum to one" in message_of(check, tf.constant([[[[0.5, 0.5 + bad]]]], dtype))


# In the parts of different threads, and at their ends.
PLACES = [(0, 0, 0, 0), (0, 3, 4, 2), (1, 6, 7, 4), (1, 2, 0, 1)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "NaN or infinite"),
        (np.inf, "NaN or infinite"),
        (-np.inf, "NaN or infinite"),
        (-0.25, "must not be negative, the smallest is -0.25"),
        (-1e-6, "must not be negative, the smallest is -1e-06"),
        (0.7, "one pixel's sum is 1.5; scores need a softmax first"),
        (0.0, "one pixel's sum is 0.8;"),
    ],
)
def test_a_wrong_value_is_found_at_any_place(place, value, reason):
    probabilities = uniform(2, 7, 8, 5)
    probabilities[place] = value
    assert reason in message_of(check, probabilities)


@pytest.mark.parametrize("labels", [2, 8, 21])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_at_any_label(labels, value):
    for label in range(labels):
        probabilities = uniform(1, 1, 3, labels)
        probabilities[0, 0, 1, label] = value
        assert "NaN or infinite" in message_of(check, probabilities)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        # One sigmoid, one score that may be negative or not.
        ([[0.3], [0.8]], "for a sigmoid p: give [1 - p, p], tf.concat([1 - p, p], axis=-1)"),
        ([[-2.0], [3.5]], "axis=-1) with p = tf.sigmoid(scores)"),
        ([[0.5], [3.5]], "axis=-1) with p = tf.sigmoid(scores)"),
        # Scores, sigmoids of several classes, percentages, 8-bit probabilities.
        ([[-2.0, 3.5], [1.0, 0.0]], "the smallest is -2; scores need a softmax first"),
        ([[0.5, 3.5], [4.0, 1.0]], "one pixel's sum is 5; scores need a softmax first"),
        ([[0.5, 0.9], [0.1, 0.8]], "sigmoids of several classes a division by their sum"),
        ([[25, 75], [99.5, 0.5]], "all pixels' sums are about 100: divide by them"),
        ([[55, 200], [0, 255]], "all pixels' sums are about 255: divide by them"),
    ],
)
def test_the_remedy_for_values_that_are_not_probabilities(values, reason):
    message = message_of(check, np.float32([[values]]))
    assert reason in message
    # A softmax over a single channel would make every pixel class 0.
    assert ("softmax" in message) == (len(values[0]) > 1 and "divide by them" not in message)


def test_a_single_label_is_warned_of():
    given = np.ones((1, 2, 3, 1), np.float32)
    with pytest.warns(UserWarning, match=r"every pixel gets label 0: .* give \[1 - p, p\]"):
        np.testing.assert_array_equal(check(given), given)
    run = tf.function(lambda p: check_probabilities(p, pixels(1, 2, 3, 3)))
    with pytest.warns(UserWarning, match="every pixel gets label 0"):
        run(given)
    with (
        pytest.warns(UserWarning, match="every pixel gets label 0"),
        pytest.raises(tf.errors.InvalidArgumentError, match=r"for a sigmoid p: give \[1 - p, p\]"),
    ):
        tf.function(lambda p: check_probabilities(p, pixels(1, 2, 3, 3)))(given / 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([0.25, 0.752, 0.0], "sum is 1.002;"),
        ([0.25, 0.748, 0.0], "sum is 0.998;"),
        ([0.0, 0.0, 0.0], "sum is 0;"),
        ([0.75, 0.5, -0.25], "the smallest is -0.25;"),
    ],
)
def test_wrong_rows_by_hand(row, reason):
    assert reason in message_of(check, np.float32([[[[1, 0, 0], row]]]))


@tf.function(input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 4, tf.uint8)])
def checked_in_graph(probabilities, images):
    return check_probabilities(probabilities, images)


def test_a_graph_accepts_good_values():
    given = uniform(1, 3, 4, 2)
    np.testing.assert_array_equal(checked_in_graph(given, pixels(1, 3, 4, 3)), given)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.25, 0.7])
def test_a_graph_stops_on_a_wrong_value_at_any_place(place, value):
    probabilities = uniform(2, 7, 8, 5)
    probabilities[place] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="sum to one over the last axis"):
        checked_in_graph(probabilities, pixels(2, 7, 8, 3))


@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (1, 4, 3, 3), (1, 3, 5, 3)])
def test_a_graph_stops_on_different_sizes(shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in size"):
        checked_in_graph(uniform(1, 3, 4, 2), pixels(*shape))


@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (1, 0, 4, 2), (1, 3, 0, 2), (1, 3, 4, 0)])
def test_a_graph_stops_on_an_empty_input(shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="the input is empty"):
        checked_in_graph(np.zeros(shape, np.float32), pixels(*shape[:3], 3))


@pytest.mark.parametrize("weights", [1.0, (1.0,), (1.0, 2.0, 3.0), ([1.0, 2.0], 3.0)])
def test_weights_must_be_two_scalars(weights):
    assert "weights must be two scalars" in message_of(check_weights, weights)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [((np.nan, 1), "w1 is nan"), ((1, np.inf), "w2 is inf"), ((1, -0.5), "w2 is -0.5")],
)
def test_weights_out_of_range_are_named(weights, reason):
    assert f"must be finite and at least 0, but {reason}" in message_of(check_weights, weights)


def test_a_compatibility_needs_the_number_of_labels():
    message = message_of(check_compatibility, np.eye(4), tf.zeros([1, 2, 2, 3]), 0)
    assert "the compatibility is (4, 4), but there are 3 labels" in message
    run = tf.function(
        lambda p: check_compatibility(np.eye(4), p, 0), input_signature=[tf.TensorSpec([None] * 4)]
    )
    np.testing.assert_array_equal(run(tf.zeros([1, 2, 2, 4])), np.eye(4))
    with pytest.raises(tf.errors.InvalidArgumentError, match="one row and one column for each"):
        run(tf.zeros([1, 2, 2, 3]))


@pytest.mark.parametrize("costs", [np.full((3, 3), np.nan), np.diag([0, np.inf, 0])])
def test_a_compatibility_must_be_finite(costs):
    message = message_of(check_compatibility, costs, tf.zeros([1, 2, 2, 3]), 0)
    assert "compatibility holds NaN or infinite" in message


def test_a_compatibility_cannot_be_pruned():
    message = message_of(check_compatibility, np.eye(3), tf.zeros([1, 2, 2, 3]), 0.1)
    assert "in the Potts model" in message and "prune_below=0" in message
