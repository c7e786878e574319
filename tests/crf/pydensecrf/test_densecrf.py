import numpy as np
import pytest

import crf.pydensecrf.densecrf as dcrf
from crf.pydensecrf import utils

UNARY = np.array([[0.0, 1.0, 2.0], [1.5, 0.2, 0.1]], np.float32)  # 2 labels, 3 points


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def one_place(compat, unary=UNARY, **options):
    """A model whose points all have the same features, so that every message is the mean."""
    model = dcrf.DenseCRF(unary.shape[1], len(unary))
    model.setUnaryEnergy(unary)
    model.addPairwiseEnergy(np.ones((2, unary.shape[1]), np.float32), compat, **options)
    return model


def scene(width=7, height=6, labels=3, seed=0):
    """Unary energies (C, H W) and an image (H, W, 3)."""
    rng = np.random.default_rng(seed)
    unary = rng.uniform(0, 3, (labels, height * width)).astype(np.float32)
    image = np.full((height, width, 3), 90, np.uint8)
    image[2:, 3:] = 160, 120, 80
    return unary, image + rng.integers(0, 9, image.shape, dtype=np.uint8)


def test_without_iterations_q_is_the_softmax():
    marginals = one_place(2).inference(0)
    np.testing.assert_allclose(marginals, softmax(-UNARY), rtol=1e-6)
    assert isinstance(marginals, np.ndarray) and marginals.dtype == np.float32


def test_potts_by_hand():
    mean = softmax(-UNARY).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(one_place(2).inference(1), softmax(-UNARY + 2 * mean), rtol=1e-5)


def test_a_vector_is_the_cost_of_each_label_next_to_itself():
    costs = np.array([-3, 1], np.float32)
    mean = softmax(-UNARY).mean(axis=1, keepdims=True)
    wanted = softmax(-UNARY - costs[:, None] * mean)
    np.testing.assert_allclose(one_place(costs).inference(1), wanted, rtol=1e-5)


def test_a_matrix_is_symmetrized():
    costs = np.array([[0.5, 4], [1, -1]], np.float32)
    mean = softmax(-UNARY).mean(axis=1, keepdims=True)
    wanted = softmax(-UNARY - np.array([[0.5, 2.5], [2.5, -1]]) @ mean)
    np.testing.assert_allclose(one_place(costs).inference(1), wanted, rtol=1e-5)
    np.testing.assert_array_equal(
        one_place(np.ascontiguousarray(costs.T)).inference(3), one_place(costs).inference(3)
    )


def test_a_number_is_the_vector_and_the_matrix_with_its_negative():
    unary, image = scene()
    results = []
    for compat in (2, np.float32(2), np.full(3, -2, np.float32), -2 * np.eye(3, dtype=np.float32)):
        model = dcrf.DenseCRF2D(7, 6, 3)
        model.setUnaryEnergy(unary)
        model.addPairwiseBilateral(3, 20, image, compat)
        results.append(model.inference(4))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-6)


def test_points_apart_hear_only_themselves():
    model = dcrf.DenseCRF(3, 2)
    model.setUnaryEnergy(UNARY)
    model.addPairwiseEnergy(np.array([[0, 50, 100]], np.float32), compat=1.5)
    start = softmax(-UNARY)
    np.testing.assert_allclose(model.inference(1), softmax(-UNARY + 1.5 * start), rtol=1e-5)


def test_several_kernels_add_up():
    model = one_place(2)
    model.addPairwiseEnergy(np.array([[0, 50, 100]], np.float32), compat=1.5)
    start = softmax(-UNARY)
    wanted = softmax(-UNARY + 2 * start.mean(axis=1, keepdims=True) + 1.5 * start)
    np.testing.assert_allclose(model.inference(1), wanted, rtol=1e-5)


