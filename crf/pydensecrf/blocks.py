"""The lattice as the C++ code builds it, which takes points in blocks of four."""

from crf.cpu.lattice import point_lattice
from crf.gaussian import Kernel

_BLOCK = 4


def has_filling(num_points):
    """Whether pydensecrf fills the last block of points with some whose features are all 0.

    They carry no values, but the simplex that encloses them is part of the lattice, and the blur
    passes through it. For few points around the origin this changes marginals in the fourth digit.
    """
    return num_points % _BLOCK != 0


class BlockKernel(Kernel):
    """A `crf.Kernel` whose lattice has the same vertices as in pydensecrf; see `has_filling`."""

    def lattice(self, team):
        """The kernel's normalized lattice, built by a `ThreadTeam` when it is first needed."""
        if self._lattice is None:
            rest = self.normalization, team, has_filling(self.num_points)
            self._lattice = point_lattice(self.features, *rest)
        return self._lattice
