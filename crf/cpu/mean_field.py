"""Mean field inference compiled with numba: the updates of `crf.mean_field`, in few passes.

The values of a point, or of a lattice vertex, lie next to each other. An iteration is a splat by
vertices, a blur in place along each axis, and one pass over the points that slices both lattices
and normalizes.
"""

from typing import NamedTuple

import numpy as np

from crf.compile import kernel, read_only
from crf.cpu import kernels
from crf.cpu.kernels import BILATERAL_CORNERS, CORNERS, SPATIAL_CORNERS, probability_floor
from crf.cpu.lattice import bilateral_lattice, empty_lattice, spatial_lattice
from crf.cpu.pruning import find_active_labels, merge_pruned, split_pruned
from crf.cpu.workspace import borrowed_workspace
from crf.memory import check_memory, inference_bytes
from crf.threads import ThreadTeam

# Parts per thread of each pass: enough to balance the load if other programs run too.
_PARTS = 4

# A table of fewer elements fits the private cache of a processor core.
_SMALL_TABLE = 2**20


class State(NamedTuple):
    """Prior and current marginals of N points.

    Args:
      prior: float32 (N num_labels,), read-only, the given probabilities.
      floor: float32 (width,), the minimum that they are clamped to; 0 in unused lanes.
      num_labels: number of labels.
      num_active: how many of them exchange messages; these come first.
      marginals: float32 (N num_labels,), the current Q.
    """

    prior: np.ndarray
    floor: np.ndarray
    num_labels: int
    num_active: int
    marginals: np.ndarray

    @property
    def update_arguments(self):
        """The last arguments of the kernels that set marginals."""
        return self.prior, self.floor, self.num_labels, self.marginals


def numba_mean_field(
    probabilities,
    image,
    params,
    result,
    weights=None,
    compatibility=None,
    num_threads=None,
    prune_below=0.0,
):
    """Refine one image.

    Args:
      probabilities: (H, W, C) float32 array.
      image: (H, W, 3) uint8 array, RGB.
      params: `CRFParams`.
      result: (H, W, C) float32 array that receives the marginals, which sum to one over C.
      weights: two numbers in place of the params' w1 and w2.
      compatibility: (C, C) array in place of the params' own.
      num_threads: number of threads; None uses all processors.
      prune_below: labels whose probability is below this at every pixel exchange no messages;
        for the Potts model only.

    Raises:
      ValueError: if the sigmas are too small for the lattice, or too little memory is available.
    """
    weights = (params.w1, params.w2) if weights is None else weights
    compatibility = params.compatibility if compatibility is None else compatibility
    prior, num_classes, flat_result = read_only(probabilities), result.shape[2], result.reshape(-1)
    with ThreadTeam(num_threads) as team, borrowed_workspace() as workspace:
        active = find_active_labels(prior, num_classes, prune_below, team)
        if len(active) == num_classes:
            floor = probability_floor(num_classes)
            state = State(prior, floor, num_classes, num_classes, flat_result)
            _run_updates(state, image, params, weights, compatibility, team, workspace)
            return
        # All pruned labels together are one more label, which exchanges no messages.
        merged = merge_pruned(prior, num_classes, active, team, workspace)
        marginals = workspace.array("marginals", len(merged), np.float32)
        floor = probability_floor(len(active) + 1)
        state = State(read_only(merged), floor, len(active) + 1, len(active), marginals)
        _run_updates(state, image, params, weights, None, team, workspace)
        split_pruned(prior, num_classes, active, merged, marginals, flat_result, team)


def _run_updates(state, image, params, weights, compatibility, team, workspace):
    """Set the marginals of the state to the result of mean field inference."""
    height, width = image.shape[:2]
    num_points, row = height * width, len(state.floor)
    points = team.split(num_points)
    team.run(kernels.initial_marginals, points, *state.update_arguments)
    if not params.iterations or not state.num_active:
        return
    check_memory(inference_bytes(height, width, state.num_labels), "the lattices of an image")
    if weights[1]:
        spatial = spatial_lattice(height, width, params, team)
    else:
        spatial = empty_lattice(num_points, 2)
    if weights[0]:
        bilateral = bilateral_lattice(image, params, team, workspace)
    else:
        bilateral = empty_lattice(num_points, 5)
    # One table for both lattices (spatial rows first), so that one loop slices both.
    size = (spatial.num_vertices + bilateral.num_vertices) * row
    check_memory(4 * size, "the lattices' vertices")
    table = workspace.array("table", size, np.float32)
    # The bilateral lattice is most of the work, so it starts first; threads that become idle take
    # parts of the spatial one.
    tables = (bilateral, table[spatial.num_vertices * row :]), (spatial, table)
    splat_calls = _splat_calls(tables, state, team)
    blur_calls = _blur_calls(tables, row, team)
    corners = _join_corners(spatial, bilateral, weights, points, team, workspace)
    inputs = *corners, table, _label_effects(compatibility, row), *state.update_arguments
    update_calls = [(*part, *inputs) for part in team.split(num_points, _PARTS)]
    for _ in range(params.iterations):
        team.run_calls(kernels.splat, splat_calls)
        for calls in blur_calls:
            team.run_calls(_blur, calls)
        team.run_calls(kernels.update_points, update_calls)


