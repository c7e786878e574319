"""Predict the labels of many images, with the processors and the GPU busy at the same time.

Threads read files, run the network and run the CRF at the same time, on different images: while the
CRF refines some images, the network scores the next ones. The results are bit-identical to
processing one image after another, by `predict_probabilities` and `apply_crf`, or by
`predict_labels` where nobody asks for probabilities.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from crf.batch import images_at_once
from crf.memory import available_memory, inference_bytes
from crf.threads import available_threads, processor_share
from deeplab_tf.data.image_files import image_from, load_pair
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import (
    apply_crf,
    fix_weights,
    heads_of,
    most_probable,
    predict_labels,
    predict_probabilities,
)
from deeplab_tf.evaluation.opened import refuse_second_crf

# More reader threads gain little, because they share Python's interpreter lock.
MAX_READERS = 4

# Share of the available memory that the CRF may take; the network takes some too.
CRF_MEMORY_SHARE = 0.5


class Prediction(NamedTuple):
    """An image with its predicted labels.

    Args:
      example: `Example` or `RecordExample`.
      image: (H, W, 3) uint8 RGB; the first three channels if it has more.
      truth: (H, W) uint8 true classes, or None; (H, W, heads) for a network with several heads.
      labels: tuple of (H, W) uint8 classes: the network's, and with a CRF also those after it;
        (H, W, heads) for a network with several heads.
      confidences: tuple of (H, W) float32, the probabilities of these classes; empty if they were
        not asked for.
    """

    example: NamedTuple
    image: np.ndarray
    truth: np.ndarray | None
    labels: tuple
    confidences: tuple = ()


class _Scored(NamedTuple):
    """An example with what the network found: probabilities (H, W, C), or uint8 labels."""

    example: NamedTuple
    image: np.ndarray
    truth: np.ndarray | None
    found: np.ndarray


def predict_examples(
    model, examples, params=None, encoding=None, confidences=False, max_memory=None, **settings
):
    """Yield the `Prediction` for each example, in order.

    The CRF always runs on the processors, because the network may need all of a GPU. Each thread
    of the CRF refines a different image, so that none waits for another; only if memory cannot
    hold that many images do several threads share one.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores; or what
        `deeplab_tf.open_model` gives. Training it before the last image has no effect.
      examples: list of `Example` or `RecordExample`; of `HeadsExample` for a model with several
        score heads, which takes neither `params` nor `confidences`: `one_head` makes one that does.
      params: `crf.CRFParams` of the CRF; None: no CRF.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.
      confidences: whether to give the probability of every predicted class, too.
      max_memory: bytes that the CRF may take for an image, as in `crf.refine`; None: no limit.
      settings: `scales`, `flip`, `tile` and `pad_to` as in `predict_probabilities`.

    Yields:
      `Prediction`; only a few more images than processors are in memory at once.

    Raises:
      InputError: naming an image that cannot be read or refined, or that is too large for the
        memory; or for a setting or a model that cannot be used.

    Example:
      >>> for found in predict_examples(model, examples, CRFParams()):
      ...     confusion.add(found.truth, found.labels[-1])
    """
    if params is not None:
        refuse_second_crf(model)
    if (params or confidences) and heads_of(model):
        heads = ", ".join(heads_of(model))
        raise InputError(f"the CRF refines one head; choose one of {heads} by one_head")
    num_classes, num_threads = model.output_shape[-1], available_threads()
    channels = model.input_shape[-1]
    network = fix_weights(model)
    memory = available_share()

    def crf_threads(scored):
        if params is None:
            return 1
        needed = min(inference_bytes(*scored.found.shape), max_memory or np.inf)
        return threads_per_image(needed, len(examples), num_threads, memory)

    with contextlib.ExitStack() as stages:

        def stage(function, items, workers, weigh=None):
            results = prefetch_map(function, items, workers, ready=1, weigh=weigh)
            # If the caller stops early, closing the stages cancels what has not begun.
            return stages.enter_context(contextlib.closing(results))

        def load(example):
            return _load(example, num_classes, encoding, channels)

        loaded = stage(load, examples, MAX_READERS)
        predict = predict_probabilities if params or confidences else predict_labels
        scored = stage(lambda loaded: _score(predict, network, *loaded, settings), loaded, 1)
        yield from stage(
            lambda scored: _label(scored, params, crf_threads(scored), confidences, max_memory),
            scored,
            num_threads,
            weigh=crf_threads,
        )


def available_share():
    """Bytes of memory for this process: as large a part as its part of the processors, or None."""
    memory = available_memory()
    return None if memory is None else memory * processor_share()


def threads_per_image(image_bytes, num_images, num_threads, memory):
    """How many threads should refine one image.

    Args:
      image_bytes: memory that refining one image takes.
      num_images: how many images there are in all; a few images are shared by all threads.
      num_threads: total number of threads.
      memory: available bytes; None if unknown.

    Returns:
      Number of threads, at least 1.
    """
    share = None if memory is None else CRF_MEMORY_SHARE * memory
    return -(-num_threads // images_at_once(image_bytes, num_images, num_threads, share))


def _load(example, num_classes, encoding, channels):
    if example.label:
        return example, *load_pair(example, num_classes, encoding, channels)
    return example, image_from(example.read()[0], example.image, channels), None


def _score(predict, network, example, image, truth, settings):
    with memory_error_names(example, image):
        found = predict(network, image, **settings)
    return _Scored(example, image, truth, found)


@contextlib.contextmanager
def memory_error_names(example, image):
    """Turn TensorFlow's error of too little memory into an `InputError` that names the image."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(
            f"{example.image}: not enough memory for {size} pixels; use --tile"
        ) from None


def _label(scored, params, num_threads, with_confidences, max_memory):
    example, image, truth, found = scored
    image = image[..., :3]
    if found.dtype == np.uint8:
        return Prediction(example, image, truth, (found,))
    results = [found]
    if params is not None:
        options = {"engine": "numba", "num_threads": num_threads, "max_memory": max_memory}
        try:
            # Otherwise the arrays would be copied to a GPU and back.
            with tf.device("CPU"):
                results.append(apply_crf(found, image, params, **options))
        except InputError as error:
            raise InputError(f"{example.image}: {error}") from None
    labels = tuple(map(most_probable, results))
    confidences = tuple(found.max(axis=-1) for found in results) if with_confidences else ()
    return Prediction(example, image, truth, labels, confidences)
