"""The passes of one mean field iteration over points and vertices.

A point is a pixel; a vertex is one of the lattice. Every kernel works on the part from `low` to
`high` of its task and writes nothing that another part reads, so that threads can share it.
Arrays are flat. A point's row has one element per label; a vertex's row has `width` elements,
the number of labels rounded up to whole SIMD vectors.
"""

import numpy as np
from numba import njit

from crf.compile import kernel
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
from crf.params import MIN_PROBABILITY

# Start of the SHA-256 of simd.py. Numba compiles cached kernels again if this file changes, but
# does not notice a change of simd.py; a test compares this checksum.
SIMD_CHECKSUM = "051345eba69b694e"

# Corners of a point's simplices in the lattices of the spatial and of the bilateral kernel.
CORNERS = 3 + 6

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)

# A real call would count references to every array, which takes longer than the work on a point.
inlined = njit(inline="always")


def probability_floor(num_labels, least=MIN_PROBABILITY):
    """float32 (width,): the minimum that probabilities are clamped to; 0 in unused lanes."""
    floor = np.zeros(-(-num_labels // LANES) * LANES, np.float32)
    floor[:num_labels] = least
    return floor


def label_effects(compatibility, width):
    """What a message of each label adds to the logits.

    Args:
      compatibility: (C,) or (C, C) numbers, as for `crf.Kernel`.
      width: length of a row, C rounded up to whole SIMD vectors.

    Returns:
      float32 (width,), what each label's message adds to its own logit; or (C width,), where row
      k is what label k's adds to all labels' logits. 0 in unused lanes.
    """
    costs = np.asarray(compatibility, np.float32)
    rows = costs if costs.ndim == 1 else -costs.T
    effects = np.zeros((*rows.shape[:-1], width), np.float32)
    effects[..., : rows.shape[-1]] = rows
    return effects.reshape(-1)


@kernel
def splat(
    low, high, starts, points, point_weights, marginals, num_labels, num_active, width, table
):
    """Sum up at vertices low to high the weighted marginals of their points.

    Three vectors of a row are summed at once, because computing a row's address takes as long as
    reading from it.

    Args:
      low, high: range of vertices.
      starts, points, point_weights: as in `crf.cpu.lattice.Lattice`.
      marginals, num_labels, num_active: as in `crf.cpu.mean_field.State`.
      width: length of a table row.
      table: float32 (M width,), receives the sums.
    """
    every, tail = first_lanes(LANES), first_lanes(num_active - width + LANES)
    for vertex in range(low, high):
        begin, end, first = starts[vertex], starts[vertex + 1], vertex * width
        lane = 0
        while lane + 3 * LANES <= width:
            last = tail if lane + 3 * LANES == width else every
            x, y, z = fill(_ZERO), fill(_ZERO), fill(_ZERO)
            for entry in range(begin, end):
                weight, row = fill(point_weights[entry]), points[entry] * num_labels + lane
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
                weight, row = fill(point_weights[entry]), points[entry] * num_labels + lane
                x = multiply_add(weight, load(marginals, row), x)
                y = multiply_add(weight, load_some(marginals, row + LANES, tail), y)
            store(table, first + lane, x)
            store(table, first + lane + LANES, y)
        elif lane + LANES == width:
            x = fill(_ZERO)
            for entry in range(begin, end):
                row = points[entry] * num_labels + lane
                part = load_some(marginals, row, tail)
                x = multiply_add(fill(point_weights[entry]), part, x)
            store(table, first + lane, x)


@kernel
def blur(low, high, members, starts, width, table):
    """Blur the table in place along one axis: v + (before + after) / 2.

    Args:
      low, high: range of chains.
      members, starts: the axis's chains, as in `crf.cpu.lattice.Lattice`.
      width: length of a table row.
      table: float32 (M width,).
    """
    # The unblurred previous row stays in registers, so the table can be overwritten in place.
    half, zero = fill(_HALF), fill(_ZERO)
    for chain in range(low, high):
        begin, end = starts[chain], starts[chain + 1]
        lane = 0
        while lane + 3 * LANES <= width:
            row = np.int64(members[begin]) * width + lane
            before_x = before_y = before_z = zero
            x, y, z = load(table, row), load(table, row + LANES), load(table, row + 2 * LANES)
            for position in range(begin + 1, end):
                after = np.int64(members[position]) * width + lane
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
            for position in range(begin + 1, end):
                after = np.int64(members[position]) * width + lane
                after_x = load(table, after)
                store(table, row, multiply_add(half, add(before, after_x), x))
                before, x, row = x, after_x, after
            store(table, row, multiply_add(half, before, x))
            lane += LANES


@inlined
def slice_point(corners, weights, first, num_corners, table, width, messages):
    """Set a point's messages to the weighted sum of its corners' rows.

    Returns the largest message, or 0 if all are negative.

    Args:
      corners, weights: as for `update_points`.
      first: index of the point's first corner.
      num_corners: number of its corners. If it is a constant, the compiler unrolls the loops.
      table: float32 (M width,), the blurred sums.
      width: length of a table row.
      messages: float32 (width,), receives the sums.
    """
    top = fill(_ZERO)
    lane = 0
    while lane + 3 * LANES <= width:
        x, y, z = fill(_ZERO), fill(_ZERO), fill(_ZERO)
        for corner in range(num_corners):
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
        for corner in range(num_corners):
            row = np.int64(corners[first + corner]) * width + lane
            x = multiply_add(fill(weights[first + corner]), load(table, row), x)
        store(messages, lane, x)
        top = maximum(top, x)
        lane += LANES
    return maximum_across(top)


@inlined
def _apply_compatibility(messages, num_labels, label_effects, width, scratch):
    """Multiply the messages by the matrix of label effects, in place; return the largest."""
    scratch[:width] = _ZERO
    for label in range(num_labels):
        message = fill(messages[label])
        for lane in range(0, width, LANES):
            effects = load(label_effects, label * width + lane)
            store(scratch, lane, multiply_add(message, effects, load(scratch, lane)))
    messages[:width] = scratch
    return messages[:num_labels].max()


@inlined
def _update_marginals(point, messages, top, prior, floor, num_labels, marginals, scratch):
    """Set a point's marginals to the softmax of log(prior) + messages.

    Args:
      point: index of the point.
      messages: float32 (width,).
      top: float32, at least the largest message. It is subtracted from all of them, so that no
        exponential overflows. The clamped prior is at least 1e-5, so terms that underflow are
        negligible.
      prior, floor, num_labels, marginals: as in `crf.cpu.mean_field.State`.
      scratch: float32 (width,).
    """
    row, last = point * num_labels, len(floor) - LANES
    down, total, tail = fill(-top), fill(_ZERO), first_lanes(num_labels - last)
    for lane in range(0, last, LANES):
        given = maximum(load(prior, row + lane), load(floor, lane))
        value = multiply(given, exp_of_nonpositive(add(load(messages, lane), down)))
        store(scratch, lane, value)
        total = add(total, value)
    # The last vector of a row may reach into the next row, so it needs a mask.
    given = maximum(load_some(prior, row + last, tail), load(floor, last))
    final = multiply(given, exp_of_nonpositive(add(load(messages, last), down)))
    scale = fill(_ONE / sum_across(add(total, final)))
    for lane in range(0, last, LANES):
        store(marginals, row + lane, multiply(scale, load(scratch, lane)))
    store_some(marginals, row + last, multiply(scale, final), tail)


@kernel
def initial_marginals(low, high, prior, floor, num_labels, marginals):
    """Set the marginals of points low to high to the normalized prior."""
    messages, scratch = np.zeros(len(floor), np.float32), np.empty(len(floor), np.float32)
    for point in range(low, high):
        _update_marginals(point, messages, _ZERO, prior, floor, num_labels, marginals, scratch)


@kernel
def update_points(
    low, high, corners, weights, table, label_effects, prior, floor, num_labels, marginals
):
    """Slice both lattices at points low to high, and set the marginals from these messages.

    Args:
      low, high: range of points.
      corners: int32 (9 N,), the table rows of each point's corners in both lattices.
      weights: float32 (9 N,), their weights.
      table: float32 (M width,), the blurred sums.
      label_effects: float32 (num_labels width,); row k is what a message of label k adds to the
        logits of all labels. None for the Potts model.
      prior, floor, num_labels, marginals: as in `crf.cpu.mean_field.State`.
    """
    width = len(floor)
    messages, scratch = np.empty(width, np.float32), np.empty(width, np.float32)
    for point in range(low, high):
        top = slice_point(corners, weights, CORNERS * point, CORNERS, table, width, messages)
        if label_effects is not None:
            top = _apply_compatibility(messages, num_labels, label_effects, width, scratch)
        _update_marginals(point, messages, top, prior, floor, num_labels, marginals, scratch)
