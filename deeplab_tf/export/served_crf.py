"""The CRF of a SavedModel with parameters that come with the request, one set for each image."""

from typing import NamedTuple

import tensorflow as tf

from crf.tensor_checks import check_compatibility, check_for_zeros_and_ones, check_probabilities
from crf.tensor_inference import ENGINES_FOR_XLA, map_images, refine_image
from deeplab_tf.export.served_checks import assertion

MAX_ITERATIONS = 100
"""Of a request, unless the export has more: they would only keep the server busy."""

INPUTS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma", "iterations")
"""The parameters of `CRFParams` that a request can give."""


class _Params(NamedTuple):
    # As `CRFParams`, with tensors for `INPUTS`.
    w1: tf.Tensor
    sigma_alpha: tf.Tensor
    sigma_beta: tf.Tensor
    w2: tf.Tensor
    sigma_gamma: tf.Tensor
    iterations: tf.Tensor
    normalization: str
    compatibility: tuple | None


def crf_inputs(params):
    """The values of `INPUTS` in `CRFParams`, {name: tensor (1,)}."""
    # A list of one value, because servers that join requests need an axis of images.
    return {
        name: tf.constant([getattr(params, name)], tf.int32 if name == "iterations" else tf.float32)
        for name in INPUTS
    }


def value_specs(params):
    """`tf.TensorSpec` of the values of `INPUTS` for every image."""
    return [tf.TensorSpec([None], value.dtype) for value in crf_inputs(params).values()]


def with_crf_inputs(serve, given, params):
    """A signature that also takes CRF parameters, which may be left out.

    Args:
      serve: function of the tensor and a list with the values of `INPUTS`, tensors (B,), that gives
        a dict of tensors.
      given: `tf.TensorSpec` of the tensor, whose first axis is that of the images.
      params: `CRFParams`: the values of what is left out, and what requests cannot change.

    Returns:
      `tf.function` of the tensor and `INPUTS`. Each of these is one number for all images, or one
      for each.
    """
    defaults = crf_inputs(params)
    specs = [tf.TensorSpec(None, value.dtype, name) for name, value in defaults.items()]
    w1, sigma_alpha, sigma_beta, w2, sigma_gamma, iterations = defaults.values()

    @tf.function(input_signature=[given, *specs])
    def run(
        given,
        w1=w1,  # a SavedModel records defaults that are tensors
        sigma_alpha=sigma_alpha,
        sigma_beta=sigma_beta,
        w2=w2,
        sigma_gamma=sigma_gamma,
        iterations=iterations,
    ):
        values = w1, sigma_alpha, sigma_beta, w2, sigma_gamma, iterations
        inputs = dict(zip(INPUTS, values, strict=True))
        return serve(given, _checked_inputs(inputs, tf.shape(given)[0], params))

    return run


def _checked_inputs(inputs, count, params):
    """The inputs with shape (count,), after assertions on their number and values."""
    most, checks = max(MAX_ITERATIONS, params.iterations), []
    for name, value in inputs.items():
        if name == "iterations":
            wanted, good = f"0 to {most}", (value >= 0) & (value <= most)
        elif name in ("w1", "w2"):
            wanted, good = "finite and at least 0", (value >= 0) & tf.math.is_finite(value)
        else:
            wanted, good = "finite and above 0", (value > 0) & tf.math.is_finite(value)
        text = f"{name} is {{}}, but must be {wanted}"
        checks.append(assertion(tf.reduce_all(good), text, value))
        number, text = tf.size(value), f"{name} has {{}} values for {{}} images; send one for each"
        checks.append(assertion((number == 1) | (number == count), text, number, count))
    with tf.control_dependencies(checks):
        return [tf.broadcast_to(tf.reshape(value, [-1]), [count]) for value in inputs.values()]


def refine_each(probabilities, images, values, options):
    """Refine every image with its own parameters.

    Args:
      probabilities: (B, H, W, C) float32.
      images: (B, H, W, 3) uint8.
      values: those of `INPUTS` for every image, tensors (B,).
      options: `crf.dense.Options`, whose params have the normalization and the compatibility.

    Returns:
      (B, H, W, C) float32, as by `crf.dense_crf`, after the same checks. The strips of large images
      overlap as the params of the options need.
    """
    params, compatibility = options.params, options.params.compatibility
    if compatibility is not None:
        compatibility = check_compatibility(compatibility, probabilities, options.prune_below)
    probabilities = check_probabilities(probabilities, images)
    if options.engine not in ENGINES_FOR_XLA:  # XLA cannot print a warning
        images = check_for_zeros_and_ones(images)

    def refine_one(probabilities, image, *own):
        own = _Params(*own, params.normalization, compatibility)
        weights = own.w1, own.w2
        return refine_image(probabilities, image, options, weights, compatibility, own)

    return map_images(refine_one, probabilities, images, *values)
