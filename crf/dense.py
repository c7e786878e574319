"""The fully connected CRF as one function on batches, with a choice of engine."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from crf.batch import run_images
from crf.checks import (
    check_no_pruning,
    check_num_threads,
    check_prune_below,
    refuse_bad_costs,
    refuse_bad_weights,
)
from crf.cpu.mean_field import numba_mean_field
from crf.params import CRFParams
from crf.single_image import refine
from crf.strips import check_strip_options, default_overlap, plan_strips
from crf.tensor_checks import (
    check_compatibility,
    check_for_zeros_and_ones,
    check_probabilities,
    check_types_and_shapes,
    check_weights,
    with_shape_of,
)
from crf.tensor_inference import ENGINES_FOR_XLA, FILTERS, Options, has_gpu, refine_with_filter

ENGINES = ("numba", *FILTERS)
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
    max_memory=None,
    overlap=None,
):
    """Refine class probabilities with the fully connected CRF of the DeepLab papers.

    Works eagerly and inside `tf.function`. With every engine it is differentiable with respect
    to the probabilities, the weights and the compatibility.

    Args:
      probabilities: (B, H, W, C) floating, not negative, summing to one over C.
      images: (B, H, W, 3) uint8, RGB, 0 to 255; gray images with their channel repeated.
      params: `CRFParams`; None uses the defaults.
      engine: "numba" (compiled for the CPU, uses all its cores; cannot be exported), "lattice"
        (only TensorFlow operations: for graphs, GPUs and SavedModels), "xla" (the same lattice in
        operations of static shapes, which XLA can compile; slower elsewhere), "exact" (all pairs
        of pixels: small images only; XLA can compile it, too) or "auto": numba if called eagerly
        on a machine without a GPU, otherwise lattice.
      weights: two scalar tensors of at least 0 to use in place of the params' w1 and w2, such as
        variables that are learned.
      compatibility: (C, C) tensor to use in place of the params' own.
      num_threads: number of threads of the numba engine; None uses all processors.
      prune_below: a label whose probability is below this at every pixel of an image exchanges no
        messages in it, which saves its share of the computing time; only for the Potts model. 0
        prunes nothing. The engines that XLA can compile give the same result, but save no time:
        they compute all messages and drop those of pruned labels, because the number of the
        others is not known when a graph is compiled.
      max_memory: bytes that may be used for each image beside the arguments and the result, as for
        `refine`: an image that needs more is refined in overlapping strips. Not for the engines
        that XLA can compile. A gradient takes more, because it keeps the values of every strip.
        None: the whole image at once.
      overlap: as for `refine`.

    Returns:
      (B, H, W, C) float32 that sums to one over C.

    Raises:
      ValueError: for an unknown engine, an option it does not support, wrong shapes or types,
        values that are not probabilities, a compatibility for another number of labels,
        sigmas that are too small for the lattice, too little memory, or a max_memory that is too
        little for strips. In a graph, problems that appear only when it runs raise
        `tf.errors.InvalidArgumentError`.

    Example:
      >>> refined = dense_crf(tf.nn.softmax(scores), images, CRFParams(w1=4, sigma_beta=5))
    """
    options = check_options(params, engine, prune_below, max_memory, overlap)
    params, engine = options.params, options.engine
    num_threads = check_num_threads(num_threads)
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
    # XLA cannot print a warning.
    if engine not in ENGINES_FOR_XLA or tf.executing_eagerly():
        images = check_for_zeros_and_ones(images)
    options = with_overlap(options, weights is not None)
    if engine == "numba":
        return _refine_with_numba(
            probabilities, images, options, weights, compatibility, num_threads
        )
    return refine_with_filter(probabilities, images, options, weights, compatibility)


def check_options(params=None, engine="auto", prune_below=0.0, max_memory=None, overlap=None):
    """Check what `dense_crf` takes besides tensors.

    Args:
      params, engine, prune_below, max_memory, overlap: as for `dense_crf`.

    Returns:
      `Options` with an engine of `ENGINES` and params that are not None.

    Raises:
      ValueError: for a value out of range, or options that exclude each other.
    """
    params = CRFParams() if params is None else params
    if not isinstance(params, CRFParams):
        raise ValueError(f"dense_crf: params must be a CRFParams, not {params!r}")
    check_prune_below(prune_below)
    if params.compatibility is not None:
        check_no_pruning(prune_below)
    overlap = check_strip_options(max_memory, overlap, "dense_crf")
    engine = resolve_engine(engine)
    if max_memory is not None and engine in ENGINES_FOR_XLA:
        raise ValueError(
            f"dense_crf: engine {engine!r} cannot work in strips; use lattice or numba, or give "
            "smaller images and max_memory=None"
        )
    return Options(engine, params, prune_below, max_memory, overlap)


def with_overlap(options, weights_given):
    """The options with the default overlap of strips, if strips are wanted without one.

    Args:
      options: those of `check_options`.
      weights_given: whether weights replace those of the params; they may be of any size, so both
        kernels count.
    """
    if options.max_memory is None or options.overlap is not None:
        return options
    counting = replace(options.params, w1=1, w2=1) if weights_given else options.params
    return options._replace(overlap=default_overlap(counting))


def resolve_engine(engine):
    """Check the name of an engine; for "auto", choose one for this call.

    Args:
      engine: "auto" or one of `ENGINES`.

    Returns:
      One of `ENGINES`.

    Raises:
      ValueError: if the engine does not exist.
    """
    if engine == "auto":
        return "lattice" if not tf.executing_eagerly() or has_gpu() else "numba"
    if engine not in ENGINES:
        raise ValueError(
            f"dense_crf: unknown engine {engine!r}; available: auto, " + ", ".join(ENGINES)
        )
    return engine


def _refine_with_numba(probabilities, images, options, weights, compatibility, num_threads):
    """Refine with the numba engine; the gradient is computed by the lattice engine."""
    # Only tensors passed as arguments get gradients; the values in params are plain numbers.
    given = {"weights": weights, "compatibility": compatibility}
    given = {name: value for name, value in given.items() if value is not None}

    def run(probabilities, images, given):  # on NumPy arrays
        refuse_bad_weights(given.get("weights"))
        refuse_bad_costs(given.get("compatibility"))
        refined = np.empty_like(probabilities)

        def refine_one(number, threads):
            pair = probabilities[number], images[number]
            own = {"num_threads": threads, "prune_below": options.prune_below}
            if options.max_memory is None:
                numba_mean_field(*pair, options.params, refined[number], **given, **own)
            else:
                refined[number] = _refine_in_strips(*pair, options, given, **own)

        run_images(refine_one, [prior.shape for prior in probabilities], num_threads)
        return refined

    @tf.custom_gradient
    def refine_all(probabilities, given):
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
                # The same strips, too, although each takes more memory there.
                lattice = options._replace(engine="lattice", memory_factor=1)
                result = refine_with_filter(probabilities, images, lattice, **given)
            return tape.gradient(result, (probabilities, given), upstream)

        return with_shape_of(refined, probabilities), gradient

    return refine_all(probabilities, given)


def _refine_in_strips(probabilities, image, options, given, **own):
    """Refine one image with the numba engine in strips; returns (H, W, C) float32.

    Args:
      probabilities, image: NumPy arrays.
      options: `Options` with max_memory and overlap.
      given: arrays that replace the params' weights (w1, w2) and compatibility.
      own: further options of `refine`.
    """
    params = options.params
    limits = {"max_memory": options.max_memory, "overlap": options.overlap}
    # `refine` plans the same, but its error would name a function that the user did not call.
    plan_strips(probabilities.shape, params, **limits, function="dense_crf")
    if "weights" in given:
        w1, w2 = map(float, given["weights"])
        params = replace(params, w1=w1, w2=w2)
    if "compatibility" in given:
        params = replace(params, compatibility=given["compatibility"])
    return refine(probabilities, image, params, **limits, **own)
