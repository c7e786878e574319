"""`crf.Kernel`: its arguments, and the filter of its lattice."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_crf import gaussian_matrix, lattice_matrix

from crf import NORMALIZATIONS, Kernel, grid_features
from crf.lattice import lattice_filter

RNG = np.random.default_rng(0)


def points(n, d, spread=1.0):
    return (spread * np.random.default_rng(n + d).normal(size=(n, d))).astype(np.float32)


def kernel_of(kernel):
    """The kernel's values between all its points, without normalization, from its features."""
    return gaussian_matrix(kernel.features)


def test_features_of_points_on_a_grid_are_rows():
    kernel = Kernel(np.arange(12).reshape(2, 3, 2))
    assert kernel.features.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert kernel.num_points == 6 and kernel.features.dtype == np.float32


@settings(max_examples=20)
@given(
    n=st.integers(1, 9),
    d=st.sampled_from([1, 3]),
    columns=st.integers(0, 9),
    dtype=st.sampled_from([np.int16, np.float16, np.float32, np.float64]),
    order=st.sampled_from("CF"),
)
def test_a_filter_of_values_of_any_shape_type_and_memory_order(n, d, columns, dtype, order):
    rng = np.random.default_rng(0)
    kernel = Kernel(np.array(rng.integers(0, 3, (n, d)), dtype, order=order))
    values = rng.integers(0, 9, (n, columns) if columns else n)
    filtered = kernel.filter(np.array(values, dtype, order=order))
    assert filtered.shape == values.shape and filtered.dtype == np.float32
    same = Kernel(kernel.features).filter(values.astype(np.float32), num_threads=1)
    np.testing.assert_array_equal(filtered, same)


def test_the_arguments_stay_as_they_are():
    features, costs = np.ones((3, 2), np.float32), np.eye(2, dtype=np.float32)
    kernel = Kernel(features, costs)
    features[:], costs[:] = 7, 7
    np.testing.assert_array_equal(kernel.features, np.ones((3, 2)))
    np.testing.assert_array_equal(kernel.compatibility, np.eye(2))


@pytest.mark.parametrize(
    "precision",
    [
        [2.0, 0.5, 0.0],
        [[2, 0.5, 0], [0.5, 1, -0.3], [0, -0.3, 3]],
        np.outer([1, 2, 3], [1, 2, 3]),  # one direction only: zero eigenvalues
        np.zeros(3),
    ],
)
def test_a_precision_measures_distances(precision):
    features = points(7, 3)
    kernel = Kernel(features, precision=precision)
    expected = gaussian_matrix(features, precision=np.array(precision, np.float64))
    np.testing.assert_allclose(kernel_of(kernel), expected, atol=1e-6)


def test_a_precision_of_one_direction_needs_one_feature():
    assert Kernel(points(7, 3), precision=np.outer([1, 2, 3], [1, 2, 3])).features.shape == (7, 1)


def test_a_diagonal_precision_is_the_inverse_variance():
    positions = grid_features((4, 5), sigma=1)
    kernel = Kernel(positions, precision=[1 / 3**2, 1 / 2**2])  # x, y
    np.testing.assert_allclose(kernel.features, grid_features((4, 5), sigma=(2, 3)), rtol=1e-6)


def test_points_far_from_zero_keep_their_distances():
    # Map coordinates in meters: float32 would round them to half a meter.
    near = np.array([[0.0, 0.0], [0.25, 0.5], [3.0, 1.0]])
    kernel = Kernel(near + np.array([500_000.0, 4_600_000.0]))
    np.testing.assert_allclose(kernel_of(kernel), gaussian_matrix(near), rtol=1e-6)


@pytest.mark.parametrize("d", [1, 3, 8])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_filter_equals_the_tensorflow_lattice(d, normalization):
    features, values = points(60, d, spread=0.7), RNG.random((60, 3)).astype(np.float32)
    run = lattice_filter(tf.constant(features, tf.float64))
    matrix = run(tf.eye(60, dtype=tf.float64)).numpy()
    sums = matrix.sum(axis=1)
    after = {"after": sums, "symmetric": np.sqrt(sums)}.get(normalization, np.ones(60))
    before = {"before": sums, "symmetric": np.sqrt(sums)}.get(normalization, np.ones(60))
    filtered = Kernel(features, normalization=normalization).filter(values)
    np.testing.assert_allclose(
        filtered, (matrix @ (values / before[:, None])) / after[:, None], 1e-4
    )


