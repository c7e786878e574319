"""The two kernels that `DenseCRF2D` makes, and their fast inference if they are the usual ones."""

from typing import NamedTuple

import numpy as np

from crf.cpu.mean_field import numba_mean_field
from crf.cpu.simplex import lattice_geometry
from crf.features import grid_features, image_features
from crf.params import CRFParams
from crf.pydensecrf.blocks import BlockKernel, has_filling

# With larger weights, labels that are too improbable for float32 might still win.
_LARGEST_WEIGHT = 20


class ImageKernel(NamedTuple):
    """A kernel over the pixels of an image: spatial, or with colors bilateral.

    Args:
      size: (H, W) of the image.
      sxy: float32 (2,), standard deviations of x and y.
      srgb: float32 (3,), standard deviations of the colors; None for a spatial kernel.
      image: uint8 (H, W, 3); None for a spatial kernel.
      compatibility, normalization: as for `crf.Kernel`.
    """

    size: tuple
    sxy: np.ndarray
    srgb: np.ndarray | None
    image: np.ndarray | None
    compatibility: float | np.ndarray
    normalization: str

    def build(self):
        """The kernel with its features in pydensecrf's order: x, y, red, green, blue."""
        sigmas = self.sxy[::-1]  # in the order of the size
        if self.image is None:
            features = grid_features(self.size, sigmas)
        else:
            features = image_features(self.image, sigmas, self.srgb)
        return BlockKernel(features, self.compatibility, self.normalization)


def infer_image(unary, kernels, iterations, num_threads):
    """Mean field inference with the engine for the DeepLab papers' kernels, if they are these.

    It gives the same result in less time than the engine for any kernels.

    Args:
      unary: (N, C) float32, the energies of each label alone.
      kernels: list of `ImageKernel` or other kernels.
      iterations: number of updates.
      num_threads: number of threads; None uses all processors.

    Returns:
      float32 (N, C), the marginals; None if the kernels are others.
    """
    if not _are_usual(kernels):
        return None
    spatial, bilateral = sorted(kernels, key=lambda kernel: kernel.image is not None)
    # That engine takes probabilities, up to a factor.
    prior = np.exp(unary.min(axis=1, keepdims=True) - unary)
    shape = *spatial.size, unary.shape[1]
    marginals = np.empty(shape, np.float32)
    params = CRFParams(
        w1=bilateral.compatibility,
        sigma_alpha=bilateral.sxy[0],
        sigma_beta=bilateral.srgb[0],
        w2=spatial.compatibility,
        sigma_gamma=spatial.sxy[0],
        iterations=iterations,
        normalization=bilateral.normalization,
    )
    prior = prior.reshape(shape)
    # Only the bilateral lattice needs it: in the spatial one, the origin is the first pixel.
    options = {"num_threads": num_threads, "with_origin": has_filling(len(unary))}
    numba_mean_field(prior, bilateral.image, params, marginals, least=0, **options)
    return marginals.reshape(unary.shape)


def _are_usual(kernels):
    """Whether they are a spatial and a bilateral one for which `CRFParams` has parameters."""
    if len(kernels) != 2 or not all(isinstance(kernel, ImageKernel) for kernel in kernels):
        return False
    weights = [kernel.compatibility for kernel in kernels]
    return (
        sum(kernel.image is None for kernel in kernels) == 1
        and kernels[0].normalization == kernels[1].normalization != "none"
        and all(np.ndim(weight) == 0 and 0 <= weight <= _LARGEST_WEIGHT for weight in weights)
        and all(_has_one_sigma(kernel) for kernel in kernels)
    )


def _has_one_sigma(kernel):
    """Whether the kernel has one deviation of positions, and one of colors, that engine can use."""
    colors = [] if kernel.srgb is None else kernel.srgb
    if len(set(kernel.sxy)) > 1 or len(set(colors)) > 1:
        return False
    sigmas, counts = np.array([*kernel.sxy, *colors]), [*kernel.size[::-1], *[256] * len(colors)]
    try:
        lattice_geometry(sigmas, counts)
    except ValueError:  # too small for it
        return False
    return True
