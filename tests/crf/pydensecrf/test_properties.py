"""Properties of the drop-in for shapes, types, memory orders and label counts that are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_crf import costs_of, gaussian_matrix, lattice_matrix, mean_field

import crf.pydensecrf.densecrf as dcrf
from crf.pydensecrf import utils

# What no argument accepts: neither numbers nor, where those are wanted, arrays.
NONSENSE = [None, "3", b"3", 1j, np.nan, [[1, 2], [3]], {}, object()]


def arranged(array, order):
    """The same values in another order of memory."""
    if order == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return np.array(array, order=order)


def compatibility(kind, labels):
    """What is given to the drop-in, and the costs (C, C) that it means."""
    rng = np.random.default_rng(labels)
    if kind == "number":
        return 2.5, costs_of(2.5, labels)
    if kind == "vector":
        costs = -rng.random(labels, np.float32)
        return costs, costs_of(-costs, labels)
    costs = rng.random((labels, labels), np.float32)
    return costs, (costs + costs.T) / 2


def check_grid(shape, sigma, offset, labels, kind, order, locked, iterations):
    """Compare a model on a grid with sums over all pairs of points."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(labels), shape)
    probabilities = np.moveaxis(probabilities, -1, 0).astype(np.float32)
    unary = arranged(utils.unary_from_softmax(arranged(probabilities, order)), order)
    # With an offset, the points that fill the last block of four are apart from the grid.
    features = utils.create_pairwise_gaussian([sigma] * len(shape), shape) + np.float32(offset)
    given_compat, costs = compatibility(kind, labels)
    arrays = [unary, arranged(features, order), np.asarray(given_compat)]
    before = [array.copy() for array in arrays]
    for array in arrays[:2]:
        array.flags.writeable = not locked
    model = dcrf.DenseCRF(unary.shape[1], labels, num_threads=1)
    model.setUnaryEnergy(unary)
    model.addPairwiseEnergy(arrays[1], given_compat)
    found = model.inference(iterations)
    wanted = mean_field(unary.T, [(matrix_of(features.T, sigma), costs)], iterations).T
    assert found.shape == (labels, np.prod(shape)) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_array_equal(model.map(iterations), found.argmax(axis=0))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def matrix_of(features, sigma):
    """The kernel of all pairs of points, as the lattice approximates it."""
    if sigma == NARROW:
        return np.eye(len(features))
    matrix = lattice_matrix(features, "symmetric", filling=-len(features) % 4)
    exact = gaussian_matrix(features, "symmetric")
    assert np.abs(matrix - exact).sum() < 0.3 * exact.sum()
    return matrix


# Far narrower than a grid step: each point hears only itself.
NARROW = 1e-2


def drawn(least_rank, greatest_rank):
    """Arguments of `check_grid`; each rank has compiled kernels of its own."""
    sizes = st.lists(st.integers(1, 6), min_size=least_rank, max_size=greatest_rank)
    sigmas = st.sampled_from([NARROW, 0.8, 2.0])
    return given(shape=sizes.map(at_most_400_points), sigma=sigmas, **CASES)


def at_most_400_points(sizes):
    """The sizes of a grid, as a tuple, limited so that all pairs of its points fit a matrix."""
    return tuple(min(size, int(400 ** (1 / len(sizes)))) for size in sizes)


CASES = dict(
    offset=st.sampled_from([0.0, 0.7]),
    labels=st.sampled_from([1, 2, 3, 8, 9, 21, 40]),
    kind=st.sampled_from(["number", "vector", "matrix"]),
    order=st.sampled_from(["C", "F", "strided"]),
    locked=st.booleans(),
    iterations=st.integers(0, 3),
)


@settings(max_examples=12)
@drawn(1, 4)
def test_any_grid_memory_order_and_compatibility(**case):
    check_grid(**case)


@pytest.mark.slow
@settings(max_examples=300)
@drawn(1, 5)
def test_many_grids_memory_orders_and_compatibilities(**case):
    check_grid(**case)


@settings(max_examples=8)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    labels=st.integers(1, 9),
    sigmas=st.tuples(*[st.floats(0.5, 30)] * 2, *[st.floats(5, 60)] * 3),
    order=st.sampled_from(["C", "F", "strided"]),
)
def test_the_functions_for_images_equal_their_features(size, labels, sigmas, order):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    unary = rng.random((labels, size[0] * size[1]), np.float32)
    model = dcrf.DenseCRF2D(size[1], size[0], labels)
    model.setUnaryEnergy(unary)
    model.addPairwiseBilateral(sigmas[:2], sigmas[2:], arranged(image, order), compat=3)
    general = dcrf.DenseCRF2D(size[1], size[0], labels)
    general.setUnaryEnergy(unary)
    rows, columns = np.indices(size, np.float32).reshape(2, -1)
    features = np.stack([columns, rows, *image.reshape(-1, 3).T.astype(np.float32)])
    features /= np.float32(sigmas)[:, None]
    general.addPairwiseEnergy(features, compat=3)
    found = model.inference(3)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(found, general.inference(3), atol=2e-4)


@pytest.mark.parametrize("bad", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda bad: utils.unary_from_labels([0, 1], 2, bad), "gt_prob"),
        (lambda bad: utils.unary_from_labels(bad, 2, 0.7), "labels"),
        (lambda bad: utils.unary_from_labels([0, 1], bad, 0.7), "n_labels"),
        (lambda bad: utils.unary_from_softmax(bad), "sm"),
        (lambda bad: utils.unary_from_softmax(np.ones((2, 3)), scale=bad), "scale"),
        (lambda bad: utils.unary_from_softmax(np.ones((2, 3)), clip=bad), "clip"),
        (lambda bad: utils.create_pairwise_gaussian(bad, (2, 3)), "sdims"),
        (lambda bad: utils.create_pairwise_gaussian((1, 1), bad), "shape"),
        (lambda bad: utils.create_pairwise_bilateral((1, 1), bad, np.ones((2, 3))), "schan"),
        (lambda bad: utils.create_pairwise_bilateral((1, 1), 1, np.ones((2, 3)), bad), "chdim"),
        (lambda bad: dcrf.DenseCRF2D(bad, 3, 2), "w"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).addPairwiseGaussian(bad, 1), "sxy"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).addPairwiseGaussian(1, bad), "compat"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).addPairwiseGaussian(1, 1, bad), "kernel"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).addPairwiseGaussian(1, 1, 0, bad), "normalization"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).setUnaryEnergy(bad), "u"),
        (lambda bad: dcrf.DenseCRF2D(2, 3, 2).inference(bad), "niter"),
    ],
)
def test_nonsense_is_one_line_that_names_the_argument(call, name, bad):
    if bad is None and name in ("scale", "clip"):
        pytest.skip("None is a choice here")
    if name == "shape" and isinstance(bad, bytes | dict):
        pytest.skip("a sequence of whole numbers, but of the wrong number")
    with pytest.raises((TypeError, ValueError), match=rf"^pydensecrf: .*\b{name}\b") as error:
        call(bad)
    assert "\n" not in str(error.value)
