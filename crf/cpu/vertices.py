"""Vertices: their final numbers, their points, and which follow each other along an axis."""

import numpy as np

from crf.compile import kernel


def number_vertices(found, crew):
    """Number vertices in the order of their keys.

    Args:
      found: for each part of the points the int64 keys it met, in the order of its own numbers.
      crew: `Crew` that sorts them.

    Returns:
      All keys, ascending, and for each part the int32 final numbers of its own numbers.
    """
    orders = crew.run_each(np.argsort, [(keys,) for keys in found])
    merged, numbers = found[0][orders[0]], []
    for keys, order in zip(found[1:], orders[1:], strict=True):
        merged, *places = _merge(merged, keys[order])
        numbers = [places[0][number] for number in numbers or [slice(None)]] + [places[1]]
    numbers = numbers or [np.arange(len(merged), dtype=np.int32)]
    return merged, [_undo(order, number) for order, number in zip(orders, numbers, strict=True)]


def _undo(order, numbers):
    """The numbers of sorted keys, for the keys as they were before."""
    before = np.empty_like(numbers)
    before[order] = numbers
    return before


@kernel
def _merge(left, right):
    """Merge ascending keys: all of them once, and where those of either side went (int32)."""
    keys = np.empty(len(left) + len(right), np.int64)
    left_places = np.empty(len(left), np.int32)
    right_places = np.empty(len(right), np.int32)
    count = i = j = 0
    while i < len(left) or j < len(right):
        from_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        key = left[i] if from_left else right[j]
        if from_left:
            left_places[i] = count
            i += 1
        if j < len(right) and right[j] == key:
            right_places[j] = count
            j += 1
        keys[count] = key
        count += 1
    return keys[:count].copy(), left_places, right_places


@kernel
def renumber(low, high, axes, corners, numbers, counts):
    """Give the corners of points low to high their final numbers; count how often each occurs."""
    for corner in range(low * axes, high * axes):
        number = numbers[corners[corner]]
        corners[corner] = number
        counts[number] += 1


@kernel
def first_places(counts):
    """Turn the counts of each part into where its entries begin; where each vertex begins."""
    num_parts, num_vertices = counts.shape
    starts = np.empty(num_vertices + 1, np.int64)
    total = 0
    for vertex in range(num_vertices):
        starts[vertex] = total
        for part in range(num_parts):
            count = counts[part, vertex]
            counts[part, vertex] = total
            total += count
    starts[num_vertices] = total
    return starts


@kernel
def collect(low, high, axes, corners, weights, firsts, points, point_weights):
    """List points low to high under their vertices, from place `firsts` of each on."""
    for point in range(low, high):
        for corner in range(point * axes, (point + 1) * axes):
            place = firsts[corners[corner]]
            firsts[corners[corner]] = place + 1
            points[place] = point
            point_weights[place] = weights[corner]


@kernel
def chains_along(keys, offset):
    """Vertices that follow each other along an axis: members, and where chains begin."""
    num_vertices = len(keys)
    after = np.full(num_vertices, -1, np.int32)
    is_first = np.ones(num_vertices, np.bool_)
    row = 0
    # Both the keys and those of the neighbors ascend, so one pass finds all.
    for vertex in range(num_vertices):
        wanted = keys[vertex] + offset
        while row < num_vertices and keys[row] < wanted:
            row += 1
        if row < num_vertices and keys[row] == wanted:
            after[vertex] = row
            is_first[row] = False
    members = np.empty(num_vertices, np.int32)
    starts = np.zeros(num_vertices // 2 + 1, np.int64)
    count = num_chains = 0
    for vertex in range(num_vertices):
        if not is_first[vertex] or after[vertex] < 0:
            continue
        member = np.int32(vertex)
        while member >= 0:
            members[count] = member
            count += 1
            member = after[member]
        num_chains += 1
        starts[num_chains] = count
    return members[:count].copy(), starts[: num_chains + 1].copy()
