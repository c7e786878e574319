"""The fully connected CRF as one function on batches, with a choice of engine."""

import functools

import numpy as np
import tensorflow as tf

from crf.batch import run_images
from crf.checks import (
    check_num_threads,
    check_prune_below,
    refuse_bad_costs,
    refuse_bad_weights,
)
from crf.cpu.mean_field import numba_mean_field
from crf.exact import ExactFilter
from crf.lattice import lattice_filter
from crf.mean_field import mean_field
from crf.memory import check_memory, inference_bytes
from crf.params import SIGMAS_TOO_SMALL, CRFParams
from crf.tensor_checks import (
    check_compatibility,
    check_for_zeros_and_ones,
    check_probabilities,
    check_types_and_shapes,
    check_weights,
)

# The Gaussian filters of the engines that consist of TensorFlow operations.
_FILTERS = {"lattice": lattice_filter, "exact": ExactFilter}

ENGINES = ("numba", *_FILTERS)
"""The engines that `dense_crf` and `DenseCRF` take, besides "auto"."""


def dense_crf(
    probabilities,
    images,
    params=None,
    engine="auto",
    *,
    weights=None,
    compatibility=None,
    num_threads=None,
    prune_below=0.0,
):
    """Refine class probabilities with the fully connected CRF of the DeepLab papers.

    Works eagerly and inside `tf.function`. With every engine it is differentiable with respect
    to the probabilities, the weights and the compatibility.

    Args:
      probabilities: (B, H, W, C) floating, not negative, summing to one over C.
      images: (B, H, W, 3) uint8, RGB, 0 to 255; gray images with their channel repeated.
      params: `CRFParams`; None uses the defaults.
      engine: "numba" (compiled for the CPU, uses all its cores; cannot be exported), "lattice"
        (only TensorFlow operations: for graphs, GPUs and SavedModels), "exact" (all pairs of
        pixels: small images only) or "auto": numba if called eagerly on a machine without a
        GPU, otherwise lattice.
      weights: two scalar tensors of at least 0 to use in place of the params' w1 and w2, such as
        variables that are learned.
      compatibility: (C, C) tensor to use in place of the params' own.
      num_threads: number of threads of the numba engine; None uses all processors.
      prune_below: a label whose probability is below this at every pixel of an image exchanges no
        messages in it, which saves its share of the computing time. Only for the numba engine
        and the Potts model; in a graph, only with engine="numba". 0 prunes nothing.

    Returns:
      (B, H, W, C) float32 that sums to one over C.

    Raises:
      ValueError: for an unknown engine or an option it does not support, wrong shapes or types,
        values that are not probabilities, a compatibility for another number of labels,
        sigmas that are too small for the lattice, or too little memory. In a graph,
        problems that appear only when it runs raise `tf.errors.InvalidArgumentError`.

    Example:
      >>> refined = dense_crf(tf.nn.softmax(scores), images, CRFParams(w1=4, sigma_beta=5))
    """
    params = CRFParams() if params is None else params
    if not isinstance(params, CRFParams):
        raise ValueError(f"dense_crf: params must be a CRFParams, not {params!r}")
    check_prune_below(prune_below)
    num_threads = check_num_threads(num_threads)
    engine = resolve_engine(engine, prune_below)
    images = tf.convert_to_tensor(images)
    probabilities = tf.convert_to_tensor(probabilities)
    check_types_and_shapes(probabilities, images)
    if weights is not None:
        weights = check_weights(weights)
    if compatibility is None:
        compatibility = params.compatibility
    if compatibility is not None:
        compatibility = check_compatibility(compatibility, probabilities, prune_below)
    probabilities = check_probabilities(probabilities, images, num_threads)
    # XLA cannot print a warning; the exact engine is the one that it can compile.
    if engine != "exact" or tf.executing_eagerly():
        images = check_for_zeros_and_ones(images)
    if engine == "numba":
        options = {"num_threads": num_threads, "prune_below": prune_below}
        return _refine_with_numba(probabilities, images, params, weights, compatibility, **options)
    build_filter = _FILTERS[engine]
    return _refine_with_filter(build_filter, probabilities, images, params, weights, compatibility)


