"""Each pass of the numba engine against the same in plain NumPy."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from crf.cpu import kernels, lanes
from crf.cpu.lanes import LANES

# One, two and three vectors at once, full and not, and several times three.
LABELS = [1, 7, 8, 9, 16, 17, 24, 25, 33, 64]
FLOOR = np.float32(1e-5)


def width_of(labels):
    return -(-labels // LANES) * LANES


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def read_only(array):
    array.flags.writeable = False
    return array


def filled_up(rows, value=0.0):
    """Rows (n, labels) with surplus lanes, flat, as tables of vertices are."""
    surplus = width_of(rows.shape[1]) - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, surplus)), constant_values=value).astype(np.float32).ravel()


def floor_of(labels):
    return filled_up(np.full((1, labels), FLOOR))


@pytest.mark.parametrize("labels", LABELS)
def test_splat_collects_weighted_points(labels):
    # Vertex 1 has no points, vertex 3 has the last point, whose row ends with the array.
    starts = np.array([0, 2, 2, 5, 6])
    points = np.array([0, 2, 1, 0, 2, 4], np.int32)
    weights, marginals = random(6), random(5, labels)
    table = np.full((4, width_of(labels)), np.nan, np.float32)
    lists, sizes = (starts, points, weights), (labels, labels, width_of(labels))
    kernels.splat(0, 4, *lists, marginals.ravel(), *sizes, table.ravel())
    expected = np.zeros((4, labels))
    np.add.at(
        expected, np.repeat(np.arange(4), np.diff(starts)), weights[:, None] * marginals[points]
    )
    np.testing.assert_allclose(table[:, :labels], expected, atol=1e-6)
    np.testing.assert_array_equal(table[:, labels:], 0)


def test_splat_leaves_other_parts_alone():
    table = np.full(4 * LANES, 9, np.float32)
    ones = np.ones(4, np.float32)
    points = np.arange(4, dtype=np.int32)
    kernels.splat(1, 3, np.arange(5), points, ones, ones, 1, 1, LANES, table)
    np.testing.assert_array_equal(table[::LANES], [9, 1, 1, 9])


@pytest.mark.parametrize("labels", [2, 9, 12])
def test_splat_passes_over_the_last_label_where_it_is_silent(labels):
    marginals, table = random(1, labels), np.full(width_of(labels), np.nan, np.float32)
    point, weight = np.zeros(1, np.int32), np.ones(1, np.float32)
    sizes = labels, labels - 1, width_of(labels)
    kernels.splat(0, 1, np.arange(2), point, weight, marginals.ravel(), *sizes, table)
    np.testing.assert_array_equal(table[: labels - 1], marginals[0, :-1])
    np.testing.assert_array_equal(table[labels - 1 :], 0)


def test_blur_by_hand():
    # A chain of three vertices and one of two; vertex 3 is in neither.
    members, starts = np.array([4, 0, 2, 1, 5], np.int32), np.array([0, 3, 5])
    table = filled_up(np.array([[2.0], [10], [4], [7], [1], [20]]))
    kernels.blur(0, 2, members, starts, LANES, table)
    assert table[::LANES].tolist() == [2 + 2.5, 10 + 10, 4 + 1, 7, 1 + 1, 20 + 5]


@pytest.mark.parametrize("labels", LABELS)
def test_blur_treats_all_labels_alike(labels):
    members, starts = np.array([4, 0, 2, 1, 5], np.int32), np.array([0, 3, 5])
    rows, table = random(6, labels), filled_up(np.zeros((6, labels)))
    table = filled_up(rows)
    kernels.blur(0, 2, members, starts, width_of(labels), table)
    for label in range(labels):
        alone = filled_up(rows[:, label : label + 1])
        kernels.blur(0, 2, members, starts, LANES, alone)
        np.testing.assert_array_equal(table[label :: width_of(labels)], alone[::LANES])


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("labels", LABELS)
def test_begin_normalizes_what_is_given_above_the_floor(labels):
    given, marginals = random(5, labels), np.full((5, labels), np.nan, np.float32)
    given[0, 0] = 0
    kernels.begin(0, 5, read_only(given.ravel()), floor_of(labels), labels, marginals.ravel())
    clipped = np.maximum(given, FLOOR).astype(float)
    np.testing.assert_allclose(marginals, clipped / clipped.sum(-1, keepdims=True), rtol=1e-6)


def corner_case(labels, points=4, vertices=20, height=4.0):
    """A table of vertices, and corners and weights of points in it."""
    rng = np.random.default_rng(1)
    rows = height * random(vertices, labels, seed=2)
    corners = rng.integers(0, vertices, (points, kernels.CORNERS)).astype(np.int32)
    weights = random(points, kernels.CORNERS, seed=3)
    messages = np.einsum("pc,pcl->pl", weights.astype(float), rows[corners])
    return rows, corners, weights, messages


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("labels", LABELS)
def test_update_is_the_softmax_of_prior_and_messages(labels, mixed):
    rows, corners, weights, messages = corner_case(labels)
    mixing = None
    if mixed:
        costs = np.random.default_rng(4).normal(size=(labels, labels))
        mixing, messages = filled_up(costs), messages @ costs
    given, marginals = random(4, labels), np.full((6, labels), 9, np.float32)
    kernels.update(
        *(0, 4, corners.ravel(), weights.ravel(), filled_up(rows), mixing),
        *(read_only(given.ravel()), floor_of(labels), labels, marginals.ravel()),
    )
    expected = softmax(np.log(np.maximum(given, FLOOR)) + messages)
    np.testing.assert_allclose(marginals[:4], expected, atol=2e-6)
    np.testing.assert_array_equal(marginals[4:], 9)


def test_update_of_great_messages_does_not_overflow():
    rows, corners, weights, messages = corner_case(9, height=1000.0)
    given, marginals = random(4, 9), np.empty((4, 9), np.float32)
    kernels.update(
        *(0, 4, corners.ravel(), weights.ravel(), filled_up(rows), None),
        *(read_only(given.ravel()), floor_of(9), 9, marginals.ravel()),
    )
    np.testing.assert_allclose(marginals, softmax(np.log(given) + messages), atol=1e-3)


def test_interleave_by_hand():
    near = np.array([0, 1, 2, 2, 1, 0], np.int32), np.arange(6, dtype=np.float32)
    far = np.arange(12, dtype=np.int32), 10 + np.arange(12, dtype=np.float32)
    corners, weights = np.full(18, -1, np.int32), np.full(18, np.nan, np.float32)
    kernels.interleave(0, 2, near, np.float32(2), far, np.float32(3), 100, corners, weights)
    assert corners[:9].tolist() == [0, 1, 2, 100, 101, 102, 103, 104, 105]
    assert corners[9:].tolist() == [2, 1, 0, 106, 107, 108, 109, 110, 111]
    assert weights[:9].tolist() == [0, 2, 4, 30, 33, 36, 39, 42, 45]
    assert weights[9:].tolist() == [6, 8, 10, 48, 51, 54, 57, 60, 63]


@pytest.mark.parametrize("labels", [2, 8, 21])
@pytest.mark.parametrize(
    ("value", "good"), [(0.5, True), (np.nan, False), (np.inf, False), (-np.inf, False)]
)
def test_survey_finds_what_is_not_finite(labels, value, good):
    for label in range(labels):
        given = np.full((3, labels), 0.5 / (labels - 1), np.float32)
        given[:, 0] = 0.5
        given[1, [0, label]] = given[1, [label, 0]]
        given[1, label] = value
        tolerance = np.float32(1e-3)
        assert kernels.survey(0, 3, read_only(given.ravel()), labels, tolerance) == good
        assert kernels.survey(2, 3, read_only(given.ravel()), labels, tolerance)


@pytest.mark.parametrize(
    ("row", "good"),
    [
        ([0.25, 0.75, 0.0], True),
        ([0.25, 0.7509, 0.0], True),
        ([0.25, 0.752, 0.0], False),
        ([0.25, 0.748, 0.0], False),
        ([0.75, 0.5, -0.25], False),
        ([0.0, 0.0, 0.0], False),
    ],
)
def test_survey_by_hand(row, good):
    given = np.array([1, 0, 0, *row], np.float32)
    assert kernels.survey(0, 2, read_only(given), 3, np.float32(1e-3)) == good


def test_highest_takes_only_its_part():
    given = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], np.float32)
    top = kernels.highest(1, 3, read_only(given.ravel()), 2)
    np.testing.assert_array_equal(top, np.float32([0.4, 0.7]))


def test_pick_and_put_back_by_hand():
    given = np.array([[0.5, 0.1, 0.4], [0.2, 0.0, 0.8]], np.float32)
    source = read_only(given.ravel()), 3, np.array([0, 2]), floor_of(3)
    others = filled_up(np.float32([[0, 1, 0]]))
    prior = np.empty((2, 3), np.float32)
    kernels.pick(0, 2, *source, others, prior.ravel())
    np.testing.assert_array_equal(prior[:, :2], given[:, [0, 2]])
    np.testing.assert_allclose(prior[:, 2], [0.1, 1e-5], rtol=1e-6)
    marginals = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2]], np.float32)
    refined = np.empty((2, 3), np.float32)
    kernels.put_back(0, 2, *source, prior.ravel(), marginals.ravel(), refined.ravel())
    np.testing.assert_allclose(refined, [[0.7, 0.1, 0.2], [0.1, 0.2, 0.7]], rtol=1e-6)


def test_others_share_their_marginal_as_was_given():
    given = np.array([[0.7, 0.1, 0.2]], np.float32)
    source = read_only(given.ravel()), 3, np.array([0]), floor_of(3)
    prior, marginals = np.float32([0.7, 0.3]), np.float32([0.4, 0.6])
    refined = np.empty((1, 3), np.float32)
    kernels.put_back(0, 1, *source, prior, marginals, refined.ravel())
    np.testing.assert_allclose(refined, [[0.4, 0.2, 0.4]], rtol=1e-6)


def test_a_change_of_the_lanes_compiles_the_kernels_anew():
    checksum = hashlib.sha256(Path(lanes.__file__).read_bytes()).hexdigest()
    assert checksum.startswith(kernels.LANES_CHECKSUM), "put the new checksum into kernels.py"
