"""Gaussian kernels between points: what a fully connected CRF of any kind consists of."""

import numpy as np

from crf.checks import as_numbers, check_num_threads
from crf.cpu.lattice import point_lattice
from crf.cpu.lattice_updates import filter_values
from crf.cpu.self_messages import self_weights
from crf.elevation import column_ends, near_zero
from crf.memory import check_memory
from crf.params import NORMALIZATIONS
from crf.threads import ThreadTeam

# A lattice of more dimensions would hardly connect points, and its kernel takes long to compile.
MOST_FEATURES = 14


class Kernel:
    """One Gaussian kernel over N points, with what equal and different labels cost.

    Two points i and j with features f influence each other with the strength

        k(i, j) = exp(-|f_i - f_j|² / 2),

    divided as `normalization` says. Label l at point i then costs

        sum_j k(i, j) sum_m M[l][m] Q_j(m)

    more, where M is the label compatibility and Q_j the marginals of point j (Krähenbühl and
    Koltun 2011, equation 3, where the weight is part of M here).

    Args:
      features: (N, d) numbers, already divided by the kernel's standard deviations, d at most 14;
        or (..., d), such as (H, W, d), for N points in row-major order. `grid_features` and
        `image_features` make them. Computed in float32.
      compatibility: what labels cost next to each other, three ways:
        a number w: the Potts model of this weight. Different labels cost w, equal ones nothing,
          as w1 and w2 do in `CRFParams`. A negative weight makes points prefer different labels.
        C numbers: a Potts model with a weight of its own for each label: next to a label l,
          l itself costs w[l] less than the others.
        C rows of C numbers: M[l][m] is the cost of label l next to label m, as in `CRFParams`. It
          is used as given, also if it is not symmetric.
      normalization: how the kernel is divided by its row sums, as in `CRFParams`: "symmetric",
        "before", "after" or "none".
      precision: what distances are measured with, in place of |f_i - f_j|²: None;
        d numbers p of at least 0 for sum_a p[a] (f_i[a] - f_j[a])²;
        or (d, d) symmetric P without negative eigenvalues for (f_i - f_j)ᵀ P (f_i - f_j). So
        learned kernels can be used as they are.

    The kernel's lattice is kept with it, so a kernel that several models share is built once.

    Raises:
      ValueError: naming the argument that is wrong, and the remedy.

    Example:
      >>> smooth = Kernel(grid_features((height, width), sigma=3), compatibility=3)
      >>> similar = Kernel(image_features(image, sigma_space=67, sigma_values=3), compatibility=4)
    """

    def __init__(self, features, compatibility=1.0, normalization="symmetric", precision=None):
        features = _checked_features(features)
        if precision is not None:
            features = features @ _root(precision, features.shape[1])
        features = near_zero(features)
        self.features = np.ascontiguousarray(features, np.float32)
        self.features.flags.writeable = False
        self.compatibility = _checked_compatibility(compatibility)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"Kernel: unknown normalization {normalization!r}; available: "
                + ", ".join(NORMALIZATIONS)
            )
        self.normalization = normalization
        self._lattice = self._self_weights = None

    @property
    def num_points(self):
        """Number of points, N."""
        return len(self.features)

    def filter(self, values, num_threads=None):
        """The Gaussian filter: for each point the sum over all points j of k(i, j) values_j.

        Args:
          values: (N,) or (N, C) numbers.
          num_threads: number of threads; None uses all processors.

        Returns:
          float32 of the values' shape, on the lattice, with the kernel's normalization. The
          compatibility has no part in it.

        Raises:
          ValueError: for values of another size, or that are not finite.

        Example:
          >>> blurred = Kernel(grid_features((H, W), 3), normalization="after").filter(gray.ravel())
        """
        values = as_numbers(values, "Kernel.filter: values", np.float32)
        if values.ndim not in (1, 2) or len(values) != self.num_points or not values.size:
            n = self.num_points
            raise ValueError(
                f"Kernel.filter: values must be ({n},) or ({n}, C), but are {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError("Kernel.filter: values are NaN or infinite; check what computed them")
        columns = np.ascontiguousarray(values.reshape(self.num_points, -1))
        num_threads = check_num_threads(num_threads, "Kernel.filter")
        with ThreadTeam(num_threads) as team:
            return filter_values(self.lattice(team), columns, team).reshape(values.shape)

    def lattice(self, team):
        """The kernel's normalized lattice, built by a `ThreadTeam` when it is first needed."""
        if self._lattice is None:
            self._lattice = point_lattice(self.features, self.normalization, team)
        return self._lattice

    def self_weights(self, team):
        """float32 (N,): what each point gets back of its own value from the kernel's lattice."""
        if self._self_weights is None:
            self._self_weights = self_weights(self.lattice(team), self.normalization, team)
        return self._self_weights

    def __repr__(self):
        points, d = self.features.shape
        shape = np.shape(self.compatibility)
        labels = f"{len(shape)}-d compatibility" if shape else f"weight {self.compatibility:g}"
        return f"Kernel({points} points, {d} features, {labels}, {self.normalization})"


def _checked_features(given):
    """The features as (N, d) float64."""
    features = as_numbers(given, "Kernel: features", None)
    if features.ndim < 2:
        raise ValueError(
            f"Kernel: features must be (N, d), one row for each point, but are {features.shape}; "
            "for a single feature, features[:, None]"
        )
    d = features.shape[-1]
    features = features.reshape(-1, d)
    if not features.size:
        raise ValueError(f"Kernel: there are no features: their shape is {np.shape(given)}")
    if d > MOST_FEATURES:
        hint = "; transpose them" if len(features) <= MOST_FEATURES else ""
        raise ValueError(
            f"Kernel: features must be (N, d) with d of at most {MOST_FEATURES}, but are "
            f"{np.shape(given)}{hint}"
        )
    check_memory(16 * features.size, "the features")
    features = features.astype(np.float64, copy=False)
    # Beyond the range of float32 they would become infinite; comparisons with NaN are False.
    if not (np.abs(column_ends(features)) < np.finfo(np.float32).max).all():
        raise ValueError(
            "Kernel: features hold NaN or infinite values; check them, and that no standard "
            "deviation is 0"
        )
    return features


def _checked_compatibility(given):
    """The compatibility as a float, or float32 (C,) or (C, C)."""
    values = as_numbers(given, "Kernel: compatibility")
    if values.ndim > 2 or not values.size or (values.ndim == 2 and len(set(values.shape)) > 1):
        raise ValueError(
            "Kernel: compatibility must be a number, C numbers, or C rows of C numbers, but its "
            f"shape is {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "Kernel: the compatibility holds NaN or infinite values; check what computed it"
        )
    if not values.ndim:
        return float(values)
    values = values.astype(np.float32)
    values.flags.writeable = False
    return values


def _root(precision, d):
    """A matrix R (d, r) with |f R|² = fᵀ P f, r at most d."""
    values = as_numbers(precision, "Kernel: precision")
    if values.shape not in ((d,), (d, d)):
        raise ValueError(
            f"Kernel: precision must be ({d},) or ({d}, {d}) for {d} features, but is "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "Kernel: the precision holds NaN or infinite values; check what computed it"
        )
    if values.ndim == 1:
        if values.min() < 0:
            raise ValueError(
                f"Kernel: precision must be at least 0, but its smallest value is {values.min():g}"
            )
        return np.diag(np.sqrt(values))
    if np.abs(values - values.T).max() > 1e-5 * np.abs(values).max():
        raise ValueError("Kernel: precision must be symmetric; give (P + P.T) / 2")
    try:
        return np.linalg.cholesky(values)
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(values)
    if eigenvalues[0] < -1e-6 * max(eigenvalues[-1], 0) or eigenvalues[-1] <= 0:
        raise ValueError(
            "Kernel: precision must have no negative eigenvalues, and one above 0, but they are "
            f"from {eigenvalues[0]:g} to {eigenvalues[-1]:g}"
        )
    # Directions without any precision need no feature.
    kept = eigenvalues > 1e-6 * eigenvalues[-1]
    return vectors[:, kept] * np.sqrt(eigenvalues[kept])
