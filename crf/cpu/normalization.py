"""Division of a lattice's filter by its row sums, folded into the weights."""

import math

import numpy as np

from crf.compile import kernel


def normalize(lattice, normalization, crew):
    """Fold the division by the kernel's row sums into the weights."""
    if normalization == "none":
        return
    axes, num_points = lattice.num_corners, len(lattice.corners) // lattice.num_corners
    table = np.empty(lattice.num_vertices, np.float32)
    entries = crew.balanced(lattice.starts)
    crew.run(_splat_ones, entries, lattice.starts, lattice.point_weights, table)
    for members, starts in lattice.chains:
        crew.run(_blur_column, crew.balanced(starts), members, starts, table)
    factors = np.empty(num_points, np.float32)
    both_sides = normalization == "symmetric"
    pixels = crew.shares(num_points)
    crew.run(
        _row_factors,
        pixels,
        axes,
        lattice.corners,
        lattice.weights,
        table,
        np.float32(lattice.height),
        both_sides,
        factors,
    )
    if normalization != "before":
        crew.run(_scale_rows, pixels, axes, lattice.weights, factors)
    if normalization != "after":
        entries = crew.shares(len(lattice.points))
        crew.run(_scale_entries, entries, lattice.points, lattice.point_weights, factors)


@kernel
def _splat_ones(low, high, starts, point_weights, table):
    """What vertices low to high collect where every point holds one."""
    for vertex in range(low, high):
        total = np.float32(0)
        for entry in range(starts[vertex], starts[vertex + 1]):
            total += point_weights[entry]
        table[vertex] = total


@kernel
def _blur_column(low, high, members, starts, table):
    """Blur one number a vertex along the chains low to high of an axis, in place."""
    for chain in range(low, high):
        before = np.float32(0)
        for place in range(starts[chain], starts[chain + 1]):
            here = table[members[place]]
            after = np.float32(0)
            if place + 1 < starts[chain + 1]:
                after = table[members[place + 1]]
            table[members[place]] = here + np.float32(0.5) * (before + after)
            before = here


@kernel
def _row_factors(low, high, axes, corners, weights, table, height, both_sides, factors):
    """What the rows of points low to high are multiplied with: one over their sum, or its root."""
    for point in range(low, high):
        row_sum = np.float32(0)
        for corner in range(point * axes, (point + 1) * axes):
            row_sum += weights[corner] * table[corners[corner]]
        row_sum = height * row_sum + np.float32(1e-20)
        factors[point] = np.float32(1) / (math.sqrt(row_sum) if both_sides else row_sum)


@kernel
def _scale_rows(low, high, axes, weights, factors):
    """Multiply the weights of points low to high."""
    for point in range(low, high):
        for corner in range(point * axes, (point + 1) * axes):
            weights[corner] *= factors[point]


@kernel
def _scale_entries(low, high, points, point_weights, factors):
    """Multiply the vertices' entries low to high by their points' factors."""
    for entry in range(low, high):
        point_weights[entry] *= factors[points[entry]]
