"""The weight with which a lattice returns a point's own value to it."""

import numpy as np

from crf.compile import kernel


def self_weights(lattice, normalization, team):
    """The diagonal of the normalized filter: what each point gets back of its own value.

    The lattice only approximates the kernel, so this is not its value at distance 0: it is below it
    if the point is far from its corners.

    Args:
      lattice: `crf.cpu.lattice.Lattice`.
      normalization: the one that the lattice was normalized with.
      team: `ThreadTeam`.

    Returns:
      float32 (N,).
    """
    num_corners = lattice.num_corners
    # For each axis the vertex before and the one after each vertex; -1 if there is none.
    neighbors = np.full((num_corners, 2, lattice.num_vertices), -1, np.int32)
    calls = zip(neighbors, lattice.chains, strict=True)
    team.run_calls(_list_neighbors, [(*chains, own) for own, chains in calls])
    num_points = len(lattice.corners) // num_corners
    result = np.empty(num_points, np.float32)
    points = lattice.corners, lattice.weights, num_corners
    team.run(_find_self_weights, team.split(num_points), *points, neighbors, result)
    result *= np.float32(lattice.height)
    # The weights of slicing count twice above; those of splatting may be normalized differently.
    if normalization == "before":
        result *= lattice.factors
    elif normalization == "after":
        result /= lattice.factors
    return result


@kernel
def _list_neighbors(members, starts, neighbors):
    """Set neighbors int32 (2, M) along an axis from its chains."""
    for chain in range(len(starts) - 1):
        for position in range(starts[chain] + 1, starts[chain + 1]):
            neighbors[1, members[position - 1]] = members[position]
            neighbors[0, members[position]] = members[position - 1]


@kernel
def _find_self_weights(low, high, corners, weights, num_corners, neighbors, result):
    """Set the sums over pairs of corners of weight times blur times weight, points low to high."""
    blurred = np.empty((num_corners, num_corners), np.float64)
    for point in range(low, high):
        first = point * num_corners
        same = point > low
        for corner in range(num_corners):
            same &= corners[first + corner] == corners[first - num_corners + corner]
        # Neighboring points often lie in the same simplex.
        if not same:
            _blur_simplex(corners[first : first + num_corners], neighbors, blurred)
        total = 0.0
        for start in range(num_corners):
            for end in range(num_corners):
                total += weights[first + start] * blurred[start, end] * weights[first + end]
        result[point] = total


@kernel
def _blur_simplex(simplex, neighbors, blurred):
    """Set blurred[k, l] to what the blur brings from corner k of a simplex to corner l.

    The blur goes along one axis after the other, and along each may stay, or step forwards or
    backwards at half the weight. The corners form a circle: from each to the next it is one step
    backwards, along an axis of its own. So the ways from k to l are to step backwards along the
    axes between, or forwards along all others.
    """
    num_corners = len(simplex)
    axis_after = np.empty(num_corners, np.int64)
    for corner in range(num_corners):
        following = simplex[(corner + 1) % num_corners]
        for axis in range(num_corners):
            if neighbors[axis, 0, simplex[corner]] == following:
                axis_after[corner] = axis
    steps_back = np.empty(num_corners, np.bool_)
    for start in range(num_corners):
        steps_back[:] = False
        for steps in range(num_corners + 1):
            # The ways to the corner `steps` further, which is the first one again in the end.
            value = 0.0
            back = forth = simplex[start]
            for axis in range(num_corners):
                if steps_back[axis] and back >= 0:
                    back = neighbors[axis, 0, back]
                elif not steps_back[axis] and forth >= 0:
                    forth = neighbors[axis, 1, forth]
            if back >= 0:
                value += 0.5**steps
            if forth >= 0:
                value += 0.5 ** (num_corners - steps)
            end = (start + steps) % num_corners
            if steps < num_corners:
                blurred[start, end] = value
                steps_back[axis_after[end]] = True
            else:
                blurred[start, end] += value - 1.0
