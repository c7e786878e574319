"""Mean field inference over any points with any Gaussian kernels."""

import warnings
from typing import NamedTuple

import numpy as np

from crf.checks import (
    as_numbers,
    check_count,
    check_damping,
    check_num_threads,
    check_sums,
    check_switch,
    check_tolerance,
    tolerance_of_sums,
)
from crf.cpu.lattice_updates import LatticeUpdates
from crf.exact_inference import ExactUpdates
from crf.gaussian import Kernel
from crf.wording import ARRAYS

_ENGINES = {"lattice": LatticeUpdates, "exact": ExactUpdates}
_WORDS = ARRAYS._replace(function="MeanField", probabilities="marginals")


class MeanField:
    """Mean field inference in a fully connected CRF, one update after the other.

    It starts with the marginals Q = softmax(-unary). An update of all points in parallel is

        Q_i(l) = softmax over l of ( -unary_i(l) - sum_kernels sum_j k(i, j) sum_m M[l][m] Q_j(m) ),

    Algorithm 1 of Krähenbühl and Koltun 2011. `crf.Kernel` explains k and M.

    Args:
      unary: (N, C) finite numbers, the energy of each label at each point: the negative logarithm
        of its probability, up to a constant for each point. Or (..., C), such as (H, W, C).
      kernels: list of `Kernel` over the same N points, or a single one; may be empty.
      engine: "lattice" (compiled for the CPU; an approximation whose time grows with N) or "exact"
        (all pairs of points; its time grows with N², so for some thousand points at most).
      damping: how much of the marginals before an update remains: 0 is the update above, 0.5 the
        mean of before and after. Helps where updates oscillate, as they may with strong kernels,
        negative weights or without normalization. At least 0, below 1.
      self_messages: whether a point's message to itself is kept, as in the published code. The
        paper's sum leaves it out (j ≠ i). The kernels' row sums include the point in either case.
      num_threads: number of threads of the lattice engine; None uses all processors.

    Raises:
      ValueError: naming the argument that is wrong, and the remedy.

    Example:
      >>> model = MeanField(unary, [Kernel(grid_features(unary.shape[:-1], sigma=3), 3)])
      >>> for _ in range(5):
      ...     model.step()
      ...     print(model.free_energy())
      >>> labels = model.marginals.argmax(axis=-1)
    """

    def __init__(
        self,
        unary,
        kernels,
        *,
        engine="lattice",
        damping=0.0,
        self_messages=True,
        num_threads=None,
    ):
        unary = _checked_unary(unary)
        self._shape, num_labels = unary.shape, unary.shape[-1]
        unary = unary.reshape(-1, num_labels)
        kernels = _checked_kernels(kernels, *unary.shape)
        if not (isinstance(engine, str) and engine in _ENGINES):
            raise ValueError(
                f"MeanField: unknown engine {engine!r}; available: " + ", ".join(_ENGINES)
            )
        self._damping = check_damping(damping, "MeanField")
        check_switch(self_messages, "MeanField: self_messages")
        self._num_threads = check_num_threads(num_threads, "MeanField")
        self._updates = _ENGINES[engine](unary, kernels, self_messages, self._num_threads)
        self._marginals = self._updates.initial()

    @property
    def marginals(self):
        """The current Q, float32 of the unary energies' shape; a copy.

        Set it to continue from other marginals: not negative, summing to one over the labels.
        """
        return self._marginals.reshape(self._shape).copy()

    @marginals.setter
    def marginals(self, values):
        values = as_numbers(values, "MeanField: marginals", None)
        if values.shape not in (self._shape, self._marginals.shape):
            raise ValueError(
                f"MeanField: marginals must be {self._shape} as the unary energies, but are "
                f"{values.shape}"
            )
        tolerance, values = tolerance_of_sums(values.dtype.name), values.astype(np.float32)
        check_sums(values, tolerance, _WORDS, self._num_threads)
        self._continue_from(values)

    def _continue_from(self, values):
        """Set the marginals to any finite numbers; the drop-in for pydensecrf allows all."""
        self._marginals = np.array(values, np.float32, order="C").reshape(self._marginals.shape)

    def step(self):
        """Update all marginals once.

        Returns:
          The change: the sum over labels of (Q after - Q before)², averaged over points.
        """
        change = self._updates.update(self._marginals, self._damping)
        return change / len(self._marginals)

    def energy_terms(self):
        """`EnergyTerms` of the current marginals: entropy, unary and pairwise energy."""
        return self._updates.energy_terms(self._marginals)

    def free_energy(self):
        """The free energy of the current marginals: KL(Q || P) up to the constant log Z."""
        return self.energy_terms().free_energy

    def kl_divergence(self):
        """What pydensecrf's `klDivergence` gives; see `EnergyTerms.kl_divergence`."""
        return self.energy_terms().kl_divergence


