"""The classes of pydensecrf.densecrf: same names, arguments, shapes and results.

Q are NumPy arrays (C, N) here: C labels, N points. docs/pydensecrf.md says what else differs.
"""

import numpy as np

from crf.checks import check_num_threads
from crf.gaussian import MOST_FEATURES
from crf.inference import MeanField
from crf.params import NORMALIZATIONS
from crf.pydensecrf.arguments import as_array, as_compatibility, as_count, as_deviations
from crf.pydensecrf.blocks import BlockKernel
from crf.pydensecrf.image_kernels import ImageKernel, infer_image
from crf.pydensecrf.kinds import KernelType, NormalizationType, as_kind
from crf.pydensecrf.unary import ConstUnary, LogisticUnary, Unary

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "ConstUnary",
    "DenseCRF",
    "DenseCRF2D",
    "KernelType",
    "LogisticUnary",
    "NormalizationType",
    "Unary",
]


CONST_KERNEL = KernelType.CONST_KERNEL
"""One variance for all features."""
DIAG_KERNEL = KernelType.DIAG_KERNEL
"""A variance for each feature, the default."""
FULL_KERNEL = KernelType.FULL_KERNEL
"""Covariances of all features."""
NO_NORMALIZATION = NormalizationType.NO_NORMALIZATION
"""The filter as it is."""
NORMALIZE_BEFORE = NormalizationType.NORMALIZE_BEFORE
"""The filter's input is divided by the row sums."""
NORMALIZE_AFTER = NormalizationType.NORMALIZE_AFTER
"""The filter's output is divided by the row sums."""
NORMALIZE_SYMMETRIC = NormalizationType.NORMALIZE_SYMMETRIC
"""Input and output are divided by the square roots of the row sums, the default."""

# In place of infinite energy: no message changes it, and its product with 0 is 0.
_IMPOSSIBLE = np.float32(1e30)