def resolve_engine(engine, prune_below=0.0):
    """Check the name of an engine; for "auto", choose one for this call.

    Args:
      engine: "auto" or one of `ENGINES`.
      prune_below: as for `dense_crf`; only the numba engine supports it.

    Returns:
      One of `ENGINES`.

    Raises:
      ValueError: if the engine does not exist or cannot prune.
    """
    if engine == "auto":
        if prune_below and not tf.executing_eagerly():
            raise ValueError(
                "dense_crf: to prune labels in a graph, give engine='numba', which cannot be "
                "exported; or give prune_below=0"
            )
        in_tensorflow = not tf.executing_eagerly() or _has_gpu()
        engine = "lattice" if in_tensorflow and not prune_below else "numba"
    if engine not in ENGINES:
        raise ValueError(
            f"dense_crf: unknown engine {engine!r}; available: auto, " + ", ".join(ENGINES)
        )
    if prune_below and engine != "numba":
        raise ValueError(
            f"dense_crf: engine {engine!r} cannot prune labels; use numba, or prune_below=0"
        )
    return engine


def _refine_with_filter(
    build_filter, probabilities, images, params, weights=None, compatibility=None
):
    """Refine every image of the batch with TensorFlow operations."""
    if tf.executing_eagerly():
        check_memory(inference_bytes(*probabilities.shape[1:]), "the lattices of an image")
        if _has_gpu():
            return _refine_on_gpu(
                build_filter, probabilities, images, params, weights, compatibility
            )
    return _refine_each(build_filter, probabilities, images, params, weights, compatibility)


def _refine_on_gpu(build_filter, probabilities, images, params, weights, compatibility):
    given = weights is not None, compatibility is not None
    run = _graph_of(build_filter, params, probabilities.shape[3], given)
    try:
        return run(probabilities, images, weights, compatibility)
    except tf.errors.InvalidArgumentError as error:
        if SIGMAS_TOO_SMALL in str(error):
            raise ValueError(SIGMAS_TOO_SMALL) from None
        raise


def _has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


@functools.lru_cache(maxsize=64)
def _graph_of(build_filter, params, num_labels, given):
    """The graph that eager calls run on a GPU, for images of any size.

    Each number of labels, and each choice of the tensors that are given, has a graph of its own.

    If several Python threads run single operations on a GPU, one thread can receive the results of
    another (TensorFlow 2.21). A graph is safe, and several times as fast.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def run(probabilities, images, weights, compatibility):
        return _refine_each(build_filter, probabilities, images, params, weights, compatibility)

    return run


def _refine_each(build_filter, probabilities, images, params, weights=None, compatibility=None):
    # AutoGraph would surround one-line error messages with its own stack trace.
    @tf.autograph.experimental.do_not_convert
    def refine_image(pair):
        return mean_field(*pair, params, build_filter, weights, compatibility)

    # One image at a time: a filter runs on all processors by itself, and memory stays that of
    # one image.
    refined = tf.map_fn(
        refine_image,
        (probabilities, images),
        fn_output_signature=tf.TensorSpec(probabilities.shape[1:], tf.float32),
        parallel_iterations=1,
    )
    return tf.ensure_shape(refined, probabilities.shape)


def _refine_with_numba(
    probabilities, images, params, weights, compatibility, num_threads, prune_below
):
    """Refine with the numba engine; the gradient is computed by the lattice engine."""
    # Only tensors passed as arguments get gradients; the values in params are plain numbers.
    given = {"weights": weights, "compatibility": compatibility}
    given = {name: value for name, value in given.items() if value is not None}

    def run(probabilities, images, given):  # on NumPy arrays
        refuse_bad_weights(given.get("weights"))
        refuse_bad_costs(given.get("compatibility"))
        refined = np.empty_like(probabilities)

        def refine_one(number, threads):
            arrays = probabilities[number], images[number], params, refined[number]
            options = {"num_threads": threads, "prune_below": prune_below}
            numba_mean_field(*arrays, **given, **options)

        run_images(refine_one, [prior.shape for prior in probabilities], num_threads)
        return refined

    @tf.custom_gradient
    def refine(probabilities, given):
        inputs = probabilities, images, given
        if tf.executing_eagerly():
            refined = tf.convert_to_tensor(run(*tf.nest.map_structure(np.asarray, inputs)))
        else:
            refined = tf.numpy_function(
                lambda *arrays: run(*tf.nest.pack_sequence_as(inputs, arrays)),
                tf.nest.flatten(inputs),
                tf.float32,
                stateful=False,
            )

        def gradient(upstream):
            # Numba code cannot be differentiated; the lattice engine computes the same function.
            with tf.GradientTape() as tape:
                tape.watch((probabilities, given))
                result = _refine_with_filter(lattice_filter, probabilities, images, params, **given)
            return tape.gradient(result, (probabilities, given), upstream)

        return tf.ensure_shape(refined, probabilities.shape), gradient

    return refine(probabilities, given)