def test_without_normalization_messages_are_sums():
    # Two points at one place and one apart: only the pair's messages double.
    scores = []
    for normalization in dcrf.NormalizationType:
        model = dcrf.DenseCRF(3, 2)
        model.setUnaryEnergy(UNARY)
        features = np.array([[0, 0, 60]], np.float32)
        model.addPairwiseEnergy(features, compat=1, normalization=normalization)
        messages = np.log(model.inference(1)) + UNARY  # up to a constant for each point
        scores.append(messages[0] - messages[1])
    start = softmax(-UNARY)
    pair, single = start[:, :2].mean(axis=1), start[:, 2]
    wanted = [pair[0] - pair[1]] * 2 + [single[0] - single[1]]
    for found in scores[1:]:
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    # The lattice takes back 0.6 to 1 of what a point alone puts in.
    factors = scores[dcrf.NO_NORMALIZATION] / wanted
    assert 0.6 < factors[2] < 1 and 1.2 < factors[0] < 2


@pytest.mark.parametrize("kernel", list(dcrf.KernelType))
def test_the_kernel_type_does_not_change_inference(kernel):
    np.testing.assert_array_equal(
        one_place(2, kernel=kernel).inference(2), one_place(2).inference(2)
    )


def test_constants_are_those_of_the_binding():
    assert (dcrf.CONST_KERNEL, dcrf.DIAG_KERNEL, dcrf.FULL_KERNEL) == (0, 1, 2)
    kinds = dcrf.NO_NORMALIZATION, dcrf.NORMALIZE_BEFORE, dcrf.NORMALIZE_AFTER
    assert (*kinds, dcrf.NORMALIZE_SYMMETRIC) == (0, 1, 2, 3)
    np.testing.assert_array_equal(
        one_place(2, normalization=2).inference(1),
        one_place(2, normalization=dcrf.NORMALIZE_AFTER).inference(1),
    )


def test_steps_are_in_place_and_equal_inference():
    model = one_place(2)
    marginals, first, second = model.startInference()
    held = marginals
    for _ in range(4):
        assert model.stepInference(marginals, first, second) is None
    assert held is marginals
    np.testing.assert_array_equal(marginals, model.inference(4))
    np.testing.assert_allclose(model.inference(0), softmax(-UNARY), rtol=1e-6)


def test_a_step_starts_from_the_given_marginals():
    model, given = one_place(2), np.array([[1, 1, 0.4], [0, 0, 0.6]], np.float32)
    model.stepInference(given, None, None)
    np.testing.assert_allclose(given, softmax(-UNARY + 2 * np.array([[0.8], [0.2]])), rtol=1e-5)


def test_divergence_by_hand():
    marginals = np.array([[1, 0.5, 0.4], [0, 0.5, 0.6]], np.float32)
    mean = marginals.mean(axis=1)
    logs = np.log(np.where(marginals > 0, marginals, 1))
    wanted = (marginals * logs + marginals * UNARY).sum() - 2 * 3 * (mean**2).sum()
    before = marginals.copy()
    assert one_place(2).klDivergence(marginals) == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_array_equal(marginals, before)
    costs = np.array([[0, 4], [1, 0]], np.float32)
    wanted += 2 * 3 * (mean**2).sum() + 3 * mean @ [[0, 2.5], [2.5, 0]] @ mean
    assert one_place(costs).klDivergence(marginals) == pytest.approx(wanted, rel=1e-5)


def test_map_gives_the_most_probable_labels():
    unary, image = scene()
    model = dcrf.DenseCRF2D(7, 6, 3)
    model.setUnaryEnergy(unary)
    model.addPairwiseBilateral(sxy=3, srgb=20, rgbim=image, compat=4)
    np.testing.assert_array_equal(model.map(3), np.argmax(model.inference(3), axis=0))


def test_without_unary_energies_all_labels_are_equal():
    model = dcrf.DenseCRF(3, 2)
    np.testing.assert_array_equal(model.inference(2), np.full((2, 3), 0.5))
    marginals, *_ = model.startInference()
    np.testing.assert_array_equal(marginals, np.zeros((2, 3)))
    model.stepInference(marginals)
    np.testing.assert_array_equal(marginals, np.full((2, 3), 0.5))


def test_a_label_of_infinite_energy_has_no_probability():
    unary = UNARY.copy()
    unary[0, 1] = np.inf
    marginals = one_place(2, unary).inference(3)
    np.testing.assert_allclose(marginals[:, 1], [0, 1], atol=1e-30)
    np.testing.assert_allclose(marginals.sum(axis=0), 1, rtol=1e-6)


