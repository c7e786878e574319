"""The numba engine as a whole, on arrays."""

import multiprocessing
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from crf import NORMALIZATIONS, CRFParams
from crf.cpu import mean_field as numba_engine
from crf.cpu import workspace
from crf.exact import ExactFilter
from crf.lattice import lattice_filter
from crf.mean_field import mean_field

PARAMS = CRFParams(w1=3, sigma_alpha=11.3, sigma_beta=17.1, w2=2, sigma_gamma=2.3, iterations=4)


def scene(height, width, labels, seed=0):
    """An image of noisy stripes, and probabilities that guess them badly."""
    rng = np.random.default_rng(seed)
    stripe = np.arange(width) * 4 // width
    image = 60 * stripe[:, None] + rng.integers(0, 30, (height, width, 3))
    scores = rng.normal(size=(height, width, labels))
    scores += np.arange(labels) == stripe[:, None] % labels
    exponentials = np.exp(scores)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities.astype(np.float32), image.astype(np.uint8)


def refine(probabilities, image, params=PARAMS, **options):
    refined = np.full(probabilities.shape, np.nan, np.float32)
    numba_engine.numba_mean_field(probabilities, image, params, refined, **options)
    return refined


def reference(probabilities, image, params, build_filter=lattice_filter):
    """The engine made of TensorFlow operations, in float64."""
    given = tf.constant(probabilities, tf.float64)
    return mean_field(given, tf.constant(image), params, build_filter).numpy()


def assert_near_the_lattice(probabilities, image, params, **options):
    refined = refine(probabilities, image, params, **options)
    expected = reference(probabilities, image, params)
    # Float32 roundings of features and messages, which several updates may amplify.
    assert np.abs(refined - expected).max() < 1e-4
    assert np.abs(refined - expected).mean() < 2e-6


@pytest.mark.parametrize("labels", [1, 2, 7, 8, 9, 16, 17, 24, 25, 64])
def test_equals_the_lattice_for_any_number_of_labels(labels):
    assert_near_the_lattice(*scene(11, 13, labels), PARAMS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (2, 2), (3, 31), (20, 9)])
def test_equals_the_lattice_for_any_size(shape):
    assert_near_the_lattice(*scene(*shape, 5), PARAMS)


@pytest.mark.parametrize(
    ("normalization", "weights"),
    [(name, (3, 2)) for name in NORMALIZATIONS]
    + [("symmetric", weights) for weights in ((0, 2), (3, 0), (0, 0))],
)
def test_equals_the_lattice_for_all_kernels_and_normalizations(normalization, weights):
    scale = 0.1 if normalization == "none" else 1
    params = replace(
        PARAMS, w1=scale * weights[0], w2=scale * weights[1], normalization=normalization
    )
    assert_near_the_lattice(*scene(11, 13, 5), params)


@pytest.mark.parametrize("iterations", [0, 1, 2, 10])
def test_equals_the_lattice_after_any_number_of_iterations(iterations):
    assert_near_the_lattice(*scene(11, 13, 5), replace(PARAMS, iterations=iterations))


@pytest.mark.parametrize("labels", [1, 2, 8, 11, 24])
def test_equals_the_lattice_with_a_compatibility(labels):
    costs = np.random.default_rng(1).normal(size=(labels, labels)) - np.eye(labels)
    assert_near_the_lattice(*scene(11, 13, labels), replace(PARAMS, compatibility=costs))


def test_row_l_of_the_compatibility_holds_the_costs_of_label_l():
    # Label 0 next to label 1 costs 9, label 1 next to label 0 nothing: all become label 1.
    probabilities, image = np.full((6, 6, 2), 0.5, np.float32), np.zeros((6, 6, 3), np.uint8)
    refined = refine(probabilities, image, replace(PARAMS, compatibility=((0, 9), (0, 0))))
    assert refined[..., 1].min() > 0.99


