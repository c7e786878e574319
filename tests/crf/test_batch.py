"""Batches of images, refined side by side or one after another."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scene import scene

import crf
from crf import CRFParams, batch, refine, refine_batch
from crf.memory import inference_bytes

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=2)


@settings(max_examples=15)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(2, 9)), max_size=5),
    threads=st.sampled_from([None, 1, 2, 3, 7]),
    large=st.booleans(),
    dtype=st.sampled_from([np.float16, np.float64]),
    order=st.sampled_from("CF"),
)
def test_bit_identical_to_one_after_another(shapes, threads, large, dtype, order):
    scenes = [scene(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    probabilities = [np.array(p, dtype, order=order) for p, _ in scenes]
    images = [np.array(image, order=order) for _, image in scenes]
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(batch, "_SMALL_BYTES", inference_bytes(4, 4, 3))
        found = refine_batch(probabilities, images, PARAMS, num_threads=threads)
    assert isinstance(found, list) and len(found) == len(shapes)
    for refined, *given_one in zip(found, probabilities, images, strict=True):
        np.testing.assert_array_equal(refined, refine(*given_one, PARAMS))


def test_an_array_gives_an_array_and_options_reach_each_image():
    stacked = [
        np.stack(arrays) for arrays in zip(*(scene(5, 4, seed=k) for k in range(3)), strict=True)
    ]
    found = refine_batch(*stacked, PARAMS, prune_below=0.5)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    for refined, *pair in zip(found, *stacked, strict=True):
        np.testing.assert_array_equal(refined, refine(*pair, PARAMS, prune_below=0.5))
    assert refine_batch(stacked[0][:0], stacked[1][:0]).shape == (0, 5, 4, 3)
    assert refine_batch([], []) == []
    same = crf.dense_crf(*stacked, PARAMS, "numba", prune_below=0.5)
    np.testing.assert_array_equal(found, same)


def test_small_images_run_side_by_side_and_large_ones_alone(monkeypatch):
    small, large = (4, 4, 3), (40, 40, 3)
    monkeypatch.setattr(batch, "_SMALL_BYTES", inference_bytes(*small))
    both, running, seen = threading.Barrier(2), [], []

    def run(number, threads):
        running.append(number)
        if number in (0, 2):
            both.wait(timeout=60)  # fails unless another small image runs at the same time
        else:
            assert running[-1:] == [number] and len(running) == 1
        seen.append((number, threads))
        if number in (0, 2):
            both.wait(timeout=60)
        running.remove(number)
        return -number

    assert batch.run_images(run, [small, large, small, large], 2) == [0, -1, -2, -3]
    assert sorted(seen) == [(0, 1), (1, 2), (2, 1), (3, 2)]


@pytest.mark.parametrize(
    ("threads", "count", "fitting", "expected"),
    [(4, 2, 9, 2), (3, 2, 9, 2), (4, 9, 2, 2), (4, 9, 0, 4), (4, 1, 9, 4), (1, 3, 9, 1)],
)
def test_threads_for_few_images_or_little_memory(monkeypatch, threads, count, fitting, expected):
    memory = int((fitting + 0.5) * inference_bytes(4, 4, 3))
    monkeypatch.setattr(batch, "available_memory", lambda: memory)
    used = batch.run_images(lambda _, share: share, [(4, 4, 3)] * count, threads)
    assert used == [expected] * count


@pytest.mark.parametrize(
    ("probabilities", "images", "message"),
    [
        (scene(3, 3)[0], [scene(3, 3)[1]], "probabilities must be a list of arrays, or one of 4"),
        ([scene(3, 3)[0]], scene(3, 3)[1], "images must be a list of arrays, or one of 4 axes"),
        ([scene(3, 3)[0]] * 2, [scene(3, 3)[1]], "probabilities of 2 images, but 1 images"),
        ([scene(3, 3)[0], scene(3, 3)[0] * 2], [scene(3, 3)[1]] * 2, "image 1: refine: prob"),
        ([scene(3, 3)[0], 5], [scene(3, 3)[1]] * 2, "image 1: refine: prob"),
        ([scene(3, 3)[0], [[1], [1, 2]]], [scene(3, 3)[1]] * 2, "image 1: refine: probabilities m"),
        ([scene(3, 3)[0]] * 2, [scene(3, 3)[1], [[1], [1, 2]]], "image 1: refine: image must be"),
    ],
)
def test_bad_input_names_the_image(probabilities, images, message):
    with pytest.raises(ValueError, match=r"^refine_batch: ") as error:
        refine_batch(probabilities, images, PARAMS)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_bad_threads():
    with pytest.raises(ValueError, match="refine_batch: num_threads must be a whole number"):
        refine_batch([], [], num_threads=0)
