"""The fully connected CRF on one image: NumPy in and out, without TensorFlow."""

from functools import partial

import numpy as np

from crf.checks import (
    check_damping,
    check_no_pruning,
    check_num_threads,
    check_prune_below,
    check_sums,
    check_switch,
    check_tolerance,
    tolerance_of_sums,
    warn_of_one_label,
)
from crf.compile import read_only
from crf.cpu.lattice import Window
from crf.cpu.mean_field import numba_mean_field
from crf.cpu.pruning import find_active_labels
from crf.features import image_kernels
from crf.image_checks import channel_remedy, type_remedy, warn_of_zeros_and_ones
from crf.inference import MeanField, run_updates
from crf.params import MIN_PROBABILITY, CRFParams
from crf.strips import check_strip_options, plan_strips
from crf.threads import ThreadTeam
from crf.wording import ARRAYS


def refine(
    probabilities,
    image,
    params=None,
    *,
    num_threads=None,
    prune_below=0.0,
    self_messages=True,
    tolerance=None,
    damping=0.0,
    max_memory=None,
    overlap=None,
):
    """Refine one image's class probabilities with the fully connected CRF of the DeepLab papers.

    Needs only NumPy and numba. It computes the same as `dense_crf` with the numba engine.

    Args:
      probabilities: (H, W, C) floating array, not negative, summing to one over C.
      image: (H, W, 3) uint8 array, RGB, 0 to 255; gray images with their channel repeated.
      params: `CRFParams`; None uses the defaults.
      num_threads: number of threads; None uses all processors.
      prune_below: a label whose probability is below this at every pixel exchanges no messages,
        which saves its share of the computing time; only for the Potts model. 0 prunes nothing.
      self_messages, damping: as for `crf.MeanField`; for options other than the defaults
        another engine runs, which is slower and cannot prune.
      tolerance: as for `crf.infer`; the params' iterations are then the most that are made.
      max_memory: bytes that may be used beside the arguments and the result. An image that needs
        more is refined in overlapping strips, an approximation whose result depends only on the
        arguments. None: the whole image at once.
      overlap: pixels that a strip sees beyond each end of the part that is kept; None: twice the
        larger standard deviation of the two kernels.

    Returns:
      (H, W, C) float32 that sums to one over C. The arguments stay as they are.

    Raises:
      ValueError: for wrong shapes or types, values that are not probabilities, a compatibility
        for another number of labels, sigmas that are too small for the lattice, too little
        memory, or a max_memory that is too little for strips.

    Example:
      >>> refined = refine(probabilities, image, CRFParams(w1=4, sigma_beta=5))
      >>> labels = refined.argmax(axis=-1)
    """
    params = CRFParams() if params is None else params
    if not isinstance(params, CRFParams):
        raise ValueError(f"refine: params must be a CRFParams, not {params!r}")
    check_prune_below(prune_below, ARRAYS)
    num_threads = check_num_threads(num_threads, ARRAYS.function)
    damping = check_damping(damping, ARRAYS.function)
    check_switch(self_messages, f"{ARRAYS.function}: self_messages")
    check_tolerance(tolerance, ARRAYS.function)
    overlap = check_strip_options(max_memory, overlap)
    probabilities, image = _as_array(probabilities, "probabilities"), _as_array(image, "image")
    probabilities, image = _checked(probabilities, image, num_threads)
    if params.compatibility is not None:
        check_no_pruning(prune_below, ARRAYS)
        _check_labels(len(params.compatibility), probabilities.shape[-1])
    if not self_messages or damping or tolerance is not None:
        if prune_below:
            raise ValueError(
                "refine: labels cannot be pruned with self_messages=False, a tolerance or damping; "
                "give prune_below=0"
            )
        options = {"self_messages": self_messages, "tolerance": tolerance, "damping": damping}
        run = partial(_refine_with_kernels, num_threads=num_threads, **options)
    else:
        run = partial(_refine_with_preset, num_threads=num_threads, prune_below=prune_below)
    shape, strips = probabilities.shape, []
    if max_memory is not None:
        strips = plan_strips(shape, params, max_memory, overlap)
    if len(strips) < 2:
        return run(probabilities, image, params)
    if prune_below:
        # A label that is probable anywhere in the image exchanges messages in every strip.
        with ThreadTeam(num_threads) as team:
            flat = read_only(probabilities)
            run = partial(run, active=find_active_labels(flat, shape[-1], prune_below, team))
    refined = np.empty(shape, np.float32)
    for strip in strips:
        top, left = (part.start for part in strip.seen)
        window = Window(top, left, *image.shape[:2])
        seen = run(probabilities[strip.seen], image[strip.seen], params, window=window)
        refined[strip.kept] = seen[strip.kept_of_seen]
    return refined