@pytest.mark.slow  # the kernel for this many features takes seconds to compile
def test_fourteen_features_are_the_most():
    features = points(30, 14, spread=0.3)
    found = Kernel(features, normalization="none").filter(np.eye(30))
    np.testing.assert_allclose(found, lattice_matrix(features), atol=1e-5)
    # The points do exchange messages.
    assert found.sum() > 1.5 * np.trace(found)


def test_the_filter_is_nearer_to_its_own_gaussian_than_to_others():
    # Away from the border, where the lattice ends too.
    values, errors = np.sin(np.arange(900) / 97), {}
    filtered = Kernel(grid_features((30, 30), sigma=4), normalization="after").filter(values)
    for sigma in (3.2, 4, 5):
        matrix = gaussian_matrix(grid_features((30, 30), sigma), "after")
        error = np.abs(filtered - matrix @ values).reshape(30, 30)
        errors[sigma] = error[6:24, 6:24].mean()
    assert errors[4] < 0.5 * min(errors[3.2], errors[5])


def test_an_average_of_a_constant_is_the_constant():
    kernel = Kernel(grid_features((9, 7), 2), normalization="after")
    np.testing.assert_allclose(kernel.filter(np.full(63, 5.0), num_threads=1), 5, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 8, 9, 33])
def test_the_filter_takes_any_number_of_columns(size):
    kernel, values = Kernel(grid_features((5, 6), 1)), RNG.random((30, size))
    each = [kernel.filter(column) for column in values.T]
    np.testing.assert_allclose(kernel.filter(values), np.stack(each, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(4),), "one row for each point, but are (4,); for a single feature"),
        ((np.ones((0, 2)),), "there are no features: their shape is (0, 2)"),
        ((np.ones((5, 300)),), "d of at most 14, but are (5, 300); transpose them"),
        ((np.ones((16, 15)),), "d of at most 14, but are (16, 15)"),
        (([[1.0, np.nan]],), "NaN or infinite values; check them, and that no standard deviation"),
        (([[1.0, np.inf]],), "NaN or infinite"),
        (([[1e39, 1]],), "NaN or infinite"),
        ((np.ones((3, 2), complex),), "features must be numbers, not complex128"),
        (([["a", "b"]],), "features must be numbers"),
        (([[1, 2], [3]],), "features must be an array of numbers"),
        ((np.ones((3, 2)), np.ones((2, 3))), "a number, C numbers, or C rows of C numbers, but"),
        ((np.ones((3, 2)), np.ones((2, 2, 2))), "its shape is (2, 2, 2)"),
        ((np.ones((3, 2)), np.nan), "compatibility holds NaN or infinite"),
        ((np.ones((3, 2)), [1, np.inf]), "compatibility holds NaN or infinite"),
        ((np.ones((3, 2)), None), "compatibility must be"),
        ((np.ones((3, 2)), 1, "rows"), "available: none, before, after, symmetric"),
        ((np.ones((3, 2)), 1, "none", [1.0]), "must be (2,) or (2, 2) for 2 features, but is (1,)"),
        ((np.ones((3, 2)), 1, "none", [1, -2]), "at least 0, but its smallest value is -2"),
        ((np.ones((3, 2)), 1, "none", [[1, 2], [0, 1]]), "symmetric; give (P + P.T) / 2"),
        ((np.ones((3, 2)), 1, "none", [[1, 2], [2, 1]]), "eigenvalues, and one above 0, but"),
        (
            (np.ones((3, 2)), 1, "none", [np.nan, 1]),
            "precision holds NaN or infinite values; check what computed it",
        ),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=r"^Kernel: ") as error:
        Kernel(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(5), "must be (6,) or (6, C), but are (5,)"),
        (np.ones((2, 3, 1)), "must be (6,) or (6, C), but are (2, 3, 1)"),
        (np.full(6, np.nan), "are NaN or infinite"),
    ],
)
def test_bad_values_to_filter_are_one_line(values, message):
    with pytest.raises(ValueError, match=r"^Kernel\.filter: values") as error:
        Kernel(grid_features((2, 3), 1)).filter(values)
    assert message in str(error.value)


def test_features_that_spread_too_far_name_the_feature():
    with pytest.raises(ValueError, match="too far for the lattice: feature 1 over 1e"):
        Kernel([[0, 0], [0, 1e7]]).filter(np.ones(2))


def test_repr_says_what_it_is():
    assert (
        repr(Kernel(np.ones((3, 2)), 1.5)) == "Kernel(3 points, 2 features, weight 1.5, symmetric)"
    )
    assert "2-d compatibility" in repr(Kernel(np.ones((3, 2)), np.eye(4)))
