"""Lattices of several kernels over the same points, filtered together."""

import numpy as np

from crf.compile import kernel
from crf.cpu import kernels
from crf.memory import check_memory

# Parts per thread of each pass: enough to balance the load if other programs run too.
PARTS = 4

# A table of fewer elements fits the private cache of a processor core.
_SMALL_TABLE = 2**20


class JointLattice:
    """Lattices with one table for all their vertices, so that one loop slices them all.

    Args:
      lattices: list of `crf.cpu.lattice.Lattice` over the same N points, at least one.
      factors: a number for each lattice that its messages are multiplied with.
      row: length of a table row, the number of labels rounded up to whole SIMD vectors.
      team: `ThreadTeam`.
      workspace: `Workspace` for the arrays.

    Attributes:
      corners: int32 (N num_corners,), the table rows of each point's corners in all lattices.
      weights: float32 (N num_corners,), their weights, with the factors in them.
      num_corners: corners of a point in all lattices together.
      table: float32 (M row,) for M vertices of all lattices.
    """

    def __init__(self, lattices, factors, row, team, workspace):
        self._row = row
        first_rows = np.cumsum([0, *(lattice.num_vertices for lattice in lattices)]).tolist()
        check_memory(4 * first_rows[-1] * row, "the lattices' vertices")
        self.table = workspace.array("table", first_rows[-1] * row, np.float32)
        # The lattice with most entries is most of the work, so it starts first; threads that become
        # idle take parts of the others.
        self._tables = sorted(
            (
                (lattice, self.table[first * row : (first + lattice.num_vertices) * row])
                for lattice, first in zip(lattices, first_rows, strict=False)
            ),
            key=lambda pair: -len(pair[0].points),
        )
        self.num_corners = sum(lattice.num_corners for lattice in lattices)
        num_points = len(lattices[0].corners) // lattices[0].num_corners
        size = num_points * self.num_corners
        self.corners = workspace.array("joined corners", size, np.int32)
        self.weights = workspace.array("joined weights", size, np.float32)
        column = 0
        for lattice, factor, first in zip(lattices, factors, first_rows, strict=False):
            source = lattice.corners, lattice.weights, lattice.num_corners
            target = first, self.num_corners, column, self.corners, self.weights
            factor = np.float32(float(factor) * lattice.height)
            team.run(_join, team.split(num_points), *source, factor, *target)
            column += lattice.num_corners

    def passes(self, marginals, num_labels, num_active, team):
        """The passes that filter the marginals into the table, before points read from it.

        Args:
          marginals: float32 (N num_labels,).
          num_labels: number of labels.
          num_active: how many of them exchange messages; these come first.
          team: `ThreadTeam`.

        Returns:
          List of (kernel, calls): each kernel is to run with all its calls, in this order.
        """
        arguments = marginals, num_labels, num_active, self._row
        splat_calls = [
            (*part, lattice.starts, lattice.points, lattice.point_weights, *arguments, table)
            for lattice, table in self._tables
            for part in team.split_evenly(lattice.starts, PARTS)
        ]
        return [(kernels.splat, splat_calls), *((_blur, c) for c in self._blur_calls(team))]

    def filter(self, values, num_labels, team):
        """Filter the values of all labels into the table, once.

        Args:
          values, num_labels, team: as for `passes`.
        """
        for run, calls in self.passes(values, num_labels, num_labels, team):
            team.run_calls(run, calls)

    def _blur_calls(self, team):
        """For each axis, the calls of `_blur`, which may run in parallel.

        A large table is blurred along one axis after the other by all threads. A small one is
        blurred by a single thread along all axes, because waking the others for each axis takes
        longer.
        """
        axes = [[] for _ in self._tables[0][0].chains]
        for lattice, table in self._tables:
            if lattice.num_vertices * self._row < _SMALL_TABLE:
                axes[0].append((lattice.chains, self._row, table))
                continue
            for calls, chains in zip(axes, lattice.chains, strict=False):
                for part in team.split_evenly(chains[1], PARTS):
                    calls.append(([chains], self._row, table, *part))
        return [calls for calls in axes if calls]


def _blur(axes, row, table, low=0, high=None):
    """Blur along the axes one after the other: chains low to high, or all."""
    for members, starts in axes:
        kernels.blur(low, len(starts) - 1 if high is None else high, members, starts, row, table)


@kernel
def _join(
    low,
    high,
    corners,
    weights,
    num_corners,
    factor,
    first_row,
    joined_corners,
    column,
    all_corners,
    all_weights,
):
    """Copy the corners of points low to high in one lattice to those in all lattices.

    Args:
      low, high: range of points.
      corners, weights, num_corners: of the lattice.
      factor: float32 factor of the weights.
      first_row: the table row where the lattice begins.
      joined_corners: number of a point's corners in all lattices.
      column: which of them is the lattice's first one.
      all_corners: int32 (N joined_corners,), receives table rows.
      all_weights: float32 (N joined_corners,), receives the weights.
    """
    for point in range(low, high):
        target, source = joined_corners * point + column, num_corners * point
        for corner in range(num_corners):
            all_corners[target + corner] = first_row + corners[source + corner]
            all_weights[target + corner] = factor * weights[source + corner]
