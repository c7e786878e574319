"""The CRF on batches of images, with the engines that consist of TensorFlow operations."""

import functools
from typing import NamedTuple

import tensorflow as tf

from crf.active_labels import find_active_labels
from crf.exact import ExactFilter
from crf.lattice import lattice_filter
from crf.mean_field import mean_field
from crf.memory import GRAPH_FACTOR, check_memory, inference_bytes
from crf.params import SIGMAS_TOO_SMALL, CRFParams
from crf.static_lattice import static_lattice_filter
from crf.tensor_checks import with_shape_of
from crf.tensor_strips import refine_in_strips

FILTERS = {"lattice": lattice_filter, "xla": static_lattice_filter, "exact": ExactFilter}
"""The Gaussian filters of the engines."""

ENGINES_FOR_XLA = ("xla", "exact")
"""The engines that XLA can compile."""


class Options(NamedTuple):
    """What `dense_crf` is to do, except for tensors; see there.

    `memory_factor` is what `crf.strips.strip_bytes` takes to plan strips: that of the engine, or 1
    to have the strips of the numba engine.
    """

    engine: str
    params: CRFParams
    prune_below: float = 0.0
    max_memory: float | None = None
    overlap: int | None = None
    memory_factor: float = GRAPH_FACTOR


def refine_with_filter(probabilities, images, options, weights=None, compatibility=None):
    """Refine every image of a batch with TensorFlow operations.

    Args:
      probabilities, images, weights, compatibility: as for `dense_crf`, checked.
      options: `Options`, whose engine is one of `FILTERS`.

    Returns:
      (B, H, W, C) float32.
    """
    if tf.executing_eagerly():
        needed = GRAPH_FACTOR * inference_bytes(*probabilities.shape[1:])
        if options.max_memory is not None:
            needed = min(needed, options.max_memory)
        check_memory(needed, "the lattices of an image")
        if has_gpu():
            return _refine_on_gpu(probabilities, images, options, weights, compatibility)
    return _refine_each(probabilities, images, options, weights, compatibility)


def has_gpu():
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def _refine_on_gpu(probabilities, images, options, weights, compatibility):
    given = weights is not None, compatibility is not None
    run = _graph_of(options, probabilities.shape[3], given)
    try:
        return run(probabilities, images, weights, compatibility)
    except tf.errors.InvalidArgumentError as error:
        if SIGMAS_TOO_SMALL in str(error):
            raise ValueError(SIGMAS_TOO_SMALL) from None
        raise


@functools.lru_cache(maxsize=64)
def _graph_of(options, num_labels, given):
    """The graph that eager calls run on a GPU, for images of any size.

    Each number of labels, and each choice of the tensors that are given, has a graph of its own.

    If several Python threads run single operations on a GPU, one thread can receive the results of
    another (TensorFlow 2.21). A graph is safe, and several times as fast.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def run(probabilities, images, weights, compatibility):
        return _refine_each(probabilities, images, options, weights, compatibility)

    return run


def _refine_each(probabilities, images, options, weights, compatibility):
    def refine_one(probabilities, image):
        return refine_image(probabilities, image, options, weights, compatibility)

    return map_images(refine_one, probabilities, images)


def map_images(refine_one, probabilities, *others):
    """Refine the images of a batch one after another.

    Args:
      refine_one: function from one image's part of each tensor to (H, W, C) float32.
      probabilities: (B, H, W, C) float32.
      others: tensors (B, ...).

    Returns:
      (B, H, W, C) float32.
    """
    # One image at a time: a filter runs on all processors by itself, and memory stays that of
    # one image. AutoGraph would surround one-line error messages with its own stack trace.
    refined = tf.map_fn(
        tf.autograph.experimental.do_not_convert(lambda item: refine_one(*item)),
        (probabilities, *others),
        fn_output_signature=tf.TensorSpec(probabilities.shape[1:], tf.float32),
        parallel_iterations=1,
    )
    return with_shape_of(refined, probabilities)


def refine_image(probabilities, image, options, weights=None, compatibility=None, params=None):
    """Refine one image with TensorFlow operations.

    Args:
      probabilities: (H, W, C) floating; C is static.
      image: (H, W, 3) uint8, RGB.
      options: `Options`, whose engine is one of `FILTERS`.
      weights, compatibility: as for `dense_crf`, checked.
      params: what `mean_field` takes in place of those of the options, which still plan the strips.

    Returns:
      (H, W, C) of the probabilities' type.
    """
    build_filter = FILTERS[options.engine]
    if options.engine == "lattice":
        build_filter = functools.partial(build_filter, most_labels=probabilities.shape[2])
    # A label that is probable anywhere in the image exchanges messages in every strip.
    active = find_active_labels(probabilities, options.prune_below)

    def refine_part(probabilities, image, origin=(0, 0)):
        return mean_field(
            probabilities,
            image,
            options.params if params is None else params,
            build_filter,
            weights,
            compatibility,
            active,
            options.engine in ENGINES_FOR_XLA,
            origin,
        )

    if options.max_memory is None:
        return refine_part(probabilities, image)
    strips = options.params, options.max_memory, options.overlap, options.memory_factor
    return refine_in_strips(refine_part, probabilities, image, *strips)
