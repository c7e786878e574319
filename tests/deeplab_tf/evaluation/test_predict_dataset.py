import threading
import time
import weakref

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf import InputError
from deeplab_tf.data.examples import Example
from deeplab_tf.data.image_files import encode_label, load_pair
from deeplab_tf.evaluation import predict_dataset as labelling
from deeplab_tf.evaluation.inference import most_probable, predict_probabilities, refine
from deeplab_tf.evaluation.predict_dataset import label_examples

PARAMS = CRFParams(w1=10, sigma_alpha=10, sigma_beta=15, iterations=2)


@pytest.fixture(scope="module")
def model():
    return random_model()


def write_examples(folder, count, labelled=True):
    """Images of different sizes, so that mixed up ones are noticed."""
    examples = []
    for index in range(count):
        image, label = folder / f"{index}.png", folder / f"{index}_label.png"
        pixels = blocks(17 + 3 * index, 30 - index, seed=index)
        cv2.imwrite(str(image), pixels[..., ::-1])
        truth = np.random.default_rng(index).integers(0, 4, pixels.shape[:2])
        label.write_bytes(encode_label(truth.astype(np.uint8)))
        examples.append(Example(str(index), str(image), str(label) if labelled else ""))
    return examples


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_the_same_to_the_bit_as_one_after_the_other(model, tmp_path, monkeypatch, cores):
    monkeypatch.setattr(labelling, "available_threads", lambda: cores)
    examples = write_examples(tmp_path, 7)
    settings = {"scales": (1, 0.5), "flip": True, "pad_to": 25}
    found = list(label_examples(model, examples, PARAMS, **settings))
    assert [one.example for one in found] == examples
    for index, one in enumerate(found):
        np.testing.assert_array_equal(one.image, blocks(17 + 3 * index, 30 - index, seed=index))
        truth = np.random.default_rng(index).integers(0, 4, one.image.shape[:2])
        np.testing.assert_array_equal(one.truth, truth)
        probabilities = predict_probabilities(model, one.image, **settings)
        expected = [
            most_probable(p) for p in (probabilities, refine(probabilities, one.image, PARAMS))
        ]
        np.testing.assert_array_equal(one.labels, expected)
        assert one.labels[0].dtype == one.labels[1].dtype == np.uint8


def test_without_crf_and_without_labels(model, tmp_path):
    examples = write_examples(tmp_path, 2, labelled=False)
    for one in label_examples(model, examples):
        assert one.truth is None
        (label,) = one.labels
        np.testing.assert_array_equal(label, most_probable(predict_probabilities(model, one.image)))


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
        return refine(probabilities, image, params, **options)

    monkeypatch.setattr(labelling, "predict_probabilities", network)
    monkeypatch.setattr(labelling, "refine", crf)
    found = label_examples(model, write_examples(tmp_path, 3), PARAMS)
    assert len(list(found)) == 3


def test_memory_is_bounded(model, tmp_path, monkeypatch):
    """Never more probabilities at a time than there are threads, and those on their way."""
    monkeypatch.setattr(labelling, "available_threads", lambda: 3)
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

    monkeypatch.setattr(labelling, "predict_probabilities", network)
    monkeypatch.setattr(labelling, "load_pair", load)
    found = label_examples(model, write_examples(tmp_path, 16), PARAMS)
    next(found)
    time.sleep(0.5)
    assert len(read) <= len(made) + labelling.MOST_READERS + 2
    assert len(made) <= 3 + 4  # whoever does not ask for more does not fill the memory
    assert len(list(found)) == 15
    assert 2 <= max(most) <= 3 + 4


@pytest.mark.parametrize(
    ("cores", "images", "fitting", "threads"),
    [
        (8, 100, 50, 1),
        (8, 100, 8, 1),
        (8, 100, 7, 2),  # of which four begin at a time
        (8, 100, 3, 3),
        (8, 100, 1, 8),
        (8, 100, 0, 8),
        (8, 2, 50, 4),
        (2, 100, 1, 2),
    ],
)
def test_large_images_share_the_processors_fewer_at_a_time(cores, images, fitting, threads):
    size = 10 * 20 * (labelling.CRF_PIXEL_BYTES + 3 * labelling.CRF_CLASS_BYTES)
    memory = int((fitting + 0.5) * size / labelling.MEMORY_SHARE)
    shares = labelling._Shares(cores, images, memory)
    scored = labelling._Scored(None, None, None, np.empty((10, 20, 3)))
    assert shares.threads(scored) == threads
    assert labelling._Shares(cores, 100, None).threads(scored) == 1


def test_each_image_is_refined_with_its_share_of_the_threads(model, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "available_threads", lambda: 4)
    used = []

    def crf(probabilities, image, params, **options):
        used.append(options)
        return refine(probabilities, image, params, **options)

    monkeypatch.setattr(labelling, "refine", crf)
    assert len(list(label_examples(model, write_examples(tmp_path, 5), PARAMS))) == 5
    assert used == [{"engine": "numba", "num_threads": 1}] * 5
    monkeypatch.setattr(labelling, "available_memory", lambda: 1)
    assert len(list(label_examples(model, write_examples(tmp_path, 1), PARAMS))) == 1
    assert used[5:] == [{"engine": "numba", "num_threads": 4}]


def test_what_memory_does_not_hold_is_refined_one_after_the_other(model, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "available_threads", lambda: 4)
    monkeypatch.setattr(labelling, "available_memory", lambda: 1)
    running, most = [], []

    def crf(probabilities, image, params, **options):
        running.append(image)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return refine(probabilities, image, params, **options)

    monkeypatch.setattr(labelling, "refine", crf)
    assert len(list(label_examples(model, write_examples(tmp_path, 5), PARAMS))) == 5
    assert max(most) == 1


def test_what_the_crf_refuses_names_the_image(model, tmp_path):
    examples = write_examples(tmp_path, 2)
    with pytest.raises(InputError, match=r"0\.png: CRF: dense_crf"):
        list(label_examples(model, examples, CRFParams(sigma_beta=1e-30)))


def test_an_image_that_cannot_be_read_is_named(model, tmp_path):
    examples = write_examples(tmp_path, 4)
    (tmp_path / "2.png").write_bytes(b"no image")
    found = label_examples(model, examples)
    with pytest.raises(InputError, match=r"2\.png: cannot be read"):
        list(found)


def test_too_little_memory_for_the_network_names_the_image(model, tmp_path, monkeypatch):
    def network(model, image, **settings):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmany lines")

    monkeypatch.setattr(labelling, "predict_probabilities", network)
    with pytest.raises(InputError, match=r"0\.png: 30x17 pixels are too many .* in tiles"):
        list(label_examples(model, write_examples(tmp_path, 1)))


def test_nothing_more_is_begun_once_it_is_closed(model, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "available_threads", lambda: 1)
    seen = []

    def network(model, image, **settings):
        seen.append(image)
        return predict_probabilities(model, image, **settings)

    monkeypatch.setattr(labelling, "predict_probabilities", network)
    before = threading.active_count()
    found = label_examples(model, write_examples(tmp_path, 12))
    next(found)
    found.close()
    for thread in threading.enumerate()[before:]:
        thread.join(10)
    assert threading.active_count() <= before
    assert len(seen) < 8
