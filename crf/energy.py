"""The free energy that mean field inference minimizes."""

from typing import NamedTuple


class EnergyTerms(NamedTuple):
    """The parts of the free energy of marginals Q, summed over all points i and labels l.

    Args:
      negative_entropy: sum of Q_i(l) log Q_i(l).
      unary: sum of Q_i(l) times the unary energy.
      pairwise: sum over ordered pairs of points and labels of Q_i(l) M[l][m] k(i, j) Q_j(m). A
        Potts model counts as M = -w on the diagonal, which differs from w off the diagonal only
        by a constant.
    """

    negative_entropy: float
    unary: float
    pairwise: float

    @property
    def free_energy(self):
        """KL(Q || P) - log Z, where each pair of points counts once.

        Krähenbühl and Koltun 2011, supplement: mean field updates are the stationary points of
        this number if the kernels and compatibilities are symmetric. A point's message to itself,
        where it is kept, counts half.
        """
        return self.negative_entropy + self.unary + self.pairwise / 2

    @property
    def kl_divergence(self):
        """The number that pydensecrf's `klDivergence` gives: each pair of points counts twice."""
        return self.negative_entropy + self.unary + self.pairwise
