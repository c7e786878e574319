"""Exact inference in NumPy, and the free energy, by hand and against the TensorFlow engine."""

import numpy as np
import pytest
import tensorflow as tf
from matrix_crf import costs_of, free_energy, gaussian_matrix, mean_field

from crf import NORMALIZATIONS, CRFParams, Kernel, image_kernels, infer
from crf.energy import EnergyTerms
from crf.exact import ExactFilter as TensorFilter
from crf.exact_inference import _BLOCK, ExactFilter, ExactUpdates
from crf.mean_field import mean_field as tensor_mean_field

RNG = np.random.default_rng(0)


def test_one_update_of_two_points_by_hand():
    # One unit apart, so k = exp(-1/2) between them and 1 at a point itself; Potts weight 2.
    unary = np.float32([[0, 1], [3, 0]])
    model = ExactUpdates(unary, [Kernel([[0.0], [1.0]], 2, "none")])
    before = model.initial()
    np.testing.assert_allclose(before[0], np.array([1, np.exp(-1)]) / (1 + np.exp(-1)), rtol=1e-6)
    after = before.copy()
    change = model.update(after, damping=0)
    k = np.exp(-0.5)
    logits = -unary + 2 * (before + k * before[::-1])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after, expected, rtol=1e-6)
    assert change == pytest.approx(((expected - before) ** 2).sum(), rel=1e-5)


def test_energy_terms_by_hand():
    marginals = np.float32([[0.5, 0.5], [1, 0]])
    model = ExactUpdates(np.float32([[1, 3], [2, 9]]), [Kernel([[0.0], [1.0]], 2, "none")])
    terms = model.energy_terms(marginals)
    k = np.exp(-0.5)
    # Equal labels gain the weight: 0.25 + 0.25 at point 0, 1 at point 1, 0.5 for the pair twice.
    assert terms.negative_entropy == pytest.approx(np.log(0.5))
    assert terms.unary == pytest.approx(0.5 * 1 + 0.5 * 3 + 2)
    assert terms.pairwise == pytest.approx(-2 * (0.5 + 1 + 2 * k * 0.5))
    assert EnergyTerms(1.0, 2.0, 8.0).free_energy == 7 and EnergyTerms(1.0, 2.0, 8.0)[2] == 8
    assert EnergyTerms(1.0, 2.0, 8.0).kl_divergence == 11


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("self_messages", [True, False])
def test_the_filter_equals_the_matrix(normalization, self_messages):
    features = RNG.normal(size=(_BLOCK + 5, 2))
    values = RNG.random((_BLOCK + 5, 3))
    filtered = ExactFilter(Kernel(features, 1, normalization), self_messages)(values)
    matrix = gaussian_matrix(np.float32(features), normalization)
    if not self_messages:
        np.fill_diagonal(matrix, 0)
    np.testing.assert_allclose(filtered, matrix @ values, rtol=1e-6)


@pytest.mark.parametrize(
    "compatibility", [1.5, -0.5, [1, 2, 0.5], [[0, 2, 1], [0.5, 0, 1], [3, 1, -1]]]
)
def test_every_compatibility_and_damping(compatibility):
    features, unary = RNG.normal(size=(9, 2)), RNG.random((9, 3)).astype(np.float32)
    kernels = [Kernel(features, compatibility), Kernel(2 * features, 0.7, "none")]
    terms = [
        (gaussian_matrix(kernels[0].features, "symmetric"), costs_of(compatibility, 3)),
        (gaussian_matrix(kernels[1].features), costs_of(0.7, 3)),
    ]
    result = infer(unary, kernels, 3, engine="exact", damping=0.3, energies=True)
    wanted = mean_field(unary, terms, 3, damping=0.3)
    np.testing.assert_allclose(result.marginals, wanted, atol=1e-6)
    assert result.free_energies[-1] == pytest.approx(free_energy(wanted, unary, terms), abs=1e-4)


def test_equals_the_tensorflow_engine_on_an_image():
    image = RNG.integers(0, 256, (7, 8, 3)).astype(np.uint8)
    probabilities = RNG.dirichlet(np.ones(4), (7, 8))
    params = CRFParams(sigma_beta=60, sigma_alpha=5, iterations=4)
    expected = tensor_mean_field(
        tf.constant(probabilities, tf.float64), tf.constant(image), params, TensorFilter
    )
    kernels = image_kernels(image, params)
    result = infer(-np.log(np.maximum(probabilities, 1e-5)), kernels, 4, engine="exact")
    np.testing.assert_allclose(result.marginals, expected, atol=1e-6)