def _refine_with_preset(probabilities, image, params, **options):
    """Refine with the engine for the two kernels of the params."""
    refined = np.empty(probabilities.shape, np.float32)
    numba_mean_field(probabilities, image, params, refined, **options)
    return refined


def _refine_with_kernels(probabilities, image, params, tolerance, window=None, **options):
    """Refine with the engine for kernels of any kind, which has more options."""
    unary = -np.log(np.maximum(probabilities, np.float32(MIN_PROBABILITY)))
    kernels = image_kernels(image, params, window[:2] if window else 0)
    model = MeanField(unary, kernels, **options)
    return run_updates(model, params.iterations, tolerance, ARRAYS.function, 4).marginals


def warm_up():
    """Compile the numba engine, or load its cached machine code, before the first image."""
    probabilities = np.broadcast_to(np.array([0.98, 0.01, 0.01], np.float32), (2, 2, 3))
    image = np.zeros((2, 2, 3), np.uint8)
    # There are different kernels for the Potts model, for a compatibility, and for pruning.
    refine(probabilities, image)
    refine(probabilities, image, CRFParams(compatibility=1 - np.eye(3)))
    refine(probabilities, image, prune_below=0.1)


def _as_array(given, name):
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        raise ValueError(f"refine: {name} must be an array of numbers") from None


def _checked(probabilities, image, num_threads):
    """The probabilities as float32, and the image; ValueError for what `refine` refuses."""
    _check_types_and_shapes(probabilities, image)
    tolerance = tolerance_of_sums(probabilities.dtype.name)
    probabilities = probabilities.astype(np.float32, copy=False)
    check_sums(probabilities, tolerance, ARRAYS, num_threads)
    warn_of_one_label(probabilities.shape[-1], ARRAYS)
    warn_of_zeros_and_ones(image, ARRAYS)
    return probabilities, image


def _check_types_and_shapes(probabilities, image):
    if not _is_floating(probabilities.dtype):
        raise ValueError(f"refine: probabilities must be floating, not {probabilities.dtype}")
    shapes = f"probabilities are {probabilities.shape} and image {image.shape}"
    if probabilities.ndim == 4:
        raise ValueError(f"refine: takes one image, crf.refine_batch a batch, but {shapes}")
    if probabilities.ndim != 3 or image.ndim not in (2, 3):
        raise ValueError(f"refine: needs (H, W, C) and (H, W, 3), but {shapes}")
    if image.dtype != np.uint8:
        is_number = image.dtype.kind in "iub" or _is_floating(image.dtype)
        remedy = type_remedy(image if is_number else None, _is_floating(image.dtype), ARRAYS)
        raise ValueError(
            f"refine: image must be uint8 RGB with values 0 to 255, not {image.dtype}: {remedy}"
        )
    if image.shape[2:] != (3,):
        repeated = "np.repeat(image[..., None], 3, axis=-1)"
        words = ARRAYS if image.ndim == 3 else ARRAYS._replace(three_channels=repeated)
        remedy = channel_remedy(image.shape[2] if image.ndim == 3 else 1, words)
        raise ValueError(f"refine: image must have 3 channels, but {shapes}{remedy}")
    if probabilities.shape[:2] != image.shape[:2]:
        raise ValueError(f"refine: height and width must agree, but {shapes}")
    if not probabilities.size:
        raise ValueError(f"refine: the input is empty: {shapes}")


def _is_floating(dtype):
    """Whether a NumPy type is floating; bfloat16 is not one of NumPy's own."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _check_labels(given, num_labels):
    if given != num_labels:
        raise ValueError(
            f"refine: the params' compatibility is for {given} labels, but there are {num_labels}; "
            "give one row and one column for each label"
        )