@pytest.mark.parametrize("normalization", ["before", "after", "symmetric"])
def test_labels_agree_with_exact_inference(normalization):
    probabilities, image = scene(24, 32, 4)
    params = CRFParams(w1=3, sigma_alpha=9, sigma_beta=10, w2=3, normalization=normalization)
    refined = refine(probabilities, image, params).argmax(-1)
    exact = reference(probabilities, image, params, ExactFilter).argmax(-1)
    assert (exact != probabilities.argmax(-1)).mean() > 0.2  # the CRF has work to do
    assert (exact == refined).mean() > 0.99


def test_zero_iterations_return_the_clamped_and_normalized_input():
    probabilities = np.array([[[0.5, 0.5, 0.0], [1.0, 0.5, 0.5]]], np.float32)
    refined = refine(probabilities, np.zeros((1, 2, 3), np.uint8), CRFParams(iterations=0))
    expected = np.array([[[0.5, 0.5, 1e-5], [1.0, 0.5, 0.5]]]) / [[[1.00001], [2.0]]]
    np.testing.assert_allclose(refined, expected, rtol=1e-6)


@pytest.mark.parametrize("labels", [3, 8, 21])
@pytest.mark.parametrize("prune_below", [0.0, 0.3])
def test_any_number_of_threads_gives_bit_identical_results(labels, prune_below):
    data = scene(13, 17, labels)
    one = refine(*data, num_threads=1, prune_below=prune_below)
    for number in (2, 3, 50, None):
        many = refine(*data, num_threads=number, prune_below=prune_below)
        np.testing.assert_array_equal(one, many)


def test_repeated_calls_give_bit_identical_results():
    data, other = scene(13, 17, 5), scene(19, 11, 9, seed=1)
    first = refine(*data)
    for _ in range(3):
        refine(*other)
        np.testing.assert_array_equal(refine(*data), first)


def poisoned(self, name, size, dtype, original=workspace.Workspace.array):
    """An array of the workspace, filled with values that must not be read."""
    array = original(self, name, size, dtype)
    array[:] = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    return array


