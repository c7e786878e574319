"""The mean field update computed exactly, over all pairs of points, with NumPy in float64.

The reference for the lattice, and the better choice for few points, such as superpixels: time grows
with the square of their number.
"""

import numpy as np

from crf.energy import EnergyTerms

# Rows of the kernel matrix in memory at once: 256 rows over 20,000 points take 40 MB.
_BLOCK = 256


class ExactUpdates:
    """Mean field updates of N points with C labels.

    Args:
      unary: (N, C) floating, the energies of each label alone.
      kernels: list of `crf.Kernel`.
      self_messages: whether a point's message to itself is kept.
      num_threads: not used; NumPy has its own.
    """

    def __init__(self, unary, kernels, self_messages=True, num_threads=None):
        self._unary = unary.astype(np.float64)
        self._kernels = [(ExactFilter(kernel, self_messages), kernel) for kernel in kernels]

    def initial(self):
        """Marginals from the unary energies alone, (N, C) float32."""
        return _softmax(-self._unary).astype(np.float32)

    def update(self, marginals, damping):
        """Set the marginals, (N, C) float32, to those after one update; return the change.

        Returns:
          The sum over all points and labels of the squared changes.
        """
        before = marginals.astype(np.float64)
        new = _softmax(self._messages(before) - self._unary)
        marginals[:] = damping * before + (1 - damping) * new
        return float(((marginals - before) ** 2).sum())

    def energy_terms(self, marginals):
        """`EnergyTerms` of marginals, (N, C) float32."""
        given = marginals.astype(np.float64)
        # The limit of q log q is 0, and float32 marginals may be 0.
        logarithms = np.log(np.maximum(given, 1e-38))
        return EnergyTerms(
            float((given * logarithms).sum()),
            float((given * self._unary).sum()),
            -float((given * self._messages(given)).sum()),
        )

    def _messages(self, marginals):
        """What all kernels together add to the logits."""
        total = np.zeros_like(self._unary)
        for run, kernel in self._kernels:
            message, effects = run(marginals), kernel.compatibility
            total += message * effects if np.ndim(effects) < 2 else -message @ effects.T
        return total


class ExactFilter:
    """The Gaussian filter of a kernel, with its normalization: (N, C) float64 to the same.

    Args:
      kernel: `crf.Kernel`.
      self_messages: whether a point's own value counts. The row sums that normalize the kernel
        include it in either case.
    """

    def __init__(self, kernel, self_messages=True):
        points = kernel.features.astype(np.float64)
        squares = (points**2).sum(axis=1, keepdims=True)
        ones = np.ones_like(squares)
        # Two matrices whose product is -|f_i - f_j|² / 2.
        self._rows = np.concatenate([points, squares / -2, ones], axis=1)
        self._columns = np.concatenate([points, ones, squares / -2], axis=1).T
        self._before = self._after = ones
        sums = self._filter(ones) if kernel.normalization != "none" else ones
        if kernel.normalization == "symmetric":
            self._before = self._after = 1 / np.sqrt(sums)
        elif kernel.normalization == "before":
            self._before = 1 / sums
        elif kernel.normalization == "after":
            self._after = 1 / sums
        # The kernel is 1 at distance 0.
        self._own = 0 if self_messages else self._before * self._after

    def __call__(self, values):
        """Filter values (N, C)."""
        return self._after * self._filter(self._before * values) - self._own * values

    def _filter(self, values):
        return np.concatenate(
            [
                np.exp(np.minimum(self._rows[low : low + _BLOCK] @ self._columns, 0)) @ values
                for low in range(0, len(values), _BLOCK)
            ]
        )


def _softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
