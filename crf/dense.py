"""The fully connected CRF as one function on batches, with a choice of engine."""

from functools import partial

import numpy as np
import tensorflow as tf

from crf.exact import exact_filter
from crf.lattice import lattice_filter
from crf.mean_field import check_compatibility, infer
from crf.params import CRFParams

# Engines take (probabilities (H, W, C), image (H, W, 3), params), and weights and compatibility
# by name, to (H, W, C).
ENGINES = {
    "lattice": partial(infer, build_filter=lattice_filter),
    "exact": partial(infer, build_filter=exact_filter),
}

SUM_TOLERANCE = 1e-3


def dense_crf(
    probabilities, images, params=None, engine="auto", *, weights=None, compatibility=None
):
    """Refine class probabilities with the fully connected CRF of the DeepLab papers.

    Works eagerly and inside `tf.function`. Values are checked eagerly only; shapes and dtypes
    always, as far as they are known.

    Args:
      probabilities: (B, H, W, C) floating, not negative, summing to one over C.
      images: (B, H, W, 3) uint8, RGB.
      params: `CRFParams`; None takes its defaults.
      engine: "lattice" (time in proportion to the number of pixels, differentiable with
        respect to the probabilities, can be exported), "exact" (all pairs of pixels: small
        images only) or "auto", which takes the lattice.
      weights: two scalar tensors to take in place of the params' w1 and w2, such as variables
        that are learned: gradients flow to them.
      compatibility: (C, C) tensor in place of the params' own; gradients flow to it.

    Returns:
      (B, H, W, C) float32 that sums to one over C.

    Raises:
      ValueError: for an unknown engine, wrong shapes or dtypes, probabilities that are none, a
        compatibility for another number of labels, or features that spread too far for the
        lattice.

    Example:
      >>> refined = dense_crf(tf.nn.softmax(scores), images, CRFParams(w1=4, sigma_beta=5))
    """
    run = ENGINES[resolve_engine(engine)]
    params = CRFParams() if params is None else params
    if not isinstance(params, CRFParams):
        raise ValueError(f"dense_crf: params must be a CRFParams, not {params!r}")
    probabilities = tf.convert_to_tensor(probabilities)
    images = tf.convert_to_tensor(images)
    _check_dtypes(probabilities, images)
    _check_shapes(probabilities, images)
    if tf.executing_eagerly():
        _check_values(probabilities)
    if weights is not None:
        weights = [tf.cast(weight, tf.float32) for weight in weights]
    if compatibility is None:
        compatibility = params.compatibility
    if compatibility is not None:
        compatibility = check_compatibility(tf.cast(compatibility, tf.float32), probabilities)
    run = partial(run, weights=weights, compatibility=compatibility)
    return _run_each(run, tf.cast(probabilities, tf.float32), images, params)


def resolve_engine(engine):
    """The name of an engine that exists; "auto" gives the one that is best here.

    Args:
      engine: "auto" or a key of `ENGINES`.

    Raises:
      ValueError: listing the engines there are.
    """
    if engine == "auto":
        return "lattice"
    if engine not in ENGINES:
        raise ValueError(
            f"dense_crf: unknown engine {engine!r}; choose one of auto, " + ", ".join(ENGINES)
        )
    return engine


def _run_each(run, probabilities, images, params):
    """Run the engine on every image of the batch, each with filters of its own."""
    with tf.control_dependencies(_same_size(probabilities, images)):
        # One after another: the filters are parallel inside, and memory stays that of one.
        refined = tf.map_fn(
            lambda pair: run(*pair, params),
            (tf.identity(probabilities), images),
            fn_output_signature=tf.TensorSpec(probabilities.shape[1:], tf.float32),
            parallel_iterations=1,
        )
    return tf.ensure_shape(refined, probabilities.shape)


def _same_size(probabilities, images):
    """Control inputs that compare sizes only known when the graph runs."""
    if images.shape[:3].is_fully_defined() and probabilities.shape[:3].is_fully_defined():
        return []
    return [
        tf.debugging.assert_equal(
            tf.shape(probabilities)[:3],
            tf.shape(images)[:3],
            "dense_crf: probabilities and images differ in size",
        )
    ]


def _check_dtypes(probabilities, images):
    if not probabilities.dtype.is_floating:
        raise ValueError(
            f"dense_crf: probabilities must be floating, not {probabilities.dtype.name}"
        )
    if images.dtype != tf.uint8:
        raise ValueError(
            f"dense_crf: images must be uint8 RGB with values 0 to 255, not "
            f"{images.dtype.name}; convert them with tf.cast(images, tf.uint8)"
        )


def _check_shapes(probabilities, images):
    shapes = f"probabilities are {probabilities.shape} and images {images.shape}"
    if probabilities.shape.rank != 4 or images.shape.rank != 4:
        raise ValueError(f"dense_crf: needs (B, H, W, C) and (B, H, W, 3), but {shapes}")
    if images.shape[3] != 3:
        raise ValueError(f"dense_crf: images must have 3 channels, but {shapes}")
    if not probabilities.shape[:3].is_compatible_with(images.shape[:3]):
        raise ValueError(f"dense_crf: batch, height and width must agree, but {shapes}")
    if 0 in [*probabilities.shape, *images.shape]:
        raise ValueError(f"dense_crf: nothing to do, {shapes}")


def _check_values(probabilities):
    values = probabilities.numpy()
    if not np.isfinite(values).all():
        raise ValueError("dense_crf: probabilities hold NaN or infinite values")
    if values.min() < 0:
        raise ValueError(
            f"dense_crf: probabilities must not be negative, the least is {values.min():g}; "
            "scores need a softmax first"
        )
    sums = values.sum(axis=3, dtype=np.float64)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    if abs(furthest - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"dense_crf: probabilities must sum to one over the last axis, one pixel's sum is "
            f"{furthest:g}; scores need a softmax first"
        )
