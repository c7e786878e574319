"""The permutohedral lattice and the CRF on it in plain NumPy, in the authors' order of operations.

Written for tests: every step is whole arrays, in a type that the caller chooses.
"""

import math
from typing import NamedTuple

import numpy as np


class Simplices(NamedTuple):
    """The simplices that enclose N points in d dimensions.

    Args:
      corners: int64 (N, d + 1, d + 1), the coordinates of each point's corners.
      weights: (N, d + 1), their barycentric weights.
    """

    corners: np.ndarray
    weights: np.ndarray


def find_simplices(features, dtype=np.float32):
    """`Simplices` of points with features (N, d), which are divided by the sigmas already."""
    d = features.shape[1]
    deviation = float(np.float32(math.sqrt(2 / 3) * (d + 1)))
    later = np.zeros(len(features), dtype)
    elevated = []
    for i in range(d, 0, -1):
        scale = np.float32(1 / math.sqrt(i * (i + 1)) * deviation)
        scaled = features[:, i - 1].astype(dtype) * dtype(scale)
        elevated.insert(0, later - dtype(i) * scaled)
        later = later + scaled
    elevated = np.stack([later, *elevated], axis=1)
    steps = np.rint(elevated * dtype(1 / dtype(d + 1)))
    # Position in descending order; of equal ones, the lower index comes first.
    order = np.argsort(steps * (d + 1) - elevated, axis=1, kind="stable")
    rank = np.argsort(order, axis=1) + steps.sum(axis=1, keepdims=True).astype(int)
    wrapped = (rank < 0).astype(int) - (rank > d)
    vertex, rank = (steps.astype(int) + wrapped) * (d + 1), rank + wrapped * (d + 1)
    k = np.arange(d + 1)
    corners = vertex[:, None] + k[:, None] - (d + 1) * (rank[:, None] > d - k[:, None])
    beyond = np.take_along_axis(elevated - vertex, np.argsort(rank, axis=1), axis=1) / (d + 1)
    differences = beyond[:, :-1] - beyond[:, 1:]
    first = 1 + beyond[:, -1:] - beyond[:, :1]
    return Simplices(corners, np.hstack([first, differences[:, ::-1]]).astype(dtype))


def lattice_filter(features, dtype=np.float32):
    """The function from values (N, C) to filtered values (N, C) on the points' lattice."""
    corners, weights = find_simplices(features, dtype)
    axes = features.shape[1] + 1
    places, number = np.unique(corners.reshape(-1, axes), axis=0, return_inverse=True)
    number, found = number.reshape(-1), {tuple(place): n for n, place in enumerate(places.tolist())}
    neighbors = []
    for axis in range(axes):
        step = np.where(np.arange(axes) == axis, axes - 1, -1)
        for sign in (-1, 1):
            wanted = (places + sign * step).tolist()
            neighbors.append([found.get(tuple(place), len(places)) for place in wanted])

    def run(values):
        spread = (weights[..., None] * values[:, None].astype(dtype)).reshape(-1, values.shape[1])
        table = np.zeros((len(places) + 1, values.shape[1]), dtype)  # the last row stays zero
        np.add.at(table, number, spread)
        for before, after in zip(neighbors[::2], neighbors[1::2], strict=True):
            table[:-1] += (table[before] + table[after]) / 2
        read = (table[number] * weights.reshape(-1, 1)).reshape(len(values), axes, -1)
        return read.sum(axis=1) / dtype(1 + 2.0 ** (1 - axes))

    return run


def pixel_features(image, params, dtype=np.float32):
    """Features (H W, 5) and (H W, 2) of the bilateral and of the spatial kernel."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    position = np.stack([x, y], axis=-1).reshape(-1, 2).astype(dtype)
    color = image.reshape(-1, 3).astype(dtype) / dtype(params.sigma_beta)
    bilateral = np.hstack([position / dtype(params.sigma_alpha), color])
    return bilateral, position / dtype(params.sigma_gamma)


def refine(probabilities, image, params, dtype=np.float32):
    """The CRF's marginals (H, W, C) for the Potts model."""
    log_prior = np.log(np.maximum(probabilities.astype(dtype), dtype(1e-5)))
    log_prior = log_prior.reshape(-1, probabilities.shape[2])
    kernels = []
    for weight, features in zip(
        (params.w1, params.w2), pixel_features(image, params, dtype), strict=True
    ):
        run = lattice_filter(features, dtype)
        before, after = _factors(run(np.ones((len(features), 1), dtype)), params.normalization)
        kernels.append((dtype(weight), run, before, after))
    marginals = _softmax(log_prior)
    for _ in range(params.iterations):
        messages = [
            weight * after * run(before * marginals) for weight, run, before, after in kernels
        ]
        marginals = _softmax(log_prior + sum(messages))
    return marginals.reshape(probabilities.shape)


def _factors(row_sums, normalization):
    """The factors of a filter's input and of its output."""
    powers = {"none": (0, 0), "before": (1, 0), "after": (0, 1), "symmetric": (0.5, 0.5)}
    return [row_sums.dtype.type(1) / row_sums**power for power in powers[normalization]]


def _softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