def _splat_calls(tables, state, team):
    """The calls of `kernels.splat` for [(lattice, its table)]."""
    marginals = state.marginals, state.num_labels, state.num_active, len(state.floor)
    return [
        (*part, lattice.starts, lattice.points, lattice.point_weights, *marginals, table)
        for lattice, table in tables
        for part in team.split_evenly(lattice.starts, _PARTS)
    ]


def _blur_calls(tables, row, team):
    """For each axis, the calls of `_blur` for [(lattice, its table)], which may run in parallel.

    A large table is blurred along one axis after the other by all threads. A small one is blurred
    by a single thread along all axes, because waking the others for each axis takes longer.
    """
    axes = [[] for _ in tables[0][0].chains]
    for lattice, table in tables:
        if lattice.num_vertices * row < _SMALL_TABLE:
            axes[0].append((lattice.chains, row, table))
            continue
        for calls, chains in zip(axes, lattice.chains, strict=False):
            for part in team.split_evenly(chains[1], _PARTS):
                calls.append(([chains], row, table, *part))
    return [calls for calls in axes if calls]


def _blur(axes, row, table, low=0, high=None):
    """Blur along the axes one after the other: chains low to high, or all."""
    for members, starts in axes:
        kernels.blur(low, len(starts) - 1 if high is None else high, members, starts, row, table)


def _join_corners(spatial, bilateral, weights, points, team, workspace):
    """Corners and weights of the points in both lattices, as `kernels.update_points` takes them."""
    num_points = len(spatial.corners) // SPATIAL_CORNERS
    corners = workspace.array("joined corners", num_points * CORNERS, np.int32)
    corner_weights = workspace.array("joined weights", num_points * CORNERS, np.float32)
    team.run(
        _join,
        points,
        (spatial.corners, spatial.weights),
        np.float32(float(weights[1]) * spatial.height),
        (bilateral.corners, bilateral.weights),
        np.float32(float(weights[0]) * bilateral.height),
        spatial.num_vertices,
        corners,
        corner_weights,
    )
    return corners, corner_weights


@kernel
def _join(
    low, high, spatial, spatial_factor, bilateral, bilateral_factor, offset, corners, weights
):
    """Put the corners of points low to high in both lattices next to each other.

    Args:
      low, high: range of points.
      spatial, bilateral: (corners int32 (N (d + 1),), weights float32) of each lattice.
      spatial_factor, bilateral_factor: float32 factors of these weights.
      offset: the table row where the bilateral lattice begins.
      corners: int32 (9 N,), receives table rows.
      weights: float32 (9 N,), receives the weights.
    """
    spatial_corners, spatial_weights = spatial
    bilateral_corners, bilateral_weights = bilateral
    for point in range(low, high):
        target, source = CORNERS * point, SPATIAL_CORNERS * point
        for corner in range(SPATIAL_CORNERS):
            corners[target + corner] = spatial_corners[source + corner]
            weights[target + corner] = spatial_factor * spatial_weights[source + corner]
        target, source = target + SPATIAL_CORNERS, BILATERAL_CORNERS * point
        for corner in range(BILATERAL_CORNERS):
            corners[target + corner] = offset + bilateral_corners[source + corner]
            weights[target + corner] = bilateral_factor * bilateral_weights[source + corner]


def _label_effects(compatibility, row):
    """float32 (C row,): row k is what label k adds to all labels' logits; None for Potts."""
    if compatibility is None:
        return None
    costs = np.asarray(compatibility, np.float32)
    effects = np.zeros((len(costs), row), np.float32)
    effects[:, : len(costs)] = -costs.T
    return effects.reshape(-1)
