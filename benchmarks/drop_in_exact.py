"""Inference of the cases of drop_in_cases.py with the package's own interface, also exactly."""

import numpy as np

import crf.pydensecrf.densecrf as densecrf
import crf.pydensecrf.utils as utils
from benchmarks.drop_in_cases import resolve_calls
from crf import Kernel, grid_features, image_features, infer
from crf.params import NORMALIZATIONS


def marginals(case, iterations, engine):
    """The marginals of a case, float32 (C, N).

    Args:
      case: as `random_case` gives it.
      iterations: number of mean field iterations.
      engine: of `crf.infer`: "lattice", or "exact" for all pairs of points in float64.
    """
    calls = resolve_calls(case, densecrf, utils)
    kernels = [_kernel(case, name, **arguments) for name, arguments in calls]
    return infer(case["unary"].T, kernels, iterations, engine=engine).marginals.T


def _kernel(case, name, compat, normalization, kernel=None, **arguments):
    """The `Kernel` that a call of the drop-in adds; its argument `kernel` changes no result."""
    shape = tuple(map(int, case["shape"]))
    if name == "addPairwiseEnergy":
        features = arguments["features"].T
    elif name == "addPairwiseGaussian":
        features = grid_features(shape, _by_axis(arguments["sxy"]))
    else:
        image, colors = arguments["rgbim"], arguments["srgb"]
        features = image_features(image, _by_axis(arguments["sxy"]), colors)
    if np.ndim(compat) == 1:
        compat = -compat  # what labels cost next to themselves there, and gain here
    elif np.ndim(compat) == 2:
        compat = (compat + compat.T) / 2
    return Kernel(features, compat, NORMALIZATIONS[normalization])


def _by_axis(sxy):
    """Standard deviations of x and y in the order of an image's axes; a number is for both."""
    return sxy if np.ndim(sxy) == 0 else sxy[::-1]
