"""Mean field inference compiled by numba: the updates of `crf.mean_field`, in few passes.

Values of one point, or of one vertex, lie beside each other in rows of a whole number of
vectors; surplus lanes hold zeros. An iteration is a splat by vertices, a blur along each axis in
place, and one pass over the points that slices both kernels and normalizes.
"""

from typing import NamedTuple

import numpy as np

from crf.cpu import kernels
from crf.cpu.crew import Crew
from crf.cpu.lanes import LANES
from crf.cpu.lattice import absent_lattice, bilateral_lattice, spatial_lattice


def infer(probabilities, image, params, refined, num_threads=None, prune_below=0.0):
    """Run the CRF on one image.

    Args:
      probabilities: (H, W, C) float32 array.
      image: (H, W, 3) uint8 array, RGB.
      params: `CRFParams`.
      refined: (H, W, C) float32 array that receives the result, which sums to one over C.
      num_threads: number of threads; None takes all processors.
      prune_below: labels whose probability is below this at every pixel exchange no messages.

    Raises:
      ValueError: where the features spread too far for the lattice, or memory is short.
    """
    given = read_only(probabilities)
    num_classes = probabilities.shape[2]
    with Crew(num_threads) as crew:
        beliefs = _beliefs(given, num_classes, prune_below, crew)
        plan = _plan(image, beliefs, params, crew)
        for _ in range(params.iterations):
            for kernel, calls in plan:
                crew.run_each(kernel, calls)
        pixels = crew.shares(len(beliefs.shrinkage))
        crew.run(kernels.give_back, pixels, given, num_classes, *beliefs, refined.reshape(-1))


def read_only(array):
    """The array, flat and read-only: numba compiles anew for arrays that can be written."""
    flat = np.ascontiguousarray(array).reshape(-1)
    flat.flags.writeable = False
    return flat


class Beliefs(NamedTuple):
    """What is given and believed about each of N points; a row has `width` lanes.

    Args:
      labels: int64, those that exchange messages.
      width: how many they are, filled up to whole vectors.
      prior: float32 (N width,), the probabilities given, at least 1e-5; 0 in surplus lanes.
      rest: float32 (N,), the other labels' sum, or (0,) where there are none.
      marginals: float32 (N width,), the current Q.
      shrinkage: float32 (N,), the other labels' Q over the probability given.
    """

    labels: np.ndarray
    width: int
    prior: np.ndarray
    rest: np.ndarray
    marginals: np.ndarray
    shrinkage: np.ndarray


def _beliefs(given, num_classes, prune_below, crew):
    """The beliefs before the first iteration."""
    num_points = len(given) // num_classes
    pixels = crew.shares(num_points)
    labels = np.arange(num_classes)
    if prune_below > 0:
        tops = crew.run(kernels.highest, pixels, given, num_classes)
        labels = np.flatnonzero(np.max(tops, axis=0) >= prune_below)
    width = -(-len(labels) // LANES) * LANES
    beliefs = Beliefs(
        labels,
        width,
        np.empty(num_points * width, np.float32),
        np.empty(num_points if len(labels) < num_classes else 0, np.float32),
        np.empty(num_points * width, np.float32),
        np.empty(num_points, np.float32),
    )
    crew.run(kernels.begin, pixels, given, num_classes, *beliefs)
    return beliefs


def _plan(image, beliefs, params, crew):
    """The steps of one iteration: (kernel, its calls, which may run at once), in order."""
    near, far = _lattices(image, params, crew)
    width = beliefs.width
    table = np.empty((near.num_vertices + far.num_vertices) * width, np.float32)
    splat, blurs = [], [[] for _ in far.chains]
    for lattice, rows in (
        (near, table[: near.num_vertices * width]),
        (far, table[near.num_vertices * width :]),
    ):
        entries = lattice.starts, lattice.points, lattice.point_weights
        for part in crew.parts(crew.balanced(lattice.starts)):
            splat.append((*part, *entries, beliefs.marginals, width, rows))
        for blur, chains in zip(blurs, lattice.chains, strict=False):
            for part in crew.parts(crew.balanced(chains[1])):
                blur.append((*part, *chains, width, rows))
    slices = _slices(near, far, params, crew)
    mixing = _mixing_rows(params.compatibility, width)
    pixels = crew.parts(crew.shares(len(beliefs.shrinkage)))
    update = [(*part, *slices, table, mixing, *beliefs[1:]) for part in pixels]
    return [
        (kernels.splat, splat),
        *((kernels.blur, blur) for blur in blurs),
        (kernels.update, update),
    ]


def _lattices(image, params, crew):
    """The lattices of the smoothness kernel (near) and of the appearance kernel (far)."""
    height, width = image.shape[:2]
    near, far = absent_lattice(height * width, 2), absent_lattice(height * width, 5)
    if params.w2:
        near = spatial_lattice(height, width, params, crew)
    if params.w1:
        far = bilateral_lattice(image, params, crew)
    return near, far


def _slices(near, far, params, crew):
    """Corners and weights of the points in both lattices, beside each other."""
    num_points = len(near.corners) // kernels.NEAR_CORNERS
    corners = np.empty(num_points * kernels.CORNERS, np.int32)
    weights = np.empty(num_points * kernels.CORNERS, np.float32)
    crew.run(
        kernels.interleave,
        crew.shares(num_points),
        (near.corners, near.weights),
        np.float32(params.w2 * near.height),
        (far.corners, far.weights),
        np.float32(params.w1 * far.height),
        near.num_vertices,
        corners,
        weights,
    )
    return corners, weights


def _mixing_rows(compatibility, width):
    """float32 (C width,): row k holds what label k adds to all labels' logits; () for Potts."""
    if compatibility is None:
        return np.empty(0, np.float32)
    costs = np.asarray(compatibility, np.float32)
    rows = np.zeros((len(costs), width), np.float32)
    rows[:, : len(costs)] = -costs.T
    return rows.reshape(-1)
