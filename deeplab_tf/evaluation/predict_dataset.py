"""Labels of many images, with the processors and the GPU busy at the same time.

Images are read, the network runs and the CRF refines side by side, each on images of its own:
while the CRF is at work on some images, the network sees those behind them. What comes out is the
same, to the bit, as from one image after the other.
"""

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from crf.memory import available_memory
from crf.threads import available_threads
from deeplab_tf.data.image_files import load_image, load_pair
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import most_probable, predict_probabilities, refine

# More threads that read files share one interpreter to little avail.
MOST_READERS = 4

# What refining an image takes for each pixel, and besides for each of its classes, in bytes.
CRF_PIXEL_BYTES, CRF_CLASS_BYTES = 700, 16

# Share of the available memory that the CRF may take; the network takes some too.
MEMORY_SHARE = 0.5


class Labelled(NamedTuple):
    """An image with what was found in it.

    Args:
      example: `Example` or `RecordExample`.
      image: (H, W, 3) uint8 RGB.
      truth: (H, W) uint8 true classes, or None.
      labels: tuple of (H, W) uint8 classes: the network's, and with a CRF those after it.
    """

    example: NamedTuple
    image: np.ndarray
    truth: np.ndarray | None
    labels: tuple


def label_examples(model, examples, params=None, colors=None, **settings):
    """Yield the `Labelled` of each example, in their order.

    The CRF has a thread for each processor, each with an image of its own, so that none waits for
    another; where images are so large that memory does not hold as many, several threads share
    one. It runs on the processors also where there is a GPU, which the network has to itself.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores.
      examples: list of `Example` or `RecordExample`.
      params: `crf.CRFParams` of the CRF; None: no CRF.
      colors: the classes' colours, for RGB labels; see `deeplab_tf.data.image_files.decode_label`.
      settings: `scales`, `flip`, `tile` and `pad_to` as in `predict_probabilities`.

    Yields:
      `Labelled`; a few more images than there are processors are held in memory.

    Raises:
      InputError: naming the image that cannot be read or refined, or that is too large for the
        memory; or for a setting or a model that cannot be used.

    Example:
      >>> for _, image, truth, (before, after) in label_examples(model, examples, CRFParams()):
      ...     confusion.add(truth, after)
    """
    shares = _Shares(available_threads(), len(examples), available_memory())
    with contextlib.ExitStack() as stages:

        def stage(function, items, workers, **options):
            # Closed as soon as nobody asks for more, it begins nothing more.
            results = prefetch_map(function, items, workers, ready=1, **options)
            return stages.enter_context(contextlib.closing(results))

        loaded = stage(partial(_load, model.output_shape[-1], colors), examples, MOST_READERS)
        scored = stage(partial(_score, model, settings), loaded, 1)
        finish = partial(_finish, params, shares)
        yield from stage(finish, scored, shares.cores, weigh=shares.threads)


class _Scored(NamedTuple):
    example: NamedTuple
    image: np.ndarray
    truth: np.ndarray | None
    probabilities: np.ndarray


@dataclass(frozen=True)
class _Shares:
    # How many threads refine one image: few images are shared by all, and so are those of which
    # few fit into the memory that is available, in bytes; None where that is not known.
    cores: int
    images: int
    memory: int | None

    def threads(self, scored):
        height, width, classes = scored.probabilities.shape
        size = height * width * (CRF_PIXEL_BYTES + CRF_CLASS_BYTES * classes)
        fitting = self.cores if self.memory is None else int(MEMORY_SHARE * self.memory / size)
        at_once = max(1, min(self.cores, self.images, fitting))
        return -(-self.cores // at_once)


def _load(num_classes, colors, example):
    if example.label:
        return example, *load_pair(example, num_classes, colors)
    return example, load_image(example.image), None


def _score(model, settings, loaded):
    example, image, truth = loaded
    try:
        probabilities = predict_probabilities(model, image, **settings)
    except tf.errors.ResourceExhaustedError:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(
            f"{example.image}: {size} pixels are too many for the memory; score it in tiles"
        ) from None
    return _Scored(example, image, truth, probabilities)


def _finish(params, shares, scored):
    labels = [most_probable(scored.probabilities)]
    if params is not None:
        options = {"engine": "numba", "num_threads": shares.threads(scored)}
        try:
            # The arrays would be copied to a GPU and back.
            with tf.device("CPU"):
                refined = refine(scored.probabilities, scored.image, params, **options)
        except InputError as error:
            raise InputError(f"{scored.example.image}: {error}") from None
        labels.append(most_probable(refined))
    return Labelled(*scored[:3], tuple(labels))
