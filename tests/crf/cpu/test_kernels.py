"""Each pass of the numba engine against plain NumPy."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from crf.cpu import energy_kernels, kernels, pruning, simd, simplex
from crf.cpu.simd import LANES

# Rows of one, two, three and more vectors, full and not.
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
def test_splat_skips_the_last_label_if_it_is_inactive(labels):
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
def test_initial_marginals_are_the_clamped_and_normalized_prior(labels):
    given, marginals = random(5, labels), np.full((5, labels), np.nan, np.float32)
    given[0, 0] = 0
    kernels.initial_marginals(
        0, 5, read_only(given.ravel()), floor_of(labels), labels, marginals.ravel()
    )
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


@pytest.mark.parametrize("with_compatibility", [False, True])
@pytest.mark.parametrize("labels", LABELS)
def test_update_is_the_softmax_of_log_prior_and_messages(labels, with_compatibility):
    rows, corners, weights, messages = corner_case(labels)
    effects = None
    if with_compatibility:
        costs = np.random.default_rng(4).normal(size=(labels, labels))
        effects, messages = filled_up(costs), messages @ costs
    given, marginals = random(4, labels), np.full((6, labels), 9, np.float32)
    kernels.update_points(
        *(0, 4, corners.ravel(), weights.ravel(), filled_up(rows), effects),
        *(read_only(given.ravel()), floor_of(labels), labels, marginals.ravel()),
    )
    expected = softmax(np.log(np.maximum(given, FLOOR)) + messages)
    np.testing.assert_allclose(marginals[:4], expected, atol=2e-6)
    np.testing.assert_array_equal(marginals[4:], 9)


def test_large_messages_do_not_overflow():
    rows, corners, weights, messages = corner_case(9, height=1000.0)
    given, marginals = random(4, 9), np.empty((4, 9), np.float32)
    kernels.update_points(
        *(0, 4, corners.ravel(), weights.ravel(), filled_up(rows), None),
        *(read_only(given.ravel()), floor_of(9), 9, marginals.ravel()),
    )
    np.testing.assert_allclose(marginals, softmax(np.log(given) + messages), atol=1e-3)


def test_largest_uses_only_its_part():
    given = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], np.float32)
    top = pruning._largest(1, 3, read_only(given.ravel()), 2)
    np.testing.assert_array_equal(top, np.float32([0.4, 0.7]))


def test_merge_and_split_pruned_labels_by_hand():
    given = np.array([[0.5, 0.1, 0.4], [0.2, 0.0, 0.8]], np.float32)
    source = read_only(given.ravel()), 3, np.array([0, 2]), floor_of(3)
    others = filled_up(np.float32([[0, 1, 0]]))
    prior = np.empty((2, 3), np.float32)
    pruning._merge(0, 2, *source, others, prior.ravel())
    np.testing.assert_array_equal(prior[:, :2], given[:, [0, 2]])
    np.testing.assert_allclose(prior[:, 2], [0.1, 1e-5], rtol=1e-6)
    marginals = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2]], np.float32)
    refined = np.empty((2, 3), np.float32)
    pruning._split(0, 2, *source, prior.ravel(), marginals.ravel(), refined.ravel())
    np.testing.assert_allclose(refined, [[0.7, 0.1, 0.2], [0.1, 0.2, 0.7]], rtol=1e-6)


def test_pruned_labels_share_their_marginal_like_their_prior():
    given = np.array([[0.7, 0.1, 0.2]], np.float32)
    source = read_only(given.ravel()), 3, np.array([0]), floor_of(3)
    prior, marginals = np.float32([0.7, 0.3]), np.float32([0.4, 0.6])
    refined = np.empty((1, 3), np.float32)
    pruning._split(0, 1, *source, prior, marginals, refined.ravel())
    np.testing.assert_allclose(refined, [[0.4, 0.2, 0.4]], rtol=1e-6)


def test_checksums_of_simd_are_current():
    checksum = hashlib.sha256(Path(simd.__file__).read_bytes()).hexdigest()
    for module in (kernels, pruning, energy_kernels, simplex):
        assert checksum[:16] == module.SIMD_CHECKSUM, f"put {checksum[:16]} into {module.__file__}"
