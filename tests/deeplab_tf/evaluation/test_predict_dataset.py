"""Predictions of many images against those of one image after another."""

import threading
import time
import weakref

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model

from crf import CRFParams
from crf.memory import inference_bytes
from deeplab_tf import InputError
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import load_pair
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.evaluation import predict_dataset
from deeplab_tf.evaluation.inference import (
    apply_crf,
    most_probable,
    predict_labels,
    predict_probabilities,
)
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.labels import LabelSet
from deeplab_tf.models.fast.prepared import PreparedWeights

PARAMS = CRFParams(w1=10, sigma_alpha=10, sigma_beta=15, iterations=2)


@pytest.fixture(scope="module")
def model():
    return random_model()


def write_examples(folder, count, labeled=True):
    """Images of different sizes, so that mixed up ones are noticed."""
    examples = []
    for index in range(count):
        image, label = folder / f"{index}.png", folder / f"{index}_label.png"
        pixels = blocks(17 + 3 * index, 30 - index, seed=index)
        cv2.imwrite(str(image), pixels[..., ::-1])
        truth = np.random.default_rng(index).integers(0, 4, pixels.shape[:2])
        label.write_bytes(encode_label(truth.astype(np.uint8)))
        examples.append(Example(str(index), str(image), str(label) if labeled else ""))
    return examples


@pytest.mark.parametrize("cores", [1, 5])
def test_bit_identical_to_one_image_after_another(model, tmp_path, monkeypatch, cores):
    monkeypatch.setattr(predict_dataset, "available_threads", lambda: cores)
    examples = write_examples(tmp_path, 6)
    settings = {"scales": (1, 0.5), "flip": True, "pad_to": 25}
    found = list(predict_examples(model, examples, PARAMS, **settings))
    assert [one.example for one in found] == examples
    for index, one in enumerate(found):
        np.testing.assert_array_equal(one.image, blocks(17 + 3 * index, 30 - index, seed=index))
        truth = np.random.default_rng(index).integers(0, 4, one.image.shape[:2])
        np.testing.assert_array_equal(one.truth, truth)
        probabilities = predict_probabilities(model, one.image, **settings)
        expected = [
            most_probable(p) for p in (probabilities, apply_crf(probabilities, one.image, PARAMS))
        ]
        np.testing.assert_array_equal(one.labels, expected)
        assert one.labels[0].dtype == one.labels[1].dtype == np.uint8


def test_without_crf_and_without_labels(model, tmp_path):
    examples = write_examples(tmp_path, 2, labeled=False)
    for one in predict_examples(model, examples):
        assert one.truth is None
        (label,) = one.labels
        np.testing.assert_array_equal(label, most_probable(predict_probabilities(model, one.image)))


@pytest.mark.parametrize("params", [None, PARAMS])
def test_the_weights_are_prepared_once_for_all_images(model, tmp_path, monkeypatch, params):
    calls, compute = [], PreparedWeights.compute
    monkeypatch.setattr(
        PreparedWeights, "compute", lambda self: calls.append(self) or compute(self)
    )
    settings = {"scales": (1, 0.5)}
    assert len(list(predict_examples(model, write_examples(tmp_path, 3), params, **settings))) == 3
    assert len(calls) == 1


def test_the_network_runs_while_the_crf_does(model, tmp_path, monkeypatch):
    """The CRF of the first image waits for the network to have seen the second."""
    second_seen, shapes = threading.Event(), []

    def network(model, image, **settings):
        shapes.append(image.shape)
        if len(shapes) == 2:
            second_seen.set()
        return predict_probabilities(model, image, **settings)

    def crf(probabilities, image, params, **options):
        assert second_seen.wait(30)
        return apply_crf(probabilities, image, params, **options)

    monkeypatch.setattr(predict_dataset, "predict_probabilities", network)
    monkeypatch.setattr(predict_dataset, "apply_crf", crf)
    found = predict_examples(model, write_examples(tmp_path, 3), PARAMS)
    assert len(list(found)) == 3


def test_memory_is_bounded(model, tmp_path, monkeypatch):
    """No more probabilities at a time than the threads work on and have ready."""
    monkeypatch.setattr(predict_dataset, "available_threads", lambda: 3)
    made, most, read = [], [], []

    class Counted(np.ndarray):
        pass

    def network(model, image, **settings):
        probabilities = predict_probabilities(model, image, **settings).view(Counted)
        made.append(weakref.ref(probabilities))
        most.append(sum(reference() is not None for reference in made))
        return probabilities

    def load(example, *options):
        read.append(example)
        return load_pair(example, *options)

    monkeypatch.setattr(predict_dataset, "predict_probabilities", network)
    monkeypatch.setattr(predict_dataset, "load_pair", load)
    found = predict_examples(model, write_examples(tmp_path, 16), PARAMS)
    next(found)
    time.sleep(0.5)
    assert len(read) <= len(made) + predict_dataset.MAX_READERS + 2
    assert len(made) <= 3 + 4  # if nobody asks for more, nothing more is computed
    assert len(list(found)) == 15
    assert 2 <= max(most) <= 3 + 4


