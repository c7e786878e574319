"""Mean field updates on the lattices of any kernels."""

import numpy as np

from crf.compile import read_only
from crf.cpu.energy_kernels import Groups, read_points, sum_energies, update_from_energies
from crf.cpu.joint import PARTS, JointLattice
from crf.cpu.kernels import label_effects
from crf.cpu.simd import LANES
from crf.cpu.workspace import Workspace
from crf.energy import EnergyTerms
from crf.memory import check_memory
from crf.threads import ThreadTeam


class LatticeUpdates:
    """Mean field updates of N points with C labels; as `crf.exact_inference.ExactUpdates`.

    Args:
      unary: (N, C) float32, the energies of each label alone.
      kernels: list of `crf.Kernel`.
      self_messages: whether a point's message to itself is kept.
      num_threads: number of threads; None uses all processors.
    """

    def __init__(self, unary, kernels, self_messages=True, num_threads=None):
        self._unary, self._num_labels = read_only(unary), unary.shape[1]
        self._num_points, self._num_threads = len(unary), num_threads
        width = -(-self._num_labels // LANES) * LANES
        corners = sum(kernel.features.shape[1] + 1 for kernel in kernels)
        check_memory(len(unary) * (24 * corners + 4 * self._num_labels), "the lattices")
        groups = _grouped(kernels)
        kernels = [kernel for group in groups for kernel in group]
        with ThreadTeam(num_threads) as team:
            lattices = [kernel.lattice(team) for kernel in kernels]
            factors = [_weight(kernel) for kernel in kernels]
            self._joint = None
            own = np.zeros(0, np.float32)
            if kernels:
                self._joint = JointLattice(lattices, factors, width, team, Workspace())
                if not self_messages:
                    diagonals = [kernel.self_weights(team) for kernel in kernels]
                    own = _own_weights(groups, factors, diagonals)
        self._groups = _as_arrays(groups, self._joint, own, width)
        # The array whose values the table holds, filtered; None if it has changed since.
        self._filtered = None

    def initial(self):
        """Marginals from the unary energies alone, (N, C) float32."""
        marginals = np.zeros((self._num_points, self._num_labels), np.float32)
        nothing = self._groups._replace(bounds=np.zeros(1, np.int64))
        with ThreadTeam(self._num_threads) as team:
            self._run(update_from_energies, nothing, team, np.float32(0), marginals.reshape(-1))
        return marginals

    def update(self, marginals, damping):
        """Set the marginals, (N, C) float32, to those after one update; return the change.

        Returns:
          The sum over all points and labels of the squared changes.
        """
        with ThreadTeam(self._num_threads) as team:
            self._filter(marginals, team)
            rest = np.float32(damping), marginals.reshape(-1)
            change = sum(self._run(update_from_energies, self._groups, team, *rest))
        self._filtered = None
        return change

    def energy_terms(self, marginals):
        """`EnergyTerms` of marginals, (N, C) float32."""
        with ThreadTeam(self._num_threads) as team:
            self._filter(marginals, team)
            sums = self._run(sum_energies, self._groups, team, marginals.reshape(-1))
        return EnergyTerms(*(sum(parts) for parts in zip(*sums, strict=True)))

    def _filter(self, marginals, team):
        """Filter the marginals into the table, unless it holds them already."""
        if self._joint is None or self._filtered is marginals:
            return
        self._joint.filter(marginals.reshape(-1), self._num_labels, team)
        self._filtered = marginals

    def _run(self, kernel, groups, team, *rest):
        points = team.split(self._num_points, PARTS)
        return team.run(kernel, points, groups, self._unary, self._num_labels, *rest)


def filter_values(lattice, values, team):
    """Run a lattice's filter once.

    Args:
      lattice: `crf.cpu.lattice.Lattice`.
      values: (N, C) float32, contiguous.
      team: `ThreadTeam`.

    Returns:
      (N, C) float32.
    """
    num_points, num_labels = values.shape
    result = np.empty(values.shape, np.float32)
    width = -(-num_labels // LANES) * LANES
    joint = JointLattice([lattice], [1], width, team, Workspace())
    joint.filter(values.reshape(-1), num_labels, team)
    read = joint.corners, joint.weights, joint.num_corners, joint.table
    team.run(read_points, team.split(num_points, PARTS), *read, num_labels, result.reshape(-1))
    return result


def _grouped(kernels):
    """Lists of kernels with the same label compatibility, but for the weight of a Potts model."""
    groups = {}
    for kernel in kernels:
        costs = kernel.compatibility
        # By value: every kernel has a copy of its own.
        key = (costs.shape, costs.tobytes()) if np.ndim(costs) else ()
        groups.setdefault(key, []).append(kernel)
    return list(groups.values())


def _weight(kernel):
    """The factor of a kernel's messages: the weight of a Potts model, otherwise 1."""
    return 1.0 if np.ndim(kernel.compatibility) else kernel.compatibility


def _own_weights(groups, factors, diagonals):
    """float32 (N G,): the weight of each point's own message in each group."""
    weighted = iter([factor * own for factor, own in zip(factors, diagonals, strict=True)])
    columns = [sum(next(weighted) for _ in group) for group in groups]
    return np.stack(columns, axis=1).astype(np.float32).reshape(-1)


def _as_arrays(groups, joint, own, width):
    """The `Groups` that the kernels of numba take."""
    sizes = [sum(kernel.features.shape[1] + 1 for kernel in group) for group in groups]
    nothing = np.zeros(0, np.float32)
    costs = [group[0].compatibility for group in groups]
    effects = [label_effects(each, width) if np.ndim(each) else nothing for each in costs]
    return Groups(
        np.zeros(0, np.int32) if joint is None else joint.corners,
        nothing if joint is None else joint.weights,
        np.cumsum([0, *sizes], dtype=np.int64),
        np.concatenate([nothing, *effects]),
        np.cumsum([0, *map(len, effects)], dtype=np.int64),
        own,
        nothing if joint is None else joint.table,
    )
