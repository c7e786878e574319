"""`crf.MeanField` and `crf.infer`: kernels of every kind against exact inference, and arguments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_crf import costs_of, gaussian_matrix, mean_field

from crf import (
    CRFParams,
    Kernel,
    MeanField,
    grid_features,
    image_features,
    image_kernels,
    infer,
    refine,
    unary_from_probabilities,
)

RNG = np.random.default_rng(0)
UNARY = RNG.random((6, 3)).astype(np.float32)
KERNELS = [Kernel(grid_features((2, 3), 2), 1.5)]


def blobs(shape, labels=3, seed=0):
    """Smooth energies (*shape, labels) with noise, and an image (*shape, 1) of their labels."""
    rng = np.random.default_rng(seed)
    features = grid_features(shape, 3)
    centers = features[rng.integers(len(features), size=labels)]
    energies = ((features[:, None] - centers) ** 2).sum(axis=2) + rng.normal(0, 1, (1, labels))
    truth = energies.argmin(axis=1)
    noisy = energies + rng.normal(0, 2, energies.shape)
    image = 40.0 * truth + rng.normal(0, 4, truth.shape)
    return noisy.reshape(*shape, labels), image.reshape(*shape, 1)


def agreement(unary, kernels, **options):
    """The share of points with the label of exact inference, and the mean |dQ|."""
    lattice = infer(unary, kernels, 5, **options).marginals
    exact = infer(unary, kernels, 5, engine="exact", **options).marginals
    same = (lattice.argmax(axis=-1) == exact.argmax(axis=-1)).mean()
    return same, np.abs(lattice - exact).mean()


@pytest.mark.parametrize(
    ("shape", "spacing"), [((300,), 1), ((20, 24), (1, 1.5)), ((8, 9, 10), (2.5, 1, 1))]
)
@pytest.mark.parametrize("compatibility", [2.0, [1.0, 2, 3], [[0, 1, 2], [1.5, 0, 1], [1, 1, 0]]])
def test_near_exact_for_every_rank_and_compatibility(shape, spacing, compatibility):
    unary, _ = blobs(shape)
    same, error = agreement(unary, [Kernel(grid_features(shape, 3, spacing), compatibility)])
    assert same > 0.97 and error < 0.02


@pytest.mark.parametrize("normalization", ["symmetric", "before", "after"])
def test_near_exact_for_every_normalization(normalization):
    unary, image = blobs((20, 24))
    features = image_features(image, (3, 4), 15)
    same, error = agreement(unary, [Kernel(features, 2, normalization)])
    assert same > 0.97 and error < 0.02


def test_near_exact_without_normalization_and_with_precision():
    unary, image = blobs((20, 24))
    features = np.concatenate([grid_features((20, 24), 1), image.reshape(-1, 1)], axis=1)
    precision = np.diag([1 / 9, 1 / 16, 1 / 200]) + 0.004
    kernels = [Kernel(features, 0.05, "none", precision)]
    assert agreement(unary, kernels)[0] > 0.97


@pytest.mark.parametrize("self_messages", [True, False])
@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_near_exact_with_every_option(self_messages, damping):
    unary, _ = blobs((20, 24))
    kernels = [Kernel(grid_features((20, 24), 2), 3)]
    same, error = agreement(unary, kernels, self_messages=self_messages, damping=damping)
    assert same > 0.97 and error < 0.02


def test_several_kernels_are_the_preset_of_the_papers():
    image = np.clip(RNG.normal(100, 40, (12, 14, 3)), 0, 255).astype(np.uint8)
    probabilities = RNG.dirichlet(np.ones(5), (12, 14)).astype(np.float32)
    for compatibility in (None, 2 * RNG.random((5, 5))):
        params = CRFParams(sigma_beta=20, iterations=4, compatibility=compatibility)
        result = infer(unary_from_probabilities(probabilities), image_kernels(image, params), 4)
        np.testing.assert_allclose(
            result.marginals, refine(probabilities, image, params), atol=1e-5
        )


@settings(max_examples=30)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    labels=st.integers(1, 10),
    dtype=st.sampled_from([np.int16, np.float16, np.float32, np.float64]),
    order=st.sampled_from(["C", "F"]),
    flat=st.booleans(),
)
def test_any_rank_type_and_memory_order(shape, labels, dtype, order, flat):
    rng = np.random.default_rng(0)
    unary = np.array(rng.integers(0, 4, (*shape, labels)), dtype, order=order)
    kernel = Kernel(grid_features(shape, 2), 1.5)
    given = unary.reshape(-1, labels) if flat else unary
    before = given.copy()
    marginals = infer(given, [kernel], 2, engine="exact").marginals
    terms = [(gaussian_matrix(kernel.features, "symmetric"), costs_of(1.5, labels))]
    wanted = mean_field(unary.reshape(-1, labels), terms, 2)
    assert marginals.shape == given.shape and marginals.dtype == np.float32
    np.testing.assert_allclose(marginals.reshape(-1, labels), wanted, atol=1e-6)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("engine", ["lattice", "exact"])
def test_steps_energies_and_marginals_of_a_model(engine):
    model = MeanField(UNARY, KERNELS, engine=engine)
    start = model.marginals
    np.testing.assert_allclose(start, np.exp(-UNARY) / np.exp(-UNARY).sum(1, keepdims=True), 1e-6)
    energies = [model.free_energy()]
    change = model.step()
    assert change == pytest.approx(((model.marginals - start) ** 2).sum() / 6, rel=1e-4)
    energies.append(model.free_energy())
    result = infer(UNARY, KERNELS, 1, engine=engine, energies=True)
    np.testing.assert_array_equal(result.marginals, model.marginals)
    assert result.free_energies == pytest.approx(energies) and energies[1] < energies[0]
    assert result.iterations == 1 and result.converged is None
    terms = model.energy_terms()
    assert model.kl_divergence() == pytest.approx(model.free_energy() + terms.pairwise / 2)
    model.marginals[:] = 0  # a copy
    assert model.marginals.sum() == pytest.approx(6)
    # Energies in between leave the steps as they are, also after marginals were set.
    model.marginals = start.reshape(6, 3)
    assert model.free_energy() == pytest.approx(energies[0])
    model.step()
    np.testing.assert_array_equal(result.marginals, model.marginals)
    assert model.free_energy() == pytest.approx(energies[1])


@pytest.mark.parametrize("engine", ["lattice", "exact"])
def test_no_kernels_give_the_softmax(engine):
    result = infer(UNARY, [], 3, engine=engine, energies=True)
    expected = np.exp(-UNARY) / np.exp(-UNARY).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.marginals, expected, rtol=1e-6)
    # Then the free energy is -log Z exactly.
    wanted = -np.log(np.exp(-UNARY).sum(axis=1)).sum()
    assert result.free_energies == pytest.approx([wanted] * 4, rel=1e-5)
    assert infer(UNARY, [], 0).iterations == 0


def test_stops_when_it_has_converged():
    unary, _ = blobs((12, 12))
    kernels = [Kernel(grid_features((12, 12), 2), 2)]
    result = infer(unary, kernels, 200, tolerance=1e-6)
    assert result.converged and 3 < result.iterations < 200
    assert len(result.free_energies) == result.iterations + 1
    more = infer(unary, kernels, result.iterations + 20).marginals
    assert np.abs(more - result.marginals).max() < 0.01


def test_an_oscillation_is_no_convergence_and_damping_ends_it():
    # Two points that are to differ, and start alike: both jump from one label to the other. The
    # energies before and after a jump are equal.
    unary = np.float32([[0, 0.5], [0, 0.5]])
    kernels = [Kernel([[0.0], [0.0]], -6, "none")]
    warned = r"^infer: not converged after 40 iterations: .* damping=0\.5"
    with pytest.warns(UserWarning, match=warned) as caught:
        result = infer(unary, kernels, 40, tolerance=1e-4, self_messages=False)
    assert not result.converged and caught[0].filename == __file__
    damped = infer(unary, kernels, 200, tolerance=1e-6, self_messages=False, damping=0.7)
    assert damped.converged


def test_a_single_kernel_needs_no_list():
    np.testing.assert_array_equal(
        infer(UNARY, KERNELS[0], 2).marginals, infer(UNARY, KERNELS, 2).marginals
    )


@pytest.mark.parametrize(
    ("unary", "kernels", "options", "message"),
    [
        (np.ones(4), [], {}, "MeanField: unary must be (N, C), the energies of C labels"),
        (np.ones((0, 3)), [], {}, "but is (0, 3)"),
        (UNARY * np.nan, [], {}, "take -np.log(np.maximum(probabilities, 1e-5))"),
        (UNARY.astype(complex), [], {}, "unary must be numbers, not complex128"),
        ([[1], [1, 2]], [], {}, "unary must be an array of numbers"),
        (UNARY[:4], KERNELS, {}, "kernel 0 has 6 points, but the unary energies 4"),
        (UNARY, [3], {}, "kernels must be a list of Kernel, not of 3"),
        (UNARY, 3, {}, "kernels must be a list of Kernel, not 3"),
        (
            UNARY,
            [*KERNELS, Kernel(np.ones((6, 1)), np.eye(2))],
            {},
            "the compatibility of kernel 1 is for 2 labels, but the unary energies are for 3",
        ),
        (UNARY, [], {"engine": "fast"}, "unknown engine 'fast'; available: lattice, exact"),
        (UNARY, [], {"engine": ["exact"]}, "unknown engine ['exact']; available"),
        (UNARY, [], {"damping": None}, "damping must be from 0 to below 1, not None"),
        (UNARY, [], {"damping": True}, "damping must be from 0 to below 1, not True"),
        (UNARY, [], {"damping": 1}, "damping must be from 0 to below 1, not 1"),
        (UNARY, [], {"damping": "no"}, "damping must be from 0 to below 1"),
        (UNARY, [], {"num_threads": 0}, "MeanField: num_threads must be a whole number"),
        (UNARY, [], {"iterations": -1}, "infer: iterations must be a whole number of at least 0"),
        (UNARY, [], {"iterations": True}, "infer: iterations must be"),
        (UNARY, [], {"iterations": 2.5}, "must be a whole number of at least 0, not 2.5"),
        (UNARY, [], {"tolerance": -1}, "infer: tolerance must be a number of at least 0, not -1"),
        (UNARY, [], {"tolerance": np.nan}, "infer: tolerance must be"),
        (UNARY, [], {"tolerance": "x"}, "infer: tolerance must be a number of at least 0, not 'x'"),
        (UNARY, [], {"tolerance": True}, "infer: tolerance must be a number of at least 0, not T"),
        (UNARY, [], {"energies": "no"}, "infer: energies must be True or False, not 'no'"),
        (UNARY, [], {"self_messages": "no"}, "self_messages must be True or False, not 'no'"),
        (UNARY, [], {"self_messages": 0}, "MeanField: self_messages must be True or False, not 0"),
    ],
)
def test_bad_arguments_are_one_line(unary, kernels, options, message):
    with pytest.raises(ValueError, match=r"^(MeanField|infer): ") as error:
        infer(unary, kernels, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("marginals", "message"),
    [
        (np.ones((3, 6)), "must be (6, 3) as the unary energies"),
        (UNARY * np.inf, "NaN or infinite"),
        (np.ones((6, 3)) / 3 - [1, -1, 0], "must not be negative, the smallest is -0.666667"),
        (np.ones((6, 3)), "must sum to one over the last axis, one pixel's sum is 3; scores"),
        (np.zeros((6, 3)), "must sum to one over the last axis, one pixel's sum is 0; "),
        ([["a"] * 3] * 6, "must be numbers, not <U1"),
        ([[1, 2], [3]], "must be an array of numbers"),
    ],
)
def test_bad_marginals_are_one_line(marginals, message):
    model = MeanField(UNARY, KERNELS)
    with pytest.raises(ValueError, match=r"^MeanField: marginals ") as error:
        model.marginals = marginals
    assert message in str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_marginals_with_their_rounding_errors_can_be_set(dtype):
    given = np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(dtype)
    model = MeanField(UNARY, KERNELS)
    model.marginals = given
    np.testing.assert_array_equal(model.marginals, given.astype(np.float32))


def test_a_switch_of_numpy():
    wanted = infer(UNARY, KERNELS, 2, self_messages=False).marginals
    found = infer(UNARY, KERNELS, 2, self_messages=np.False_, energies=np.True_).marginals
    np.testing.assert_array_equal(found, wanted)


def test_too_little_memory_is_told(monkeypatch):
    kernels = [Kernel(grid_features((2, 3), 2))]
    monkeypatch.setattr("crf.memory.available_memory", lambda: 100)
    with pytest.raises(ValueError, match=r"crf: the lattices take .* of memory are available"):
        infer(UNARY, kernels)
