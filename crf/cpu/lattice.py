"""The permutohedral lattice of `crf.lattice`, built by numba kernels.

The vertices are numbered in the order of their keys, whatever the number of threads, so that
one image gives the same bits on one thread and on many.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from crf.cpu.normalization import normalize
from crf.cpu.placing import place_kernel
from crf.cpu.vertices import chains_along, collect, first_places, number_vertices, renumber
from crf.cpu.workspace import FreshMemory
from crf.threads import Crew


class Lattice(NamedTuple):
    """A lattice over N points with M occupied vertices in d dimensions.

    Args:
      corners: int32 (N (d + 1),), the vertices of each point.
      weights: float32 (N (d + 1),), what each point reads from them (slice).
      starts: int64 (M + 1,), where each vertex begins in the next two.
      points: int32 (N (d + 1),), the points of each vertex.
      point_weights: float32 (N (d + 1),), what each vertex collects of them (splat).
      chains: for each axis (members int32, starts int64): vertices that neighbor each other
        along it, chain after chain. Vertices without neighbors there are in none.
      height: what brings a filter run to the height of the Gaussian.
    """

    corners: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    points: np.ndarray
    point_weights: np.ndarray
    chains: list
    height: float

    @property
    def num_vertices(self):
        """M."""
        return len(self.starts) - 1

    @property
    def num_corners(self):
        """Corners of a point, d + 1."""
        return len(self.chains)


def bilateral_lattice(image, params, crew, memory):
    """The lattice of the appearance kernel, normalized.

    Args:
      image: (H, W, 3) uint8.
      params: `CRFParams`.
      crew: `Crew` that builds it.
      memory: `Workspace` whose arrays it takes.

    Returns:
      `Lattice` in 5 dimensions.

    Raises:
      ValueError: where the features spread too far for vertices to be numbered in 63 bits.
    """
    height, width = image.shape[:2]
    sigmas = [params.sigma_alpha] * 2 + [params.sigma_beta] * 3
    extents = np.array([width - 1, height - 1, 255, 255, 255])
    return _build(image, sigmas, extents, params.normalization, crew, memory)


def spatial_lattice(height, width, params, crew):
    """The lattice of the smoothness kernel, normalized; the last few are kept.

    Args:
      height, width: size of the image in pixels.
      params: `CRFParams`.
      crew: `Crew` that builds it.

    Returns:
      `Lattice` in 2 dimensions.

    Raises:
      ValueError: as `bilateral_lattice`.
    """
    build = _kept_spatial if height * width <= _KEPT_PIXELS else _kept_spatial.__wrapped__
    return build(height, width, params.sigma_gamma, params.normalization, crew.num_threads)


def absent_lattice(num_points, d):
    """A lattice of a single vertex that passes nothing on, for a kernel of weight zero."""
    nothing = np.zeros(num_points * (d + 1), np.int32), np.zeros(num_points * (d + 1), np.float32)
    chains = [(np.empty(0, np.int32), np.zeros(1, np.int64))] * (d + 1)
    # It collects zero times a point, so that its row of the table is set.
    one = np.array([0, 1]), np.zeros(1, np.int32), np.zeros(1, np.float32)
    return Lattice(*nothing, *one, chains, 1.0)


_LARGEST_EXTENT = 2**22
# Above this the lattice's memory, 50 bytes a pixel, is given back after each image.
_KEPT_PIXELS = 2**19


@lru_cache(maxsize=4)
def _kept_spatial(height, width, sigma, normalization, num_threads):
    nothing = np.zeros((height, width, 0), np.uint8)
    extents = np.array([width - 1, height - 1])
    with Crew(num_threads) as crew:
        return _build(nothing, [sigma] * 2, extents, normalization, crew, FreshMemory)


def _build(image, sigmas, extents, normalization, crew, memory):
    """The lattice of features x, y and the image's channels, each divided by its sigma."""
    height, width, channels = image.shape
    axes = channels + 3
    corners = memory.array("corners", height * width * axes, np.int32)
    weights = memory.array("weights", height * width * axes, np.float32)
    scales, lows, strides = _geometry(np.asarray(sigmas), extents)
    pixels = crew.shares(height * width)
    features = np.array(image).reshape(-1), width, scales, lows, strides
    found = crew.run(place_kernel(axes - 1), pixels, *features, corners, weights)
    keys, numbers = number_vertices(found, crew)
    lists = _list_points(crew.parts(pixels), numbers, len(keys), corners, weights, crew, memory)
    offsets = axes * strides - strides.sum()
    chains = crew.run_each(chains_along, [(keys, offset) for offset in offsets])
    lattice = Lattice(corners, weights, *lists, chains, 1 / (1 + 2.0 ** (1 - axes)))
    normalize(lattice, normalization, crew)
    return lattice


def _list_points(parts, numbers, num_vertices, corners, weights, crew, memory):
    """List the points of each vertex, and give the corners their final numbers.

    Args:
      parts: (low, high) of the parts of the points.
      numbers: for each part, the final numbers of the vertices it met.
      num_vertices: M.
      corners, weights: as in `Lattice`; corners hold each part's own numbers, and are changed.
      crew, memory: `Crew` and `Workspace`.

    Returns:
      starts, points and point_weights, as in `Lattice`.
    """
    axes = len(corners) // parts[-1][1]
    firsts = np.zeros((len(parts), num_vertices), np.int32)
    own = zip(parts, numbers, firsts, strict=True)
    crew.run_each(renumber, [(*part, axes, corners, *rest) for part, *rest in own])
    starts = first_places(firsts)
    points = memory.array("points", len(corners), np.int32)
    point_weights = memory.array("point weights", len(corners), np.float32)
    arrays = points, point_weights
    own = zip(parts, firsts, strict=True)
    crew.run_each(collect, [(*part, axes, corners, weights, first, *arrays) for part, first in own])
    return starts, points, point_weights


def _geometry(sigmas, extents):
    """How features become lattice coordinates, and these become keys.

    Returns:
      scales float32 (d,), what a feature is multiplied with; lows int64 (d,), the least value
      of the first d coordinates of any vertex; strides int64 (d + 1,), a coordinate's factor
      in the key, of which the last is 0.
    """
    d = len(sigmas)
    # The lattice's own blur, splat and slice together have this standard deviation.
    deviation = math.sqrt(2 / 3) * (d + 1)
    index = np.arange(d)
    scales = deviation / np.sqrt((index + 1) * (index + 2)) / sigmas
    reach = np.append(scales * extents, 0)
    # Coordinate i is the sum of the scaled features from i on, less i times the one before. A
    # corner, or the neighbor of one, is at most 2 d from its point's own simplex, and that
    # another d from the point.
    highs = np.ceil(np.cumsum(reach[::-1])[::-1][:d]) + 3 * (d + 1)
    lows = -np.ceil(index * np.append(0, reach[: d - 1])) - 3 * (d + 1)
    sizes = highs - lows + 1
    # Float32 coordinates beyond this would no longer sum to zero, and ranks would be wrong.
    if not (np.prod(sizes) < 2.0**62 and np.max(sizes) < _LARGEST_EXTENT):
        raise ValueError(
            "dense_crf: the features spread too far for the lattice: choose larger sigmas "
            "(sigma_alpha and sigma_gamma are in pixels, sigma_beta in levels of 0 to 255)"
        )
    strides = np.append(np.cumprod(np.append(1, sizes[:-1].astype(np.int64))), 0)
    return scales.astype(np.float32), lows.astype(np.int64), strides
