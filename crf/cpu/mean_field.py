"""Mean field inference compiled with numba: the updates of `crf.mean_field`, in few passes.

The values of a point, or of a lattice vertex, lie next to each other. An iteration is a splat by
vertices, a blur in place along each axis, and one pass over the points that slices both lattices
and normalizes.
"""

from typing import NamedTuple

import numpy as np

from crf.compile import read_only
from crf.cpu import kernels
from crf.cpu.joint import PARTS, JointLattice
from crf.cpu.kernels import label_effects, probability_floor
from crf.cpu.lattice import bilateral_lattice, empty_lattice, spatial_lattice
from crf.cpu.pruning import find_active_labels, merge_pruned, split_pruned
from crf.cpu.workspace import borrowed_workspace
from crf.memory import check_memory, inference_bytes
from crf.params import MIN_PROBABILITY
from crf.threads import ThreadTeam


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
    least=MIN_PROBABILITY,
    active=None,
    window=None,
    with_origin=False,
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
      least: smaller probabilities are clamped to this value, if no labels are pruned.
      active: the labels that exchange messages, in place of prune_below; as
        `find_active_labels` gives them.
      window: `crf.cpu.lattice.Window`, if the image is a part of a larger one.
      with_origin: as for `crf.cpu.lattice.bilateral_lattice`.

    Raises:
      ValueError: if the sigmas are too small for the lattice, or too little memory is available.
    """
    weights = (params.w1, params.w2) if weights is None else weights
    compatibility = params.compatibility if compatibility is None else compatibility
    prior, num_classes, flat_result = read_only(probabilities), result.shape[2], result.reshape(-1)
    with ThreadTeam(num_threads) as team, borrowed_workspace() as workspace:
        if active is None:
            active = find_active_labels(prior, num_classes, prune_below, team)
        rest = team, workspace, window, with_origin
        if len(active) == num_classes:
            floor = probability_floor(num_classes, least)
            state = State(prior, floor, num_classes, num_classes, flat_result)
            _run_updates(state, image, params, weights, compatibility, *rest)
            return
        # All pruned labels together are one more label, which exchanges no messages.
        merged = merge_pruned(prior, num_classes, active, team, workspace)
        marginals = workspace.array("marginals", len(merged), np.float32)
        floor = probability_floor(len(active) + 1)
        state = State(read_only(merged), floor, len(active) + 1, len(active), marginals)
        _run_updates(state, image, params, weights, None, *rest)
        split_pruned(prior, num_classes, active, merged, marginals, flat_result, team)


def _run_updates(
    state, image, params, weights, compatibility, team, workspace, window, with_origin
):
    """Set the marginals of the state to the result of mean field inference."""
    height, width = image.shape[:2]
    num_points, row = height * width, len(state.floor)
    points = team.split(num_points)
    team.run(kernels.initial_marginals, points, *state.update_arguments)
    if not params.iterations or not state.num_active:
        return
    check_memory(inference_bytes(height, width, state.num_labels), "the lattices of an image")
    if weights[1]:
        spatial = spatial_lattice(height, width, params, team, window)
    else:
        spatial = empty_lattice(num_points, 2)
    if weights[0]:
        bilateral = bilateral_lattice(image, params, team, workspace, window, with_origin)
    else:
        bilateral = empty_lattice(num_points, 5)
    lattices, factors = (spatial, bilateral), (weights[1], weights[0])
    joint = JointLattice(lattices, factors, row, team, workspace)
    passes = joint.passes(state.marginals, state.num_labels, state.num_active, team)
    effects = None if compatibility is None else label_effects(compatibility, row)
    inputs = joint.corners, joint.weights, joint.table, effects, *state.update_arguments
    update_calls = [(*part, *inputs) for part in team.split(num_points, PARTS)]
    for _ in range(params.iterations):
        for run, calls in passes:
            team.run_calls(run, calls)
        team.run_calls(kernels.update_points, update_calls)
