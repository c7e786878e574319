"""The fully connected CRF as one function on batches, with a choice of engine."""

import operator
from dataclasses import replace
from functools import partial

import numpy as np
import tensorflow as tf

from crf import cpu
from crf.checks import check_shapes, check_types, check_values, graph_checks, sum_tolerance
from crf.exact import exact_filter
from crf.lattice import lattice_filter
from crf.mean_field import check_compatibility, infer
from crf.memory import check_memory
from crf.params import CRFParams

# The filters of the engines made of TensorFlow operations; the numba engine is not.
_FILTERS = {"lattice": lattice_filter, "exact": exact_filter}

ENGINES = ("numba", *_FILTERS)


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

    Works eagerly and inside `tf.function`, and is differentiable with respect to the
    probabilities, the weights and the compatibility, with every engine.

    Args:
      probabilities: (B, H, W, C) floating, not negative, summing to one over C.
      images: (B, H, W, 3) uint8, RGB.
      params: `CRFParams`; None takes its defaults.
      engine: "numba" (compiled for the CPU, all its cores; cannot be exported), "lattice"
        (TensorFlow operations alone: in graphs, on GPUs, in SavedModels), "exact" (all pairs
        of pixels: small images only) or "auto", which takes numba outside of graphs where
        there is no GPU, else the lattice.
      weights: two scalar tensors of at least 0 to take in place of the params' w1 and w2, such
        as variables that are learned.
      compatibility: (C, C) tensor in place of the params' own.
      num_threads: threads of the numba engine; None takes all processors.
      prune_below: labels whose probability is below this at every pixel of an image exchange no
        messages there, which saves their share of the time; numba engine and Potts model only,
        and in a graph only where the engine is given as "numba". 0 leaves none out.

    Returns:
      (B, H, W, C) float32 that sums to one over C.

    Raises:
      ValueError: for an unknown engine or an option it does not have, wrong shapes or types,
        values that are no probabilities, a compatibility for another number of labels,
        features that spread too far for the lattice, or too little memory. In a graph what is
        only known when it runs is a `tf.errors.InvalidArgumentError`.

    Example:
      >>> refined = dense_crf(tf.nn.softmax(scores), images, CRFParams(w1=4, sigma_beta=5))
    """
    params = CRFParams() if params is None else params
    if not isinstance(params, CRFParams):
        raise ValueError(f"dense_crf: params must be a CRFParams, not {params!r}")
    num_threads = _check_options(prune_below, num_threads)
    engine = resolve_engine(engine, prune_below)
    probabilities = tf.convert_to_tensor(probabilities)
    images = tf.convert_to_tensor(images)
    check_types(probabilities, images)
    check_shapes(probabilities, images)
    tolerance = sum_tolerance(probabilities.dtype)
    probabilities = tf.cast(probabilities, tf.float32)
    if weights is not None:
        weights = _check_weights(weights)
    if compatibility is None:
        compatibility = params.compatibility
    if compatibility is not None:
        compatibility = check_compatibility(tf.cast(compatibility, tf.float32), probabilities)
        _check_costs(compatibility, prune_below)
    if engine == "numba":
        options = {"num_threads": num_threads, "prune_below": prune_below}
        run = partial(_refine_by_numba, options=options)
    else:
        run = partial(_refine_by_filter, build_filter=_FILTERS[engine])
    with tf.control_dependencies(_value_checks(probabilities, images, tolerance)):
        probabilities = tf.identity(probabilities)
    return run(probabilities, images, params, weights, compatibility)


def resolve_engine(engine, prune_below=0.0):
    """The name of an engine that exists; "auto" gives the one that is best here.

    Args:
      engine: "auto" or one of `ENGINES`.
      prune_below: as for `dense_crf`; only the numba engine has it.

    Raises:
      ValueError: listing the engines there are, or naming the one that prunes.
    """
    if engine == "auto":
        if prune_below and not tf.executing_eagerly():
            raise ValueError(
                'dense_crf: in a graph give engine="numba" to prune labels, which cannot be '
                "exported, or prune_below=0"
            )
        in_tensorflow = not tf.executing_eagerly() or tf.config.list_physical_devices("GPU")
        engine = "lattice" if in_tensorflow and not prune_below else "numba"
    if engine not in ENGINES:
        raise ValueError(
            f"dense_crf: unknown engine {engine!r}; choose one of auto, " + ", ".join(ENGINES)
        )
    if prune_below and engine != "numba":
        raise ValueError(
            f"dense_crf: the engine {engine!r} cannot prune labels; take numba, or prune_below=0"
        )
    return engine


def warm_up():
    """Compile the numba engine, or read what was compiled before, ahead of the first image."""
    probabilities = np.broadcast_to(np.array([0.98, 0.01, 0.01], np.float32), (1, 2, 2, 3))
    image = np.zeros((1, 2, 2, 3), np.uint8)
    # The kernels come in three kinds: for the Potts model, for a compatibility, and pruned.
    for options in ({}, {"compatibility": 1 - np.eye(3)}, {"prune_below": 0.1}):
        dense_crf(probabilities, image, engine="numba", **options)


def _check_options(prune_below, num_threads):
    """Refuse options out of their range; gives num_threads back as a plain number or None."""
    if not 0 <= prune_below <= 1:
        raise ValueError(f"dense_crf: prune_below must be a probability, not {prune_below!r}")
    if num_threads is None:
        return None
    try:
        count = 0 if isinstance(num_threads, bool) else operator.index(num_threads)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(
            f"dense_crf: num_threads must be a whole number of at least 1, not {num_threads!r}"
        )
    return count


def _check_weights(weights):
    """The two weights as float32 scalars; refuses others, and eagerly values out of range."""
    try:
        weights = [tf.cast(weight, tf.float32) for weight in weights]
    except TypeError:
        weights = []
    if len(weights) != 2 or not all(weight.shape.is_compatible_with([]) for weight in weights):
        raise ValueError("dense_crf: weights must be two scalars, in place of w1 and w2")
    if tf.executing_eagerly():
        for name, value in zip(("w1", "w2"), map(float, weights), strict=True):
            if not 0 <= value < np.inf:
                raise ValueError(
                    f"dense_crf: weights must be finite and at least 0, but {name} is {value:g}"
                )
    return weights


def _check_costs(compatibility, prune_below):
    """Refuse costs with pruning, and eagerly those that are not finite."""
    if prune_below:
        raise ValueError(
            "dense_crf: labels can only be pruned in the Potts model; with a compatibility give "
            "prune_below=0"
        )
    if tf.executing_eagerly() and not np.isfinite(compatibility).all():
        raise ValueError("dense_crf: the compatibility holds NaN or infinite values")


def _value_checks(probabilities, images, tolerance):
    """Check the values now where they are known; else control inputs that will."""
    if not tf.executing_eagerly():
        return graph_checks(probabilities, images, tolerance)
    check_values(np.asarray(probabilities), tolerance)
    return []


def _refine_by_filter(probabilities, images, params, weights, compatibility, build_filter):
    """Refine every image of the batch with TensorFlow operations."""
    if tf.executing_eagerly():
        # A lattice's corners and at least one table of values, splat, blurred and sliced.
        per_point = 300 + 16 * probabilities.shape[3]
        check_memory(per_point * int(tf.size(images[0, ..., 0])), "the lattices of an image")

    # Converted, an error of one line would become many.
    @tf.autograph.experimental.do_not_convert
    def refine(pair):
        return infer(*pair, params, build_filter, weights, compatibility)

    # One after another: the filters are parallel inside, and memory stays that of one.
    refined = tf.map_fn(
        refine,
        (probabilities, images),
        fn_output_signature=tf.TensorSpec(probabilities.shape[1:], tf.float32),
        parallel_iterations=1,
    )
    return tf.ensure_shape(refined, probabilities.shape)


def _refine_by_numba(probabilities, images, params, weights, compatibility, options):
    """Refine with the numba engine; its gradient is that of the lattice engine."""
    # What stands in place of the params' own; only this is differentiated, and a kernel whose
    # weight in the params is zero is not built.
    given = {} if weights is None else dict(zip(("w1", "w2"), weights, strict=True))
    if compatibility is not None:
        given["compatibility"] = compatibility
    compute = partial(_compute_by_numba, params=params, names=tuple(given), options=options)

    @tf.custom_gradient
    def refine(probabilities, *learned):
        arguments = probabilities, images, *learned
        if tf.executing_eagerly():
            refined = tf.convert_to_tensor(compute(*map(np.asarray, arguments)))
        else:
            refined = tf.numpy_function(compute, arguments, tf.float32, stateful=False)

        def gradient(upstream):
            inputs = probabilities, *learned
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                again = _refine_by_filter(
                    probabilities,
                    images,
                    params,
                    None if weights is None else learned[:2],
                    None if compatibility is None else learned[-1],
                    lattice_filter,
                )
            return tape.gradient(again, inputs, upstream)

        return tf.ensure_shape(refined, probabilities.shape), gradient

    return refine(probabilities, *given.values())


def _compute_by_numba(probabilities, images, *learned, params, names, options):
    """The numba engine on arrays, image after image; `learned` replaces params of those names."""
    params = replace(params, **dict(zip(names, learned, strict=True)))
    refined = np.empty_like(probabilities)
    for image, given, out in zip(images, probabilities, refined, strict=True):
        cpu.infer(given, image, params, out, **options)
    return refined
