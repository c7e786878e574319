"""The vertices of a lattice that points have as corners: their numbers, and their neighbors.

Vertices are numbered in the order in which the points first have them as corners. Neighboring
pixels then read rows of the table that lie near each other, which the caches of a processor reward.
"""

import numpy as np

from crf.compile import kernel


def number_vertices(found, team):
    """Number all vertices in the order in which they first appear.

    Args:
      found: for each part of the points the int64 keys of its vertices, in the order in which
        the part numbered them.
      team: `ThreadTeam`.

    Returns:
      keys: the M keys, ascending.
      vertices: int32 (M,), the number of each key's vertex.
      numbers: for each part an int32 array that maps the part's own numbers to final numbers.
    """
    orders = team.run_calls(np.argsort, [(keys,) for keys in found])
    keys, positions = found[0][orders[0]], []
    for others, order in zip(found[1:], orders[1:], strict=True):
        keys, *moved = _merge(keys, others[order])
        positions = [moved[0][each] for each in positions or [slice(None)]] + [moved[1]]
    positions = positions or [np.arange(len(keys), dtype=np.int32)]
    vertices, count = np.full(len(keys), -1, np.int32), 0
    # The parts follow each other in the image, and so do the numbers.
    for part, order in enumerate(orders):
        places = np.empty_like(positions[part])
        places[order] = positions[part]
        count = _number_new(places, vertices, count)
        positions[part] = places
    return keys, vertices, [vertices[places] for places in positions]


@kernel
def _number_new(places, vertices, count):
    """Number the vertices at these places among the sorted keys that have no number yet."""
    for place in places:
        if vertices[place] < 0:
            vertices[place] = count
            count += 1
    return count


@kernel
def _merge(left, right):
    """Merge two ascending lists of keys.

    Returns the distinct keys, and the int32 positions of the left and of the right keys in them.
    """
    keys = np.empty(len(left) + len(right), np.int64)
    left_positions = np.empty(len(left), np.int32)
    right_positions = np.empty(len(right), np.int32)
    count = i = j = 0
    while i < len(left) or j < len(right):
        from_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        key = left[i] if from_left else right[j]
        if from_left:
            left_positions[i] = count
            i += 1
        if j < len(right) and right[j] == key:
            right_positions[j] = count
            j += 1
        keys[count] = key
        count += 1
    return keys[:count].copy(), left_positions, right_positions


@kernel
def find_chains(keys, vertices, offset):
    """The chains along one axis, as in `crf.cpu.lattice.Lattice`.

    Args:
      keys, vertices: as `number_vertices` gives them.
      offset: uint64; a vertex's key plus this, modulo 2^64, is the key of the next one.
    """
    num_vertices = len(keys)
    after = np.full(num_vertices, -1, np.int32)
    is_first = np.ones(num_vertices, np.bool_)
    row, last = 0, np.int64(np.uint64(keys[0]) + offset)
    # Keys and wanted keys both ascend, so one pass finds all neighbors; a second one if the wanted
    # keys wrap around.
    for place in range(num_vertices):
        wanted = np.int64(np.uint64(keys[place]) + offset)
        if wanted < last:
            row = 0
        last = wanted
        while row < num_vertices and keys[row] < wanted:
            row += 1
        if row < num_vertices and keys[row] == wanted:
            after[vertices[place]] = vertices[row]
            is_first[vertices[row]] = False
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
