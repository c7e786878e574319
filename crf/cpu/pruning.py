"""Pruning: leaving labels that are improbable everywhere in an image out of the inference."""

import numpy as np

from crf.compile import kernel
from crf.cpu.kernels import probability_floor
from crf.cpu.simd import (
    LANES,
    fill,
    first_lanes,
    load,
    load_some,
    maximum,
    multiply,
    multiply_add,
    store,
    store_some,
    sum_across,
)

# Start of the SHA-256 of simd.py; kernels.py explains why it is here.
SIMD_CHECKSUM = "051345eba69b694e"


def find_active_labels(probabilities, num_labels, prune_below, team):
    """Find the labels that exchange messages.

    Args:
      probabilities: float32 (N num_labels,), read-only.
      num_labels: number of all labels.
      prune_below: a label whose probability is below this at every point is left out.
      team: `ThreadTeam`.

    Returns:
      int64 array of label indices, ascending.
    """
    if not prune_below:
        return np.arange(num_labels)
    points = team.split(len(probabilities) // num_labels)
    largest = team.run(_largest, points, probabilities, num_labels)
    return np.flatnonzero(np.max(largest, axis=0) >= prune_below)


def merge_pruned(probabilities, num_labels, active, team, workspace):
    """Probabilities of the active labels, and as a last label the sum of all others.

    Args:
      probabilities, num_labels, team: as for `find_active_labels`.
      active: the active labels, as `find_active_labels` gives them.
      workspace: `Workspace` for the result.

    Returns:
      float32 (N (len(active) + 1),).
    """
    points = len(probabilities) // num_labels
    merged = workspace.array("merged", points * (len(active) + 1), np.float32)
    floor = probability_floor(num_labels)
    is_pruned = np.ones_like(floor)
    is_pruned[active] = 0
    rest = num_labels, active, floor, is_pruned, merged
    team.run(_merge, team.split(points), probabilities, *rest)
    return merged


def split_pruned(probabilities, num_labels, active, merged, marginals, result, team):
    """Write the marginals of all labels; pruned ones share theirs in proportion to their prior.

    Args:
      probabilities, num_labels, active, team: as for `merge_pruned`.
      merged, marginals: float32 (N (len(active) + 1),), the prior and the result of inference on
        the active labels and all others together.
      result: float32 (N num_labels,), receives the marginals.
    """
    rest = num_labels, active, probability_floor(num_labels), merged, marginals, result
    points = team.split(len(probabilities) // num_labels)
    team.run(_split, points, probabilities, *rest)


@kernel
def _largest(low, high, probabilities, num_labels):
    """The largest probability of each label among points low to high."""
    width = -(-num_labels // LANES) * LANES
    top, last = np.zeros(width, np.float32), width - LANES
    tail = first_lanes(num_labels - last)
    for point in range(low, high):
        row = point * num_labels
        for lane in range(0, last, LANES):
            store(top, lane, maximum(load(probabilities, row + lane), load(top, lane)))
        store(top, last, maximum(load_some(probabilities, row + last, tail), load(top, last)))
    return top[:num_labels]


@kernel
def _merge(low, high, probabilities, num_labels, active, floor, is_pruned, merged):
    """Set the merged rows of points low to high; is_pruned float32 is 1 for pruned labels."""
    last = len(floor) - LANES
    tail = first_lanes(num_labels - last)
    for point in range(low, high):
        row, target = point * num_labels, point * (len(active) + 1)
        value = maximum(load_some(probabilities, row + last, tail), load(floor, last))
        total = multiply(value, load(is_pruned, last))
        for lane in range(0, last, LANES):
            value = maximum(load(probabilities, row + lane), load(floor, lane))
            total = multiply_add(value, load(is_pruned, lane), total)
        for index in range(len(active)):
            merged[target + index] = probabilities[row + active[index]]
        merged[target + len(active)] = sum_across(total)


@kernel
def _split(low, high, probabilities, num_labels, active, floor, merged, marginals, result):
    """Set the results of points low to high."""
    last = len(floor) - LANES
    tail = first_lanes(num_labels - last)
    for point in range(low, high):
        row, source = point * num_labels, point * (len(active) + 1)
        others = source + len(active)
        # First every label as if it were pruned, whole vectors at once; then the active ones.
        factor = fill(marginals[others] / merged[others])
        for lane in range(0, last, LANES):
            value = maximum(load(probabilities, row + lane), load(floor, lane))
            store(result, row + lane, multiply(value, factor))
        value = maximum(load_some(probabilities, row + last, tail), load(floor, last))
        store_some(result, row + last, multiply(value, factor), tail)
        for index in range(len(active)):
            result[row + active[index]] = marginals[source + index]