@pytest.mark.parametrize("weights", [(3, 2), (0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("prune_below", [0.0, 0.5])
def test_old_contents_of_the_workspace_are_never_read(monkeypatch, weights, prune_below):
    data = *scene(11, 13, 5), replace(PARAMS, w1=weights[0], w2=weights[1])
    expected = refine(*data, prune_below=prune_below)
    monkeypatch.setattr(workspace.Workspace, "array", poisoned)
    np.testing.assert_array_equal(refine(*data, prune_below=prune_below), expected)


def test_concurrent_calls_do_not_disturb_each_other():
    data = [scene(40, 50, 21), scene(45, 38, 21, seed=1)]
    expected = [refine(*pair) for pair in data]
    results, together = [None, None], threading.Barrier(2, timeout=120)

    def work(place):
        together.wait()
        results[place] = [refine(*data[place]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for refined, wanted in zip(results, expected, strict=True):
        for again in refined:
            np.testing.assert_array_equal(again, wanted)


def _refine_and_send(connection, data):
    connection.send(refine(*data, num_threads=2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
def test_works_in_a_forked_process():
    data = scene(20, 30, 9)
    expected = refine(*data, num_threads=2)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_refine_and_send, args=(sender, data))
    with warnings.catch_warnings():
        # Python 3.12 warns about forking a process with threads, here TensorFlow's; the child
        # does not use TensorFlow.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert receiver.poll(120), "the child process does not answer"
        np.testing.assert_array_equal(receiver.recv(), expected)
        child.join(120)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()


def test_accepts_read_only_and_non_contiguous_input():
    probabilities, image = scene(9, 14, 5)
    expected = refine(probabilities, image)
    order = np.asfortranarray(probabilities), np.asfortranarray(image)
    wide = np.zeros((9, 14, 7), np.float32)
    wide[..., 1:6] = probabilities
    mirrored = image[:, ::-1].copy()[:, ::-1]
    locked = probabilities.copy(), image.copy()
    for array in locked:
        array.flags.writeable = False
    for given in (order, (wide[..., 1:6], mirrored), locked):
        np.testing.assert_array_equal(refine(*given), expected)


def test_the_input_is_not_changed():
    probabilities, image = scene(9, 14, 5)
    kept = probabilities.copy(), image.copy()
    refine(probabilities, image)
    np.testing.assert_array_equal(probabilities, kept[0])
    np.testing.assert_array_equal(image, kept[1])
    assert probabilities.flags.writeable and image.flags.writeable


def network_like(height, width, labels, present, seed=0):
    """Smooth scores like a network's, with only a few labels probable anywhere."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(height // 4, width // 4, labels))
    scores = 3 * np.kron(coarse, np.ones((4, 4, 1)))
    scores[..., present:] -= 9 + np.abs(scores[..., present:])
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities, scene(height, width, labels, seed)[1]


def test_pruned_labels_keep_their_ratios():
    probabilities, image = network_like(24, 32, 12, present=5)
    bound = 0.05
    pruned = probabilities.max(axis=(0, 1)) < bound
    assert 0 < pruned.sum() < 12
    refined = refine(probabilities, image, prune_below=bound)
    share = refined[..., pruned] / np.maximum(probabilities[..., pruned], 1e-5)
    np.testing.assert_allclose(share, np.broadcast_to(share[..., :1], share.shape), rtol=1e-5)
    assert share.std() > 0  # it differs from pixel to pixel
    np.testing.assert_allclose(refined.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("labels", [9, 21])
def test_pruning_is_mean_field_without_the_messages_of_pruned_labels(labels):
    probabilities, image = network_like(16, 20, labels, present=6)
    bound = 0.05
    kept = probabilities.max(axis=(0, 1)) >= bound
    params = replace(PARAMS, compatibility=-np.diag(kept.astype(float)))
    expected = reference(probabilities, image, params)
    refined = refine(probabilities, image, prune_below=bound)
    assert np.abs(refined - expected).max() < 1e-4


def test_the_error_of_pruning_is_small():
    probabilities, image = network_like(48, 64, 21, present=6)
    for bound, limit in ((0.01, 1e-3), (0.05, 1e-2)):
        pruned = refine(probabilities, image, CRFParams(), prune_below=bound)
        whole = refine(probabilities, image, CRFParams())
        assert (probabilities.max(axis=(0, 1)) < bound).sum() > 5
        error = np.abs(pruned - whole)
        assert 0 < error.max() < limit
        assert (pruned.argmax(-1) == whole.argmax(-1)).mean() > 0.999


@pytest.mark.parametrize("labels", [1, 3, 8, 21])
def test_pruning_every_label_returns_the_normalized_input(labels):
    probabilities, image = scene(9, 14, labels)
    probabilities *= 0.5
    refined = refine(probabilities, image, prune_below=1.0)
    total = probabilities.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(refined, probabilities / total, rtol=1e-5)


def test_a_bound_below_all_probabilities_changes_nothing():
    data = scene(9, 14, 5)
    np.testing.assert_array_equal(refine(*data, prune_below=1e-9), refine(*data))


def test_too_little_memory_raises_before_anything_is_built(monkeypatch):
    asked = []

    def refuse(size, what):
        asked.append(size)
        raise ValueError(what)

    monkeypatch.setattr(numba_engine, "check_memory", refuse)
    with pytest.raises(ValueError, match="lattices of an image"):
        refine(*scene(9, 14, 5))
    assert asked[0] > 9 * 14 * 100
    # Without iterations no lattice is built.
    refine(*scene(9, 14, 5), CRFParams(iterations=0))


def test_the_engine_still_works_after_an_error():
    data = scene(9, 14, 5)
    expected = refine(*data)
    with pytest.raises(ValueError, match="choose larger sigmas"):
        refine(*data, CRFParams(sigma_beta=1e-5))
    np.testing.assert_array_equal(refine(*data), expected)