@pytest.mark.parametrize(
    ("cores", "images", "fitting", "threads"),
    [
        (8, 100, 50, 1),
        (8, 100, 8, 1),
        (8, 100, 7, 2),  # four images at a time
        (8, 100, 3, 3),
        (8, 100, 1, 8),
        (8, 100, 0, 8),
        (8, 2, 50, 4),
        (2, 100, 1, 2),
    ],
)
def test_threads_share_images_that_are_few_or_too_large_for_memory(cores, images, fitting, threads):
    size = inference_bytes(10, 20, 3)
    memory = int((fitting + 0.5) * size / predict_dataset.CRF_MEMORY_SHARE)
    threads_per_image = predict_dataset.threads_per_image
    assert threads_per_image(size, images, cores, memory) == threads
    assert threads_per_image(size, 100, cores, None) == 1


def test_each_image_is_refined_with_its_share_of_the_threads(model, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_dataset, "available_threads", lambda: 4)
    used = []

    def crf(probabilities, image, params, **options):
        used.append(options)
        return apply_crf(probabilities, image, params, **options)

    monkeypatch.setattr(predict_dataset, "apply_crf", crf)
    assert len(list(predict_examples(model, write_examples(tmp_path, 5), PARAMS))) == 5
    assert used == [{"engine": "numba", "num_threads": 1, "max_memory": None}] * 5
    monkeypatch.setattr(predict_dataset, "available_memory", lambda: 1)
    assert len(list(predict_examples(model, write_examples(tmp_path, 1), PARAMS))) == 1
    assert used[5:] == [{"engine": "numba", "num_threads": 4, "max_memory": None}]


def test_a_limit_of_memory_lets_more_images_run_at_once_and_reaches_the_crf(
    model, tmp_path, monkeypatch
):
    examples = write_examples(tmp_path, 3)
    size = inference_bytes(17, 30, 4)  # of the first; the others need no more than that times 1.3
    used = []

    def crf(probabilities, image, params, **options):
        used.append(options)
        return probabilities

    monkeypatch.setattr(predict_dataset, "available_threads", lambda: 3)
    monkeypatch.setattr(predict_dataset, "apply_crf", crf)
    monkeypatch.setattr(predict_dataset, "available_memory", lambda: 2 * size)
    list(predict_examples(model, examples, PARAMS, max_memory=size / 8))
    assert used == [{"engine": "numba", "num_threads": 1, "max_memory": size / 8}] * 3


def test_images_too_large_for_memory_are_refined_one_after_another(model, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_dataset, "available_threads", lambda: 4)
    monkeypatch.setattr(predict_dataset, "available_memory", lambda: 1)
    running, most = [], []

    def crf(probabilities, image, params, **options):
        running.append(image)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return apply_crf(probabilities, image, params, **options)

    monkeypatch.setattr(predict_dataset, "apply_crf", crf)
    assert len(list(predict_examples(model, write_examples(tmp_path, 5), PARAMS))) == 5
    assert max(most) == 1


def test_an_error_of_the_crf_names_the_image(model, tmp_path):
    examples = write_examples(tmp_path, 2)
    with pytest.raises(InputError, match=r"0\.png: crf: the sigmas are too small"):
        list(predict_examples(model, examples, CRFParams(sigma_beta=1e-30)))


def test_an_unreadable_image_is_named(model, tmp_path):
    examples = write_examples(tmp_path, 4)
    (tmp_path / "2.png").write_bytes(b"no image")
    found = predict_examples(model, examples)
    with pytest.raises(InputError, match=r"2\.png: cannot be read"):
        list(found)


def test_too_little_memory_for_the_network_names_the_image(model, tmp_path, monkeypatch):
    def network(model, image, **settings):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmany lines")

    monkeypatch.setattr(predict_dataset, "predict_labels", network)
    with pytest.raises(InputError, match=r"0\.png: not enough memory for 30x17 pixels; .*tile"):
        list(predict_examples(model, write_examples(tmp_path, 1)))


def test_closing_cancels_what_has_not_begun(model, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_dataset, "available_threads", lambda: 1)
    seen = []

    def network(model, image, **settings):
        seen.append(image)
        return predict_labels(model, image, **settings)

    monkeypatch.setattr(predict_dataset, "predict_labels", network)
    before = threading.active_count()
    found = predict_examples(model, write_examples(tmp_path, 12))
    next(found)
    found.close()
    for thread in threading.enumerate()[before:]:
        thread.join(10)
    assert threading.active_count() <= before
    assert len(seen) < 8


def test_a_crf_inside_the_model_is_not_repeated(tmp_path):
    examples = write_examples(tmp_path, 1)
    for has_crf, message in ((True, "m applies the CRF itself"), (None, "m does not say whether")):
        model = OpenedModel("m", LabelSet.generic(4), 8, has_crf=has_crf)
        with pytest.raises(InputError, match=message):
            list(predict_examples(model, examples, PARAMS))
