"""The passes of a mean field iteration over points and vertices.

Every kernel works on one part of its task, from `low` to `high`, so that threads can share it;
none writes what another part reads. Arrays are flat. Rows of points have one element a label;
rows of vertices have `width`, the labels filled up to whole vectors.
"""

import numpy as np
from numba import njit

from crf.compile import kernel
from crf.cpu.lanes import (
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

# Kernels are compiled anew where this file changes, which numba sees, or lanes.py, which it does
# not: hence its checksum here.
LANES_CHECKSUM = "2b3946a2f104e639"

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# Corners of a point in the lattices of the smoothness and the appearance kernel, and in both.
NEAR_CORNERS, FAR_CORNERS = 3, 6
CORNERS = NEAR_CORNERS + FAR_CORNERS

# A call would count references to every array, which takes longer than the work on one point.
_inlined = njit(inline="always")


@kernel
def splat(low, high, starts, points, point_weights, marginals, labels, speakers, width, table):
    """Collect at vertices low to high what their points spread.

    As many lanes as fit are summed at once, because finding where the rows lie takes as long
    as reading them.

    Args:
      low, high: the vertices.
      starts, points, point_weights: as in `crf.cpu.lattice.Lattice`.
      marginals, labels, speakers: as in `crf.cpu.mean_field.Beliefs`.
      width: lanes of a row of the table.
      table: float32 (M width,), receives the sums.
    """
    every, tail = first_lanes(LANES), first_lanes(speakers - width + LANES)
    for vertex in range(low, high):
        begin, end, first = starts[vertex], starts[vertex + 1], vertex * width
        lane = 0
        while lane + 3 * LANES <= width:
            last = tail if lane + 3 * LANES == width else every
            x, y, z = fill(_ZERO), fill(_ZERO), fill(_ZERO)
            for entry in range(begin, end):
                weight, row = fill(point_weights[entry]), points[entry] * labels + lane
                x = multiply_add(weight, load(marginals, row), x)
                y = multiply_add(weight, load(marginals, row + LANES), y)
                z = multiply_add(weight, load_some(marginals, row + 2 * LANES, last), z)
            store(table, first + lane, x)
            store(table, first + lane + LANES, y)
            store(table, first + lane + 2 * LANES, z)
            lane += 3 * LANES
        if lane + 2 * LANES == width:
            x, y = fill(_ZERO), fill(_ZERO)
            for entry in range(begin, end):
                weight, row = fill(point_weights[entry]), points[entry] * labels + lane
                x = multiply_add(weight, load(marginals, row), x)
                y = multiply_add(weight, load_some(marginals, row + LANES, tail), y)
            store(table, first + lane, x)
            store(table, first + lane + LANES, y)
        elif lane + LANES == width:
            x = fill(_ZERO)
            for entry in range(begin, end):
                row = points[entry] * labels + lane
                part = load_some(marginals, row, tail)
                x = multiply_add(fill(point_weights[entry]), part, x)
            store(table, first + lane, x)


@kernel
def blur(low, high, members, starts, width, table):
    """Blur along the chains low to high of an axis: v + (before + after) / 2, in place."""
    half, zero = fill(_HALF), fill(_ZERO)
    for chain in range(low, high):
        begin, end = starts[chain], starts[chain + 1]
        lane = 0
        while lane + 3 * LANES <= width:
            row = np.int64(members[begin]) * width + lane
            before_x = before_y = before_z = zero
            x, y, z = load(table, row), load(table, row + LANES), load(table, row + 2 * LANES)
            for place in range(begin + 1, end):
                after = np.int64(members[place]) * width + lane
                after_x = load(table, after)
                after_y = load(table, after + LANES)
                after_z = load(table, after + 2 * LANES)
                store(table, row, multiply_add(half, add(before_x, after_x), x))
                store(table, row + LANES, multiply_add(half, add(before_y, after_y), y))
                store(table, row + 2 * LANES, multiply_add(half, add(before_z, after_z), z))
                before_x, before_y, before_z = x, y, z
                x, y, z, row = after_x, after_y, after_z, after
            store(table, row, multiply_add(half, before_x, x))
            store(table, row + LANES, multiply_add(half, before_y, y))
            store(table, row + 2 * LANES, multiply_add(half, before_z, z))
            lane += 3 * LANES
        while lane < width:
            row = np.int64(members[begin]) * width + lane
            before, x = zero, load(table, row)
            for place in range(begin + 1, end):
                after = np.int64(members[place]) * width + lane
                after_x = load(table, after)
                store(table, row, multiply_add(half, add(before, after_x), x))
                before, x, row = x, after_x, after
            store(table, row, multiply_add(half, before, x))
            lane += LANES


@_inlined
def gather_messages(corners, weights, first, table, width, messages):
    """Sum the rows of a point's 9 corners, as `weighted_rows` does; the greatest sum, or 0."""
    top = fill(_ZERO)
    lane = 0
    while lane + 3 * LANES <= width:
        x, y, z = fill(_ZERO), fill(_ZERO), fill(_ZERO)
        # A fixed number of corners, so that the loop disappears.
        for corner in range(CORNERS):
            weight = fill(weights[first + corner])
            row = np.int64(corners[first + corner]) * width + lane
            x = multiply_add(weight, load(table, row), x)
            y = multiply_add(weight, load(table, row + LANES), y)
            z = multiply_add(weight, load(table, row + 2 * LANES), z)
        store(messages, lane, x)
        store(messages, lane + LANES, y)
        store(messages, lane + 2 * LANES, z)
        top = maximum(maximum(top, x), maximum(y, z))
        lane += 3 * LANES
    while lane < width:
        x = fill(_ZERO)
        for corner in range(CORNERS):
            row = np.int64(corners[first + corner]) * width + lane
            x = multiply_add(fill(weights[first + corner]), load(table, row), x)
        store(messages, lane, x)
        top = maximum(top, x)
        lane += LANES
    return maximum_across(top)


@_inlined
def mix(messages, num_labels, mixing, width, mixed):
    """Replace the messages by what the compatibility makes of them; the greatest."""
    mixed[:width] = _ZERO
    for label in range(num_labels):
        share = fill(messages[label])
        for lane in range(0, width, LANES):
            row = load(mixing, label * width + lane)
            store(mixed, lane, multiply_add(share, row, load(mixed, lane)))
    messages[:width] = mixed
    return messages[:num_labels].max()


@_inlined
def believe(point, messages, top, prior, floor, labels, marginals, values):
    """Set a point's marginals: its prior times the exponential of its messages, normalized.

    Args:
      point: which.
      messages: float32 (width,).
      top: float32, at least their greatest; it is taken off all, so that no exponential
        overflows. The prior is at least 1e-5, so that what underflows has no weight.
      prior, floor, labels, marginals: as in `crf.cpu.mean_field.Beliefs`.
      values: float32 (width,), scratch.
    """
    row, last = point * labels, len(floor) - LANES
    down, total, tail = fill(-top), fill(_ZERO), first_lanes(labels - last)
    for lane in range(0, last, LANES):
        given = maximum(load(prior, row + lane), load(floor, lane))
        value = multiply(given, exp_of_nonpositive(add(load(messages, lane), down)))
        store(values, lane, value)
        total = add(total, value)
    # The last vector of a row ends where the next row begins.
    given = maximum(load_some(prior, row + last, tail), load(floor, last))
    final = multiply(given, exp_of_nonpositive(add(load(messages, last), down)))
    scale = fill(_ONE / sum_across(add(total, final)))
    for lane in range(0, last, LANES):
        store(marginals, row + lane, multiply(scale, load(values, lane)))
    store_some(marginals, row + last, multiply(scale, final), tail)


@kernel
def begin(low, high, prior, floor, labels, marginals):
    """Set the marginals of points low to high before there are messages: the prior alone."""
    messages, values = np.zeros(len(floor), np.float32), np.empty(len(floor), np.float32)
    for point in range(low, high):
        believe(point, messages, _ZERO, prior, floor, labels, marginals, values)


@kernel
def update(
    low,
    high,
    corners,
    weights,
    table,
    mixing,
    prior,
    floor,
    labels,
    marginals,
):
    """Set the marginals of points low to high from the messages they receive.

    Args:
      low, high: the points.
      corners: int32 (9 N,), rows of the table where a point's messages lie.
      weights: float32 (9 N,), how much of each.
      table: float32 (M width,), what vertices hold after the blur.
      mixing: float32 (labels width,), row k what label k adds to the logits; None for
        Potts.
      prior, floor, labels, marginals: as in `crf.cpu.mean_field.Beliefs`.
    """
    width = len(floor)
    messages, scratch = np.empty(width, np.float32), np.empty(width, np.float32)
    for point in range(low, high):
        top = gather_messages(corners, weights, CORNERS * point, table, width, messages)
        if mixing is not None:
            top = mix(messages, labels, mixing, width, scratch)
        believe(point, messages, top, prior, floor, labels, marginals, scratch)


@kernel
def interleave(low, high, near, near_strength, far, far_strength, far_row, corners, weights):
    """Put the corners of points low to high in both lattices beside each other.

    Args:
      low, high: the points.
      near, far: (corners int32 (N (d + 1),), weights float32) of either lattice.
      near_strength, far_strength: float32, what the weights are multiplied with.
      far_row: the table's row where the far lattice begins.
      corners: int32 (9 N,), receives rows of the table.
      weights: float32 (9 N,), receives how much of each.
    """
    near_corners, near_weights = near
    far_corners, far_weights = far
    for point in range(low, high):
        first = CORNERS * point
        for corner in range(NEAR_CORNERS):
            corners[first + corner] = near_corners[NEAR_CORNERS * point + corner]
            weights[first + corner] = near_strength * near_weights[NEAR_CORNERS * point + corner]
        first += NEAR_CORNERS
        for corner in range(FAR_CORNERS):
            corners[first + corner] = far_row + far_corners[FAR_CORNERS * point + corner]
            weights[first + corner] = far_strength * far_weights[FAR_CORNERS * point + corner]


# Sums in any order, so that they can be vectors, but NaN remains NaN.
@kernel(fastmath={"reassoc", "nsz", "contract"})
def survey(low, high, given, num_classes, tolerance):
    """Whether what is given for points low to high are probabilities; NaN is none."""
    good = True
    for point in range(low, high):
        total, least = _ZERO, _ZERO
        for value in given[point * num_classes : (point + 1) * num_classes]:
            total += value
            least = min(least, value)
        good &= abs(total - _ONE) <= tolerance and least >= _ZERO
    return good


@kernel
def highest(low, high, given, num_classes):
    """The greatest probability of each label among points low to high."""
    width = -(-num_classes // LANES) * LANES
    top, last = np.zeros(width, np.float32), width - LANES
    tail = first_lanes(num_classes - last)
    for point in range(low, high):
        row = point * num_classes
        for lane in range(0, last, LANES):
            store(top, lane, maximum(load(given, row + lane), load(top, lane)))
        store(top, last, maximum(load_some(given, row + last, tail), load(top, last)))
    return top[:num_classes]


@kernel
def pick(low, high, given, num_classes, picked, floor, others, prior):
    """Split what is given for points low to high into picked labels and the sum of the rest.

    Args:
      low, high: the points.
      given: float32 (N num_classes,).
      num_classes: all labels.
      picked: int64, those that exchange messages.
      floor: float32 (num_classes filled up,), the least a probability counts as.
      others: float32, the same size, 1 for each label that is not picked, else 0.
      prior: float32 (N (picked + 1),), receives the picked ones and the sum of the others.
    """
    last = len(floor) - LANES
    tail = first_lanes(num_classes - last)
    for point in range(low, high):
        row, target = point * num_classes, point * (len(picked) + 1)
        value = maximum(load_some(given, row + last, tail), load(floor, last))
        total = multiply(value, load(others, last))
        for lane in range(0, last, LANES):
            value = maximum(load(given, row + lane), load(floor, lane))
            total = multiply_add(value, load(others, lane), total)
        for lane in range(len(picked)):
            prior[target + lane] = given[row + picked[lane]]
        prior[target + len(picked)] = sum_across(total)


@kernel
def put_back(low, high, given, num_classes, picked, floor, prior, marginals, refined):
    """Write the result of points low to high; the others divide their marginal as was given.

    Args:
      low, high, given, num_classes, picked, floor: as for `pick`.
      prior, marginals: float32 (N (picked + 1),), of the picked labels and all others together.
      refined: float32 (N num_classes,), receives the marginals of all labels.
    """
    last = len(floor) - LANES
    tail = first_lanes(num_classes - last)
    for point in range(low, high):
        row, source = point * num_classes, point * (len(picked) + 1)
        others = source + len(picked)
        factor = fill(marginals[others] / prior[others])
        for lane in range(0, last, LANES):
            value = maximum(load(given, row + lane), load(floor, lane))
            store(refined, row + lane, multiply(value, factor))
        value = maximum(load_some(given, row + last, tail), load(floor, last))
        store_some(refined, row + last, multiply(value, factor), tail)
        for lane in range(len(picked)):
            refined[row + picked[lane]] = marginals[source + lane]
