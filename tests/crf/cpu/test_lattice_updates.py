"""Updates on lattices against matrices that their own filters give."""

import numpy as np
import pytest
from matrix_crf import costs_of, free_energy, mean_field

from crf import NORMALIZATIONS, Kernel, MeanField, grid_features, image_features, infer
from crf.cpu import simplex
from crf.cpu.lattice_updates import LatticeUpdates
from crf.cpu.self_messages import self_weights
from crf.threads import ThreadTeam

IMAGE = np.random.default_rng(0).integers(0, 60, (5, 6, 3))


def matrix_of(kernel, self_messages=True):
    """The N x N matrix of a kernel's lattice filter."""
    matrix = kernel.filter(np.eye(kernel.num_points)).astype(np.float64)
    if not self_messages:
        np.fill_diagonal(matrix, 0)
    return matrix


def unary_of(labels, points=30, scale=1.0):
    return (scale * np.random.default_rng(labels).random((points, labels))).astype(np.float32)


def compatibility_of(kind, labels):
    rng = np.random.default_rng(labels)
    return {"number": 1.5, "vector": rng.random(labels), "matrix": rng.random((labels, labels))}[
        kind
    ]


@pytest.mark.parametrize("labels", [1, 2, 7, 8, 9, 16, 17, 25, 33])
@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
def test_equals_matrices_for_any_number_of_labels(labels, kind):
    compatibility = compatibility_of(kind, labels)
    kernels = [
        Kernel(image_features(IMAGE, 3, 20), compatibility),
        Kernel(grid_features((5, 6), 2), 0.8, "after"),
        Kernel(grid_features((5, 6), (1, 3)), -0.3),
    ]
    terms = [(matrix_of(kernel), costs_of(kernel.compatibility, labels)) for kernel in kernels]
    unary = unary_of(labels, scale=3)
    result = infer(unary, kernels, 3, damping=0.25, energies=True, num_threads=2)
    wanted = mean_field(unary, terms, 3, damping=0.25)
    np.testing.assert_allclose(result.marginals, wanted, atol=2e-6)
    assert result.free_energies[-1] == pytest.approx(free_energy(wanted, unary, terms), abs=1e-3)


def test_kernels_of_equal_compatibilities_share_their_messages():
    vector, matrix = compatibility_of("vector", 9), compatibility_of("matrix", 9)
    features = grid_features((5, 6), 2), grid_features((5, 6), (1, 3))
    given = [1.5, vector, matrix, matrix.T, 0.5, vector.copy(), matrix.tolist()]
    kernels = [Kernel(features[k % 2], compatibility) for k, compatibility in enumerate(given)]
    updates = LatticeUpdates(unary_of(9), kernels)
    # In each of the four groups, the corners of all its kernels: three for each kernel.
    assert np.diff(updates._groups.bounds).tolist() == [6, 6, 6, 3]
    terms = [(matrix_of(kernel, False), costs_of(kernel.compatibility, 9)) for kernel in kernels]
    result = infer(unary_of(9), kernels, 2, self_messages=False)
    np.testing.assert_allclose(result.marginals, mean_field(unary_of(9), terms, 2), atol=3e-6)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
def test_leaves_out_messages_of_points_to_themselves(normalization, kind):
    kernels = [
        Kernel(image_features(IMAGE, 3, 20), compatibility_of(kind, 9), normalization),
        Kernel(grid_features((5, 6), 2), 0.8, normalization),
    ]
    terms = [(matrix_of(kernel, False), costs_of(kernel.compatibility, 9)) for kernel in kernels]
    result = infer(unary_of(9), kernels, 2, self_messages=False)
    np.testing.assert_allclose(result.marginals, mean_field(unary_of(9), terms, 2), atol=3e-6)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("spread", [0.05, 0.5, 3])
def test_self_weights_are_the_diagonal_of_the_filter(normalization, spread):
    # From points in a few simplices, with all their neighbors, to points far from each other.
    features = spread * np.random.default_rng(0).normal(size=(40, 3))
    kernel = Kernel(features, normalization=normalization)
    with ThreadTeam(3) as team:
        weights = self_weights(kernel.lattice(team), normalization, team)
    np.testing.assert_allclose(weights, np.diag(matrix_of(kernel)), rtol=1e-5)


def test_extreme_energies_stay_finite():
    unary = np.float32([[0, 1e30], [1e30, 0], [-1e30, 5], [2e5, 2e5 + 1]])
    kernel = Kernel([[0.0], [0.1], [0.2], [0.3]], 1e4, "none")
    first = MeanField(unary, []).marginals
    np.testing.assert_allclose(
        first, [[1, 0], [0, 1], [1, 0], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))]], atol=1e-6
    )
    result = infer(unary, [kernel], 5, energies=True)
    np.testing.assert_allclose(result.marginals.sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(result.free_energies).all()


@pytest.mark.parametrize("threads", [1, 2, 7, 50])
def test_the_number_of_threads_does_not_change_the_marginals(threads):
    kernels = [Kernel(image_features(IMAGE, 3, 20), 3)]
    one = infer(unary_of(5), kernels, num_threads=1).marginals
    np.testing.assert_array_equal(infer(unary_of(5), kernels, num_threads=threads).marginals, one)


def test_keys_too_large_for_64_bits_are_hashed(monkeypatch):
    features = np.random.default_rng(0).normal(size=(50, 3))
    exact = matrix_of(Kernel(features))
    monkeypatch.setattr(simplex, "_EXACT_KEYS", 100)  # only the first coordinate fits
    np.testing.assert_allclose(matrix_of(Kernel(features)), exact, atol=1e-6)


def test_eight_features_over_hundreds_of_standard_deviations():
    # The keys need about 90 bits. Each point is a pair with a close one, far from all others.
    centers = np.random.default_rng(0).uniform(0, 500, (20, 8))
    features = np.concatenate([centers, centers + 0.01])
    with ThreadTeam(2) as team:
        lattice = Kernel(features).lattice(team)
    assert 20 * 9 <= lattice.num_vertices <= 2 * 20 * 9
    matrix = matrix_of(Kernel(features))
    pairs = np.eye(20, k=0)
    assert ((matrix > 0.2) == np.tile(pairs, (2, 2)).astype(bool)).all()


def test_the_workspace_is_not_shared_between_models():
    kernels = [Kernel(grid_features((5, 6), 2), 2)]
    first, second = MeanField(unary_of(4), kernels), MeanField(unary_of(4, scale=5), kernels)
    expected = infer(unary_of(4), kernels, 2).marginals
    for _ in range(2):
        first.step()
        second.step()
    np.testing.assert_array_equal(first.marginals, expected)
