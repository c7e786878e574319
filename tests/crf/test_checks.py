import numpy as np
import pytest
import tensorflow as tf

from crf.checks import (
    check_shapes,
    check_types,
    check_values,
    graph_checks,
    sum_tolerance,
)

SUM_TOLERANCE = sum_tolerance(tf.float32)


def uniform(*shape):
    return np.full(shape, 1 / shape[-1], np.float32)


def pixels(*shape, dtype=tf.uint8):
    return tf.zeros(shape, dtype)


def message_of(check, *arguments):
    """The one line that a check raises."""
    with pytest.raises(ValueError, match=r"^dense_crf: ") as error:
        check(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_all_floating_types_are_taken(dtype):
    check_types(tf.zeros([1, 2, 2, 3], dtype), pixels(1, 2, 2, 3))


@pytest.mark.parametrize("dtype", [tf.int32, tf.uint8, tf.bool, tf.complex64])
def test_other_probabilities_are_named(dtype):
    message = message_of(check_types, tf.zeros([1, 2, 2, 3], dtype), pixels(1, 2, 2, 3))
    assert "probabilities must be floating" in message and dtype.name in message


@pytest.mark.parametrize("dtype", [tf.float32, tf.int32, tf.int8, tf.uint16])
def test_other_images_are_named_with_the_remedy(dtype):
    images = pixels(1, 2, 2, 3, dtype=dtype)
    message = message_of(check_types, tf.zeros([1, 2, 2, 3]), images)
    assert f"not {dtype.name};" in message and "tf.cast(images, tf.uint8)" in message


@pytest.mark.parametrize("labels", [1, 2, 64])
def test_shapes_that_agree_are_taken(labels):
    check_shapes(tf.zeros([2, 4, 5, labels]), pixels(2, 4, 5, 3))


def test_unknown_sizes_are_taken_as_far_as_they_go():
    check_shapes(tf.TensorSpec([None, 4, None, None]), tf.TensorSpec([2, None, 5, 3]))
    message = message_of(check_shapes, tf.TensorSpec([None, 4, None, 2]), pixels(2, 6, 5, 3))
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
        ((1, 4, 5, 0), (1, 4, 5, 3), "nothing to do"),
        ((0, 4, 5, 2), (0, 4, 5, 3), "nothing to do"),
        ((1, 4, 0, 2), (1, 4, 0, 3), "nothing to do"),
    ],
)
def test_other_shapes_are_named(probabilities, images, reason):
    message = message_of(check_shapes, tf.zeros(probabilities), pixels(*images))
    assert reason in message and str(probabilities) in message and str(images) in message


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 2), (1, 1, 300, 64)])
def test_probabilities_are_taken(shape):
    check_values(uniform(*shape), SUM_TOLERANCE)
    check_values(uniform(*shape) * np.float32(1 + 0.9 * SUM_TOLERANCE), SUM_TOLERANCE)


# In the parts of all threads, and at their ends.
PLACES = [(0, 0, 0, 0), (0, 0, 0, 4), (0, 3, 4, 2), (1, 6, 7, 4), (1, 2, 0, 1)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "NaN or infinite"),
        (np.inf, "NaN or infinite"),
        (-np.inf, "NaN or infinite"),
        (-0.25, "must not be negative, the least is -0.25"),
        (-1e-6, "must not be negative, the least is -1e-06"),
        (0.7, "one pixel's sum is 1.5; scores need a softmax first"),
        (0.0, "one pixel's sum is 0.8;"),
    ],
)
def test_one_wrong_value_is_found_anywhere(place, value, reason):
    probabilities = uniform(2, 7, 8, 5)
    probabilities[place] = value
    assert reason in message_of(check_values, probabilities, SUM_TOLERANCE)


def test_a_negative_value_in_a_row_that_sums_to_one_is_found():
    probabilities = uniform(1, 3, 4, 2)
    probabilities[0, 1, 2] = [1.5, -0.5]
    assert "the least is -0.5" in message_of(check_values, probabilities, SUM_TOLERANCE)


def test_scores_need_a_softmax():
    scores = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    assert "scores need a softmax first" in message_of(check_values, scores, SUM_TOLERANCE)


@pytest.mark.parametrize("excess", [-2, 2])
def test_sums_beyond_the_tolerance_are_named(excess):
    probabilities = uniform(1, 3, 4, 2)
    probabilities[0, 1, 2] *= 1 + excess * SUM_TOLERANCE
    assert f"sum is {1 + excess * SUM_TOLERANCE:g};" in message_of(
        check_values, probabilities, SUM_TOLERANCE
    )


@tf.function(
    input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 4, tf.uint8)],
)
def checked(probabilities, images):
    with tf.control_dependencies(graph_checks(probabilities, images, SUM_TOLERANCE)):
        return tf.identity(probabilities)


def test_a_graph_lets_good_values_pass():
    given = uniform(1, 3, 4, 2)
    np.testing.assert_array_equal(checked(given, pixels(1, 3, 4, 3)), given)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.25, 0.7])
def test_a_graph_stops_on_one_wrong_value_anywhere(place, value):
    probabilities = uniform(2, 7, 8, 5)
    probabilities[place] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="sum to one over the last axis"):
        checked(probabilities, pixels(2, 7, 8, 3))


@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (1, 4, 3, 3), (1, 3, 5, 3)])
def test_a_graph_stops_on_another_size(shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in size"):
        checked(uniform(1, 3, 4, 2), pixels(*shape))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(tf.float16, 4 / 1024), (tf.bfloat16, 4 / 128), (tf.float32, 1e-3), (tf.float64, 1e-3)],
)
def test_tolerance_grows_with_the_rounding(dtype, tolerance):
    assert sum_tolerance(dtype) == tolerance


@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (1, 0, 4, 2), (1, 3, 0, 2), (1, 3, 4, 0)])
def test_a_graph_stops_on_an_empty_size(shape):
    empty = np.zeros(shape, np.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="nothing to do"):
        checked(empty, pixels(*shape[:3], 3))
