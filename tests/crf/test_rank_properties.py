"""Points of any rank and number of features that do exchange messages, against N x N matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_crf import costs_of, gaussian_matrix, lattice_matrix, mean_field

from crf import NORMALIZATIONS, Kernel, grid_features, image_features, infer


@st.composite
def kernels(draw, most_channels):
    """A `Kernel` over a grid of rank 1 to 4, of positions alone or with channels."""
    shape = draw(st.lists(st.integers(2, 4), min_size=1, max_size=4))
    sigmas = draw(st.tuples(*[st.sampled_from([0.9, 1.5, 4.0])] * len(shape)))
    channels, seed = draw(st.integers(0, most_channels)), draw(st.integers(0, 99))
    compatibility = draw(st.sampled_from([1.5, [1.0, 2, 0.5], [[0, 2, 1], [1, 0, 1], [3, 1, 0]]]))
    features = grid_features(shape, sigmas)
    if channels:
        image = np.random.default_rng(seed).normal(0, 1, (*shape, channels))
        features = image_features(image, sigmas, draw(st.sampled_from([2.5, 5.0])))
    return Kernel(features, compatibility, draw(st.sampled_from(NORMALIZATIONS)))


def check_filter(kernel):
    """Compare the kernel's filter of unit vectors with two matrices."""
    size, name = kernel.num_points, kernel.normalization
    exact = gaussian_matrix(kernel.features, name)
    # The points do exchange messages: a part of each row sum is that of other points.
    assert (np.diag(exact) < 0.9 * exact.sum(axis=1)).all()
    found = kernel.filter(np.eye(size), num_threads=2)
    np.testing.assert_allclose(found, lattice_matrix(kernel.features, name), atol=1e-5)
    # A lattice approximates the Gaussian, less well where few points surround each other in many
    # dimensions; what it loses at the border, normalization gives back.
    limit = 0.3 if name != "none" and kernel.features.shape[1] <= 5 else 0.7
    assert np.abs(found - exact).sum() < limit * exact.sum()


def check_engines(kernel):
    """Compare two updates of both engines with those by matrices."""
    unary = np.random.default_rng(kernel.num_points).random((kernel.num_points, 3))
    # Without normalization the row sums are well above one.
    scale = 1 / gaussian_matrix(kernel.features, kernel.normalization).sum(axis=1).max()
    compatibility = scale * np.asarray(kernel.compatibility)
    kernel = Kernel(kernel.features, compatibility, kernel.normalization)
    matrices = {"exact": gaussian_matrix, "lattice": lattice_matrix}
    for engine, matrix_of in matrices.items():
        terms = [(matrix_of(kernel.features, kernel.normalization), costs_of(compatibility, 3))]
        found = infer(unary, kernel, 2, engine=engine).marginals
        np.testing.assert_allclose(found, mean_field(unary, terms, 2), atol=1e-5)


@settings(max_examples=15)
@given(kernel=kernels(most_channels=1))
def test_the_filter_of_any_rank_is_that_of_its_matrix(kernel):
    check_filter(kernel)


@settings(max_examples=10)
@given(kernel=kernels(most_channels=1))
def test_both_engines_infer_by_their_matrices_for_any_rank(kernel):
    check_engines(kernel)


@pytest.mark.slow
@settings(max_examples=200)
@given(kernel=kernels(most_channels=4))
def test_many_kernels_of_any_rank_and_number_of_channels(kernel):
    check_filter(kernel)
    check_engines(kernel)
