"""Normalization of a lattice's filter by its row sums, folded into the lattice's weights."""

import math

import numpy as np

from crf.compile import kernel


def normalize_lattice(lattice, normalization, team):
    """Divide a lattice's filter by its row sums, in place, by changing its weights.

    Args:
      lattice: `crf.cpu.lattice.Lattice`; its weights and point_weights are changed.
      normalization: as in `CRFParams`.
      team: `ThreadTeam`.

    Returns:
      float32 (N,): one over each point's row sum, or for "symmetric" over its root; None for
      "none".
    """
    if normalization == "none":
        return None
    num_corners, num_points = lattice.num_corners, len(lattice.corners) // lattice.num_corners
    table = np.empty(lattice.num_vertices, np.float32)
    vertices = team.split_evenly(lattice.starts)
    team.run(_splat_ones, vertices, lattice.starts, lattice.point_weights, table)
    for members, starts in lattice.chains:
        team.run(_blur_column, team.split_evenly(starts), members, starts, table)
    points = team.split(num_points)
    factors = np.empty(num_points, np.float32)
    slicing = lattice.corners, lattice.weights, table, np.float32(lattice.height)
    team.run(_row_factors, points, num_corners, *slicing, normalization == "symmetric", factors)
    if normalization != "before":
        team.run(_scale_weights, points, num_corners, lattice.weights, factors)
    if normalization != "after":
        entries = team.split(len(lattice.points))
        team.run(_scale_point_weights, entries, lattice.points, lattice.point_weights, factors)
    return factors


@kernel
def _splat_ones(low, high, starts, point_weights, table):
    """Splat at vertices low to high the value one of every point."""
    for vertex in range(low, high):
        total = np.float32(0)
        for entry in range(starts[vertex], starts[vertex + 1]):
            total += point_weights[entry]
        table[vertex] = total


@kernel
def _blur_column(low, high, members, starts, table):
    """Blur one number per vertex in place along the chains low to high of an axis."""
    for chain in range(low, high):
        before = np.float32(0)
        for position in range(starts[chain], starts[chain + 1]):
            here = table[members[position]]
            after = np.float32(0)
            if position + 1 < starts[chain + 1]:
                after = table[members[position + 1]]
            table[members[position]] = here + np.float32(0.5) * (before + after)
            before = here


@kernel
def _row_factors(low, high, num_corners, corners, weights, table, height, both_sides, factors):
    """Set the factors of points low to high to one over their row sum, or over its root."""
    for point in range(low, high):
        row_sum = np.float32(0)
        for corner in range(point * num_corners, (point + 1) * num_corners):
            row_sum += weights[corner] * table[corners[corner]]
        row_sum = height * row_sum + np.float32(1e-20)
        factors[point] = np.float32(1) / (math.sqrt(row_sum) if both_sides else row_sum)


@kernel
def _scale_weights(low, high, num_corners, weights, factors):
    """Multiply the slice weights of points low to high by their factors."""
    for point in range(low, high):
        for corner in range(point * num_corners, (point + 1) * num_corners):
            weights[corner] *= factors[point]


@kernel
def _scale_point_weights(low, high, points, point_weights, factors):
    """Multiply the splat weights low to high by the factors of their points."""
    for entry in range(low, high):
        point_weights[entry] *= factors[points[entry]]