def test_unary_energies_are_copied_and_may_be_set_again():
    given = UNARY.copy()
    model = one_place(2, given)
    wanted = model.inference(2)
    given[:] = 0
    np.testing.assert_array_equal(model.inference(2), wanted)
    model.setUnaryEnergy(given)
    np.testing.assert_allclose(model.inference(2), 0.5, rtol=1e-6)
    model.setUnary(dcrf.ConstUnary(UNARY))
    np.testing.assert_array_equal(model.inference(2), wanted)


def test_logistic_energies_are_the_product():
    coefficients = np.array([[1, 0, 2], [0, 1, 1]], np.float32)
    features = np.array([[0, 1], [1, 2], [0.5, 0]], np.float32)
    for set_unary in (
        lambda model: model.setUnary(dcrf.LogisticUnary(coefficients, features)),
        lambda model: model.setUnaryEnergy(coefficients, features),
    ):
        model = dcrf.DenseCRF(2, 2)
        set_unary(model)
        wanted = softmax(-np.array([[1, 1], [1.5, 2]]))
        np.testing.assert_allclose(model.inference(0), wanted, rtol=1e-6)


def test_the_image_functions_equal_the_features_in_their_order():
    unary, image = scene()
    easy, general = dcrf.DenseCRF2D(7, 6, 3), dcrf.DenseCRF(42, 3)
    easy.addPairwiseGaussian(sxy=(2, 1), compat=3)
    easy.addPairwiseBilateral(sxy=(5, 4), srgb=(10, 20, 30), rgbim=image, compat=4)
    y, x = np.mgrid[:6, :7].reshape(2, -1)
    colors = image.reshape(-1, 3) / np.array([10, 20, 30])
    general.addPairwiseEnergy(np.stack([x / 2, y]).astype(np.float32), compat=3)
    features = np.stack([x / 5, y / 4, *colors.T]).astype(np.float32)
    general.addPairwiseEnergy(features, compat=4)
    for model in (easy, general):
        model.setUnaryEnergy(unary)
    np.testing.assert_allclose(easy.inference(5), general.inference(5), atol=1e-6)


def test_two_dimensional_and_general_models_agree_on_labels():
    # The published test of the binding: features in the order y, x.
    probabilities = np.full((2, 10, 10), 0.5)
    probabilities[0, 4:7, 4:7] = 1 / 3
    probabilities[0, [0, -1]] = probabilities[0, :, [0, -1]] = 2 / 3
    probabilities[1] = 1 - probabilities[0]
    image = np.zeros((10, 10, 3), np.uint8)
    image[2:8, 2:8] = 255
    unary = utils.unary_from_softmax(probabilities)
    plane, general = dcrf.DenseCRF2D(10, 10, 2), dcrf.DenseCRF(np.int64(100), 2)
    for model in (plane, general):
        model.setUnaryEnergy(unary)
    plane.addPairwiseBilateral(sxy=2, srgb=2, rgbim=image, compat=3)
    general.addPairwiseEnergy(utils.create_pairwise_bilateral((2, 2), 2, image, chdim=2), compat=3)
    labels = np.argmax(plane.inference(10), axis=0)
    np.testing.assert_array_equal(labels, np.argmax(general.inference(10), axis=0))
    inside = (image[..., 0] > 0).ravel()
    assert labels[inside].all() and not labels[~inside].all()


def test_any_memory_order_and_read_only_arrays():
    # pydensecrf takes only contiguous ones; the result must not depend on it.
    unary, image = scene()
    costs = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], np.float32)
    results = []
    for change in (np.array, np.asfortranarray, lambda array: array[..., ::-1].copy()[..., ::-1]):
        arrays = [change(array) for array in (unary, image, costs)]
        for array in arrays:
            array.flags.writeable = False
        model = dcrf.DenseCRF2D(7, 6, 3)
        model.setUnaryEnergy(arrays[0])
        model.addPairwiseBilateral(3, 20, arrays[1], arrays[2])
        results.append(model.inference(3))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_the_result_has_the_memory_order_of_the_binding():
    assert one_place(2).inference(1).T.flags.c_contiguous