class DenseCRF:
    """A fully connected CRF over N points with any features.

    Every method checks its arguments: TypeError or ValueError, one line that names the remedy.

    Args:
      nvar: number of points N.
      nlabels: number of labels C.
      num_threads: number of threads; None uses all processors. Not in pydensecrf, which has one.

    Example:
      >>> model = DenseCRF(len(points), 5)
      >>> model.setUnaryEnergy(unary_from_softmax(probabilities))
      >>> model.addPairwiseEnergy(features, compat=3)
      >>> labels = np.argmax(model.inference(5), axis=0)
    """

    def __init__(self, nvar, nlabels, *, num_threads=None):
        self._nvar = as_count(nvar, "nvar", 1)
        self._nlabels = as_count(nlabels, "nlabels", 1)
        self._num_threads = check_num_threads(num_threads, "pydensecrf")
        self._unary = self._mean_field = None
        # The kernels as they were added, and as `MeanField` takes them.
        self._kernels, self._built = [], []

    def setUnaryEnergy(self, u, f=None):
        """Set the unary energies: the negative log probabilities.

        Args:
          u: float32 (C, N); may hold infinity, for labels that a point cannot have. With `f`, the
            coefficients (C, F) of `LogisticUnary`.
          f: float32 (F, N), the features of `LogisticUnary`; None for given energies.
        """
        if f is None:
            self._set_energies(as_array(u, "u", np.float32, ("nlabels", "N")))
        else:
            self.setUnary(LogisticUnary(u, f))

    def setUnary(self, u):
        """Set the unary energies.

        Args:
          u: `ConstUnary` or `LogisticUnary`.
        """
        if not isinstance(u, Unary):
            raise TypeError(
                f"pydensecrf: setUnary needs ConstUnary or LogisticUnary, not {type(u).__name__}; "
                "setUnaryEnergy takes an array"
            )
        self._set_energies(u.energies)

    def _set_energies(self, energies):
        if energies.shape != (self._nlabels, self._nvar):
            raise ValueError(
                f"pydensecrf: the unary energy must be {(self._nlabels, self._nvar)}, one row for "
                f"each label, not {energies.shape}"
            )
        if not np.isfinite(energies.min(axis=0)).all():  # a minimum of NaN is NaN
            raise ValueError(
                "pydensecrf: the unary energy holds NaN, minus infinity, or a point without any "
                "finite energy; check what computed it, and that no probability is negative"
            )
        self._unary = np.minimum(energies.T, _IMPOSSIBLE, order="C")
        self._mean_field = None

    def addPairwiseEnergy(
        self, features, compat, kernel=DIAG_KERNEL, normalization=NORMALIZE_SYMMETRIC
    ):
        """Add a kernel exp(-|f_i - f_j|² / 2) over features.

        Args:
          features: float32 (d, N), divided by the kernel's standard deviations; d at most 14.
          compat: a number w, float32 (C,) or float32 (C, C). A number is the reward for equal
            labels (Potts). A vector is the cost of each label next to itself, so it must be
            negative to favor equal labels. A matrix is the cost of each label next to each other
            one; the mean of it and its transpose is used.
          kernel: `KernelType`.
          normalization: `NormalizationType`.
        """
        features = as_array(features, "features", np.float32, ("d", self._nvar))
        if len(features) > MOST_FEATURES:
            raise ValueError(
                f"pydensecrf: features must be (d, N) with d of at most {MOST_FEATURES}, but are "
                f"{features.shape}"
            )
        self._add_kernel(BlockKernel, compat, kernel, normalization, features.T)

    def _add_kernel(self, make, compat, kernel, normalization, *arguments):
        """Add what `make` gives for the arguments; the others are those of `addPairwiseEnergy`."""
        as_kind(kernel, "kernel", KernelType)
        compatibility = as_compatibility(compat, self._nlabels)
        kind = NORMALIZATIONS[as_kind(normalization, "normalization", NormalizationType)]
        self._kernels.append(make(*arguments, compatibility, kind))
        self._mean_field = None

    def inference(self, niter):
        """Run mean field inference from the unary energies.

        Args:
          niter: number of iterations; 0 gives the softmax of the negative unary energies.

        Returns:
          float32 (C, N), the marginals Q: probabilities that sum to one over the labels.
        """
        niter = as_count(niter, "niter", 0)
        marginals = infer_image(self._energies(), self._kernels, niter, self._num_threads)
        if marginals is not None:
            return marginals.T
        mean_field = self._started()
        for _ in range(niter):
            mean_field.step()
        return mean_field.marginals.T

    def map(self, niter):
        """The most probable labels, int64 (N,), after `niter` iterations."""
        return np.argmax(self.inference(niter), axis=0)

    def startInference(self):
        """What `stepInference` continues from.

        Returns:
          Q float32 (C, N), the softmax of the negative unary energies, or zeros if none are set;
          and two arrays that pydensecrf needs for its own use, here empty.
        """
        if self._unary is None:
            marginals = np.zeros((self._nvar, self._nlabels), np.float32).T
        else:
            marginals = self.inference(0)
        return marginals, np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q, tmp1=None, tmp2=None):
        """Run one iteration, in place.

        Args:
          Q: float32 (C, N), changed; as `startInference` gives it, or any other marginals.
          tmp1, tmp2: not used.
        """
        mean_field = self._started(Q)
        mean_field.step()
        Q[...] = mean_field.marginals.T

    def klDivergence(self, Q):
        """The divergence of marginals from the CRF's distribution, up to a constant.

        As in pydensecrf, sum Q log Q + sum Q (unary + message), where pairs of points count twice.

        Args:
          Q: float32 (C, N), not changed.

        Returns:
          A float.
        """
        return self._started(Q).kl_divergence()

    def _energies(self):
        """The unary energies (N, C); zeros if none are set."""
        if self._unary is None:
            return np.zeros((self._nvar, self._nlabels), np.float32)
        return self._unary

    def _started(self, marginals=None):
        """The `MeanField` of what is set, at marginals (C, N); None are those of the beginning."""
        if marginals is None or self._mean_field is None:
            # The kernels keep their lattices, so a new one costs little.
            for kernel in self._kernels[len(self._built) :]:
                self._built.append(kernel.build() if isinstance(kernel, ImageKernel) else kernel)
            threads = self._num_threads
            self._mean_field = MeanField(self._energies(), self._built, num_threads=threads)
        if marginals is not None:
            wanted = self._nlabels, self._nvar
            marginals = as_array(marginals, "Q", np.float32, wanted)
            if not np.isfinite(marginals).all():
                raise ValueError(
                    "pydensecrf: Q holds NaN or infinite values; check what computed it"
                )
            self._mean_field._continue_from(marginals.T)
        return self._mean_field


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image, in row-major order.

    Args:
      w: width W of the image in pixels.
      h: its height H.
      nlabels: number of labels C.
      num_threads: as for `DenseCRF`.

    Example:
      >>> model = DenseCRF2D(image.shape[1], image.shape[0], 21)
      >>> model.setUnaryEnergy(unary_from_softmax(probabilities))  # (21, H, W)
      >>> model.addPairwiseGaussian(sxy=3, compat=3)
      >>> model.addPairwiseBilateral(sxy=60, srgb=5, rgbim=image, compat=5)
      >>> labels = np.argmax(model.inference(5), axis=0).reshape(image.shape[:2])
    """

    def __init__(self, w, h, nlabels, *, num_threads=None):
        self._w, self._h = as_count(w, "w", 1), as_count(h, "h", 1)
        super().__init__(self._w * self._h, nlabels, num_threads=num_threads)

    def addPairwiseGaussian(
        self, sxy, compat, kernel=DIAG_KERNEL, normalization=NORMALIZE_SYMMETRIC
    ):
        """Add a spatial kernel: features x, y.

        Args:
          sxy: standard deviation in pixels, or one for x and one for y.
          compat, kernel, normalization: as for `addPairwiseEnergy`.
        """
        sxy = as_deviations(sxy, "sxy", 2)
        self._add_kernel(
            ImageKernel, compat, kernel, normalization, (self._h, self._w), sxy, None, None
        )

    def addPairwiseBilateral(
        self, sxy, srgb, rgbim, compat, kernel=DIAG_KERNEL, normalization=NORMALIZE_SYMMETRIC
    ):
        """Add a bilateral kernel: features x, y, red, green, blue.

        Args:
          sxy: standard deviation in pixels, or one for x and one for y.
          srgb: standard deviation in intensity levels, or one for each channel.
          rgbim: uint8 (H, W, 3).
          compat, kernel, normalization: as for `addPairwiseEnergy`.
        """
        if getattr(rgbim, "ndim", 0) == 3 and rgbim.shape[2] != 3:
            raise ValueError(
                "pydensecrf: addPairwiseBilateral needs an image of 3 channels, not "
                f"{np.shape(rgbim)[2]}; for others give utils.create_pairwise_bilateral(...) to "
                "addPairwiseEnergy"
            )
        image = as_array(rgbim, "rgbim", np.uint8, (self._h, self._w, 3))
        sigmas = as_deviations(sxy, "sxy", 2), as_deviations(srgb, "srgb", 3)
        self._add_kernel(
            ImageKernel, compat, kernel, normalization, image.shape[:2], *sigmas, image.copy()
        )
