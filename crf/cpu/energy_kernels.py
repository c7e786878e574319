"""Mean field updates from unary energies, for any kernels and label compatibilities.

Arrays are flat, as in kernels.py. Kernels that share a label compatibility are a group: their
messages are summed up before labels are mixed.
"""

import math
from typing import NamedTuple

import numpy as np

from crf.compile import kernel
from crf.cpu.kernels import inlined, slice_point
from crf.cpu.simd import (
    LANES,
    add,
    exp_of_nonpositive,
    fill,
    first_lanes,
    load,
    load_some,
    maximum,
    maximum_across,
    multiply,
    multiply_add,
    store,
    store_some,
    sum_across,
)

# Start of the SHA-256 of simd.py; kernels.py explains why it is here.
SIMD_CHECKSUM = "051345eba69b694e"

_ZERO, _ONE = np.float32(0), np.float32(1)
# Logit of a lane without a label: finite, and far below any other.
_NOTHING = np.float32(-1e37)


class Groups(NamedTuple):
    """What points read from the table, by groups of kernels.

    Args:
      corners: int32 (N T,), the table rows of each point's T corners in all lattices.
      weights: float32 (N T,), their weights.
      bounds: int64 (G + 1,), group g has the corners bounds[g] to bounds[g + 1] of each point.
      effects: float32, for each group nothing (its messages are added to the logits as they are),
        (width,) factors of the labels, or (C width,): row k is what a message of label k adds to
        the logits of all labels.
      effect_starts: int64 (G + 1,), where each group's effects begin.
      own: float32 (N G,), the weight of a point's message to itself, which is left out; empty if
        it is kept.
      table: float32 (M width,), the blurred sums.
    """

    corners: np.ndarray
    weights: np.ndarray
    bounds: np.ndarray
    effects: np.ndarray
    effect_starts: np.ndarray
    own: np.ndarray
    table: np.ndarray


@inlined
def _add_messages(point, groups, marginals, num_labels, width, messages, total):
    """Set `total`, float32 (width,), to what all groups add to the logits of a point."""
    corners, weights, bounds, effects, effect_starts, own, table = groups
    num_groups, tail = len(bounds) - 1, first_lanes(num_labels - width + LANES)
    total[:width] = _ZERO
    for group in range(num_groups):
        first = point * bounds[num_groups] + bounds[group]
        num_corners = bounds[group + 1] - bounds[group]
        slice_point(corners, weights, first, num_corners, table, width, messages)
        if len(own):
            weight, row = fill(-own[point * num_groups + group]), point * num_labels
            for lane in range(0, width - LANES, LANES):
                kept = multiply_add(weight, load(marginals, row + lane), load(messages, lane))
                store(messages, lane, kept)
            lane = width - LANES
            mine = load_some(marginals, row + lane, tail)
            store(messages, lane, multiply_add(weight, mine, load(messages, lane)))
        begin, size = effect_starts[group], effect_starts[group + 1] - effect_starts[group]
        if size == 0:
            for lane in range(0, width, LANES):
                store(total, lane, add(load(messages, lane), load(total, lane)))
        elif size == width:
            for lane in range(0, width, LANES):
                factor = load(effects, begin + lane)
                store(total, lane, multiply_add(factor, load(messages, lane), load(total, lane)))
        else:
            for label in range(num_labels):
                message, row = fill(messages[label]), begin + label * width
                for lane in range(0, width, LANES):
                    effect = load(effects, row + lane)
                    store(total, lane, multiply_add(message, effect, load(total, lane)))


@kernel
def update_from_energies(low, high, groups, unary, num_labels, damping, marginals):
    """Set the marginals of points low to high to the softmax of messages minus unary energies.

    Args:
      low, high: range of points.
      groups: `Groups`.
      unary: float32 (N num_labels,), read-only.
      num_labels: number of labels.
      damping: float32, how much of the marginals remains as it was.
      marginals: float32 (N num_labels,), the current Q.

    Returns:
      float64, the sum of the squared changes.
    """
    width = -(-num_labels // LANES) * LANES
    messages, logits = np.empty(width, np.float32), np.empty(width, np.float32)
    last, tail = width - LANES, first_lanes(num_labels - width + LANES)
    # 0 in lanes with a label, and a very low logit in those without.
    surplus = np.zeros(LANES, np.float32)
    surplus[num_labels - last :] = _NOTHING
    minus, kept = fill(-_ONE), fill(damping)
    change = 0.0
    for point in range(low, high):
        _add_messages(point, groups, marginals, num_labels, width, messages, logits)
        row, top = point * num_labels, fill(_NOTHING)
        for lane in range(0, last, LANES):
            logit = multiply_add(minus, load(unary, row + lane), load(logits, lane))
            store(logits, lane, logit)
            top = maximum(top, logit)
        energy = load_some(unary, row + last, tail)
        logit = add(multiply_add(minus, energy, load(logits, last)), load(surplus, 0))
        store(logits, last, logit)
        down, total = fill(-maximum_across(maximum(top, logit))), fill(_ZERO)
        for lane in range(0, width, LANES):
            value = exp_of_nonpositive(add(load(logits, lane), down))
            store(logits, lane, value)
            total = add(total, value)
        scale, moved = fill((_ONE - damping) / sum_across(total)), fill(_ZERO)
        for lane in range(0, last, LANES):
            before = load(marginals, row + lane)
            after = multiply_add(scale, load(logits, lane), multiply(kept, before))
            store(marginals, row + lane, after)
            difference = multiply_add(minus, before, after)
            moved = multiply_add(difference, difference, moved)
        before = load_some(marginals, row + last, tail)
        after = multiply_add(scale, load(logits, last), multiply(kept, before))
        store_some(marginals, row + last, after, tail)
        difference = multiply_add(minus, before, after)
        change += sum_across(multiply_add(difference, difference, moved))
    return change


@kernel
def sum_energies(low, high, groups, unary, num_labels, marginals):
    """The three sums of `crf.energy.EnergyTerms` over points low to high, as float64."""
    width = -(-num_labels // LANES) * LANES
    messages, logits = np.empty(width, np.float32), np.empty(width, np.float32)
    negative_entropy = alone = together = 0.0
    for point in range(low, high):
        _add_messages(point, groups, marginals, num_labels, width, messages, logits)
        for label in range(num_labels):
            value = marginals[point * num_labels + label]
            # The limit of q log q is 0, and marginals may be 0.
            negative_entropy += value * math.log(max(value, np.float32(1e-38)))
            alone += value * unary[point * num_labels + label]
            together -= value * logits[label]
    return negative_entropy, alone, together


@kernel
def read_points(low, high, corners, weights, num_corners, table, num_labels, result):
    """Set the rows of points low to high to the weighted sums of their corners' rows.

    Args:
      low, high: range of points.
      corners, weights, num_corners, table: as in `crf.cpu.joint.JointLattice`.
      num_labels: length of a point's row.
      result: float32 (N num_labels,), receives the sums.
    """
    width = -(-num_labels // LANES) * LANES
    messages = np.empty(width, np.float32)
    for point in range(low, high):
        slice_point(corners, weights, point * num_corners, num_corners, table, width, messages)
        result[point * num_labels : (point + 1) * num_labels] = messages[:num_labels]
