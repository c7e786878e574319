"""Unary energies as objects, for `DenseCRF.setUnary`."""

import numpy as np

from crf.pydensecrf.arguments import as_array


class Unary:
    """Unary energies for `DenseCRF.setUnary`; see `ConstUnary` and `LogisticUnary`.

    Args:
      energies: float32 (C, N).
    """

    def __init__(self, energies):
        self.energies = energies


class ConstUnary(Unary):
    """Given energies.

    Args:
      u: float32 (C, N); copied.

    Raises:
      TypeError: if `u` is no array.
      ValueError: for another type or shape.
    """

    def __init__(self, u):
        super().__init__(np.array(as_array(u, "u", np.float32, ("nlabels", "N"))))


class LogisticUnary(Unary):
    """Energies that are linear in the features of the points: L f.

    Args:
      L: float32 (C, F), the coefficients.
      f: float32 (F, N), the features.

    Raises:
      TypeError: if one is no array.
      ValueError: for another type or shape.
    """

    def __init__(self, L, f):
        L = as_array(L, "L", np.float32, ("nlabels", "F"))
        super().__init__(L @ as_array(f, "f", np.float32, (L.shape[1], "N")))
