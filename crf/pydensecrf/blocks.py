"""The lattice as the C++ code builds it, which takes points in blocks of four."""

import numpy as np

from crf.cpu.lattice import point_lattice
from crf.cpu.normalization import normalize_lattice
from crf.gaussian import Kernel

BLOCK = 4


class BlockKernel(Kernel):
    """A `crf.Kernel` whose lattice has the same vertices as in pydensecrf.

    pydensecrf fills the last block of points with some whose features are all 0. They carry no
    values, but the simplex that encloses them is part of the lattice, and the blur passes through
    it. For few points around the origin this changes marginals in the fourth digit.
    """

    def lattice(self, team):
        """The kernel's normalized lattice, built by a `ThreadTeam` when it is first needed."""
        missing = -self.num_points % BLOCK
        if self._lattice is None and missing:
            self._lattice = self._filled_lattice(missing, team)
        return super().lattice(team)

    def _filled_lattice(self, missing, team):
        num_points, d = self.features.shape
        features = np.concatenate([self.features, np.zeros((missing, d), np.float32)])
        lattice = point_lattice(features, "none", team)
        # Entries of the filling points become parts of point 0 with the weight 0.
        entries = np.flatnonzero(lattice.points >= num_points)
        lattice.points[entries] = 0
        lattice.point_weights[entries] = 0
        lattice = lattice._replace(
            corners=lattice.corners[: num_points * (d + 1)],
            weights=lattice.weights[: num_points * (d + 1)],
        )
        factors = normalize_lattice(lattice, self.normalization, team)
        return lattice._replace(factors=factors)
