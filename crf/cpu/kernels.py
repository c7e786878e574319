"""The passes of a mean field iteration over points and vertices.

Every kernel works on one part of its task, from `low` to `high`, so that threads can share it;
none writes what another part reads. Arrays are flat; a row has `width` lanes, a multiple of 8.
"""

import numpy as np
from numba import njit

from crf.cpu.lanes import (
    LANES,
    add,
    exp_of_nonpositive,
    fill,
    load,
    maximum,
    maximum_across,
    multiply,
    multiply_add,
    store,
    sum_across,
)
from crf.mean_field import MIN_PROBABILITY

_MIN = np.float32(MIN_PROBABILITY)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# Corners of a point in the lattices of the smoothness and the appearance kernel, and in both.
NEAR_CORNERS, FAR_CORNERS = 3, 6
CORNERS = NEAR_CORNERS + FAR_CORNERS


@njit(nogil=True, cache=True)
def weighted_rows(rows, weights, begin, end, table, width, out, first):
    """Sum rows of a table: out[first:][:width] = sum of weights[e] table[rows[e]].

    As many lanes as fit are summed at once, because reading where the rows lie takes as long as
    reading them.
    """
    lane = 0
    while lane + 3 * LANES <= width:
        x, y, z = fill(_ZERO), fill(_ZERO), fill(_ZERO)
        for entry in range(begin, end):
            weight, row = fill(weights[entry]), rows[entry] * width + lane
            x = multiply_add(weight, load(table, row), x)
            y = multiply_add(weight, load(table, row + LANES), y)
            z = multiply_add(weight, load(table, row + 2 * LANES), z)
        store(out, first + lane, x)
        store(out, first + lane + LANES, y)
        store(out, first + lane + 2 * LANES, z)
        lane += 3 * LANES
    if lane + 2 * LANES <= width:
        x, y = fill(_ZERO), fill(_ZERO)
        for entry in range(begin, end):
            weight, row = fill(weights[entry]), rows[entry] * width + lane
            x = multiply_add(weight, load(table, row), x)
            y = multiply_add(weight, load(table, row + LANES), y)
        store(out, first + lane, x)
        store(out, first + lane + LANES, y)
        lane += 2 * LANES
    if lane < width:
        x = fill(_ZERO)
        for entry in range(begin, end):
            x = multiply_add(fill(weights[entry]), load(table, rows[entry] * width + lane), x)
        store(out, first + lane, x)


@njit(nogil=True, cache=True)
def splat(low, high, starts, points, point_weights, marginals, width, table):
    """Collect at vertices low to high what their points spread."""
    for vertex in range(low, high):
        weighted_rows(
            points,
            point_weights,
            starts[vertex],
            starts[vertex + 1],
            marginals,
            width,
            table,
            vertex * width,
        )


@njit(nogil=True, cache=True)
def blur(low, high, members, starts, width, table):
    """Blur along the chains low to high of an axis: v + (before + after) / 2, in place."""
    half = fill(_HALF)
    for chain in range(low, high):
        begin, end = starts[chain], starts[chain + 1]
        for lane in range(0, width, LANES):
            row = members[begin] * width + lane
            before, here = fill(_ZERO), load(table, row)
            for place in range(begin + 1, end):
                next_row = members[place] * width + lane
                after = load(table, next_row)
                store(table, row, multiply_add(half, add(before, after), here))
                before, here, row = here, after, next_row
            store(table, row, multiply_add(half, before, here))


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def update(
    low,
    high,
    corners,
    weights,
    table,
    mixing,
    width,
    prior,
    rest,
    marginals,
    shrinkage,
):
    """Set the marginals of points low to high: the prior times the exponential of messages.

    Args:
      low, high: the points.
      corners: int32 (9 N,), rows of the table where a point's messages lie.
      weights: float32 (9 N,), how much of each.
      table: float32 (M width,), what vertices hold after the blur.
      mixing: float32 (C width,), row k what label k adds to the logits; () for Potts.
      width, prior, rest, marginals, shrinkage: as in `crf.cpu.mean_field.Beliefs`.
    """
    messages, mixed = np.empty(width, np.float32), np.empty(width, np.float32)
    num_mixed = len(mixing) // width
    for point in range(low, high):
        top = gather_messages(corners, weights, CORNERS * point, table, width, messages)
        if num_mixed:
            top = mix(messages, num_mixed, mixing, width, mixed)
        # The highest message is taken off all, so that no exponential overflows. The prior is
        # at least 1e-5, so that what underflows has no weight. (Surplus lanes have prior 0.)
        down, total, row = fill(-top), fill(_ZERO), point * width
        for lane in range(0, width, LANES):
            value = exp_of_nonpositive(add(load(messages, lane), down))
            value = multiply(load(prior, row + lane), value)
            store(messages, lane, value)
            total = add(total, value)
        normalizer = sum_across(total)
        if len(rest):
            unmoved = np.exp(-top)
            normalizer += rest[point] * unmoved
            shrinkage[point] = unmoved / normalizer
        scale = fill(_ONE / normalizer)
        for lane in range(0, width, LANES):
            store(marginals, row + lane, multiply(scale, load(messages, lane)))


@njit(nogil=True, cache=True)
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
@njit(nogil=True, cache=True, fastmath={"reassoc", "nsz", "contract"})
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


@njit(nogil=True, cache=True)
def highest(low, high, given, num_classes):
    """The greatest probability of each label among points low to high."""
    top = np.zeros(num_classes, np.float32)
    for point in range(low, high):
        for label in range(num_classes):
            top[label] = max(top[label], given[point * num_classes + label])
    return top


@njit(nogil=True, cache=True)
def begin(low, high, given, num_classes, labels, width, prior, rest, marginals, shrinkage):
    """Set the prior of points low to high and what follows from it before any message."""
    for point in range(low, high):
        row, source = point * width, point * num_classes
        total = _ZERO
        for lane in range(len(labels)):
            value = max(given[source + labels[lane]], _MIN)
            prior[row + lane] = value
            total += value
        for lane in range(len(labels), width):
            prior[row + lane] = _ZERO
        if len(rest):
            rest[point] = -total
            for label in range(num_classes):
                rest[point] += max(given[source + label], _MIN)
            total += rest[point]
        shrinkage[point] = _ONE / total
        for lane in range(width):
            marginals[row + lane] = prior[row + lane] * shrinkage[point]


@njit(nogil=True, cache=True)
def give_back(
    low, high, given, num_classes, labels, width, prior, rest, marginals, shrinkage, refined
):
    """Write the result of points low to high: the marginals, and the other labels' share."""
    for point in range(low, high):
        row, target = point * width, point * num_classes
        if len(rest):
            for label in range(num_classes):
                value = max(given[target + label], _MIN)
                refined[target + label] = value * shrinkage[point]
        for lane in range(len(labels)):
            refined[target + labels[lane]] = marginals[row + lane]