class Inference(NamedTuple):
    """Result of `infer`.

    Args:
      marginals: float32 of the unary energies' shape, summing to one over the labels.
      free_energies: the free energy before the first update and after each; empty unless
        `tolerance` or `energies` was given.
      iterations: number of updates that were made.
      converged: whether the tolerance was met; None without a tolerance.
    """

    marginals: np.ndarray
    free_energies: list
    iterations: int
    converged: bool | None


def infer(unary, kernels, iterations=10, *, tolerance=None, energies=False, **options):
    """Run mean field inference: a number of updates, or until it has converged.

    Args:
      unary, kernels: as for `MeanField`.
      iterations: number of updates; with a tolerance, the most that are made.
      tolerance: None, or stop when an update changes the free energy by at most this much per
        point, and the marginals, as `MeanField.step` returns it, by at most this much too: an
        oscillation between two states may leave the energy as it is. 1e-4 is a good start.
      energies: whether to compute the free energy after each update, which takes time.
      options: engine, damping, self_messages and num_threads, as for `MeanField`.

    Returns:
      `Inference`.

    Raises:
      ValueError: as for `MeanField`.

    Example:
      >>> result = infer(unary, kernels, iterations=100, tolerance=1e-4, damping=0.2)
      >>> labels = result.marginals.argmax(axis=-1)
    """
    iterations = check_count(iterations, "infer: iterations", 0)
    check_tolerance(tolerance, "infer")
    check_switch(energies, "infer: energies")
    model = MeanField(unary, kernels, **options)
    return run_updates(model, iterations, tolerance, "infer", 3, energies)


def run_updates(model, iterations, tolerance, function, stacklevel, energies=False):
    """What `infer` does with a model.

    Args:
      model: `MeanField`.
      iterations, tolerance, energies: as for `infer`, checked.
      function: what the user called, for the warning.
      stacklevel: of the warning, 2 for the caller of this function.

    Returns:
      `Inference`.
    """
    with_energies = energies or tolerance is not None
    found = [model.free_energy()] if with_energies else []
    converged = None if tolerance is None else False
    done = 0
    while done < iterations and not converged:
        change = model.step()
        done += 1
        if with_energies:
            found.append(model.free_energy())
        if tolerance is not None:
            gain = abs(found[-1] - found[-2]) / len(model._marginals)
            converged = gain <= tolerance and change <= tolerance
    if converged is False and iterations:
        warnings.warn(
            f"{function}: not converged after {done} iterations: the last one changed the free "
            f"energy by {gain:.2g} per point and the marginals by {change:.2g}; give more "
            "iterations, a larger tolerance, or damping=0.5 if they oscillate",
            stacklevel=stacklevel,
        )
    return Inference(model._marginals.reshape(model._shape), found, done, converged)


def _checked_unary(given):
    """The unary energies as float32 (..., C) in C order."""
    # Booleans would be a mask, not energies.
    unary = as_numbers(given, "MeanField: unary", np.float32, booleans=False)
    if unary.ndim < 2 or not unary.size:
        raise ValueError(
            "MeanField: unary must be (N, C), the energies of C labels at N points, but is "
            f"{unary.shape}"
        )
    if not np.isfinite(unary).all():
        raise ValueError(
            "MeanField: unary holds NaN or infinite values; of probabilities, take "
            "-np.log(np.maximum(probabilities, 1e-5))"
        )
    return np.ascontiguousarray(unary)


def _checked_kernels(kernels, num_points, num_labels):
    """The kernels as a list; ValueError unless they fit the points and the labels."""
    if isinstance(kernels, Kernel):
        kernels = [kernels]
    if not isinstance(kernels, (list, tuple)):
        raise ValueError(f"MeanField: kernels must be a list of Kernel, not {kernels!r}")
    for number, kernel in enumerate(kernels):
        if not isinstance(kernel, Kernel):
            raise ValueError(f"MeanField: kernels must be a list of Kernel, not of {kernel!r}")
        if kernel.num_points != num_points:
            raise ValueError(
                f"MeanField: kernel {number} has {kernel.num_points} points, but the unary "
                f"energies {num_points}"
            )
        given = np.shape(kernel.compatibility)
        if given and given[0] != num_labels:
            raise ValueError(
                f"MeanField: the compatibility of kernel {number} is for {given[0]} labels, but "
                f"the unary energies are for {num_labels}"
            )
    return list(kernels)
