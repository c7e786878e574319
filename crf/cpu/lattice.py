"""The permutohedral lattice of `crf.lattice`, built by numba kernels.

The order of vertices and of sums does not depend on the number of threads, so that one thread and
many give bit-identical results.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from crf.compile import kernel
from crf.cpu.normalization import normalize_lattice
from crf.cpu.simplex import lattice_geometry, point_geometry, simplex_kernel
from crf.cpu.vertices import find_chains, number_vertices
from crf.cpu.workspace import Workspace
from crf.threads import ThreadTeam

# Spatial lattices of larger images, at 50 bytes per pixel, are not cached.
_KEPT_PIXELS = 2**19


class Lattice(NamedTuple):
    """A lattice over N points with M occupied vertices in d dimensions.

    Args:
      corners: int32 (N (d + 1),), the vertices of each point.
      weights: float32 (N (d + 1),), the weights with which each point reads from them (slice).
      starts: int64 (M + 1,), index of each vertex's first entry in `points` and `point_weights`;
        a vertex that only the blur passes through has none.
      points: int32 (N (d + 1),), the points that have each vertex as a corner.
      point_weights: float32 (N (d + 1),), the weights with which they are summed (splat).
      chains: for each axis (members int32, starts int64): sequences of vertices that are
        neighbors along the axis. A vertex without neighbors along it is in no chain.
      height: factor that gives the filter the Gaussian's height of 1 at distance 0.
      factors: float32 (N,), what `normalize_lattice` multiplied weights with; None for nothing.
    """

    corners: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    points: np.ndarray
    point_weights: np.ndarray
    chains: list
    height: float
    factors: np.ndarray | None = None

    @property
    def num_vertices(self):
        """Number of vertices, M."""
        return len(self.starts) - 1

    @property
    def num_corners(self):
        """Number of corners of a point, d + 1."""
        return len(self.chains)


class Window(NamedTuple):
    """Where an image lies in a larger one, whose lattice it is to have its part of.

    Args:
      top, left: its first row and column.
      height, width: size of the larger image.
    """

    top: int
    left: int
    height: int
    width: int


def bilateral_lattice(image, params, team, workspace, window=None, with_origin=False):
    """The normalized lattice of the bilateral (appearance) kernel, in 5 dimensions.

    Args:
      image: (H, W, 3) uint8 array.
      params: `CRFParams`.
      team: `ThreadTeam`.
      workspace: `Workspace` for the lattice's arrays.
      window: `Window`, if the image is a part of a larger one.
      with_origin: whether the lattice also has the vertices around the point whose features are
        all 0, black in the first row and column, even if no pixel needs them; for whole images.

    Returns:
      `Lattice`.

    Raises:
      ValueError: if the sigmas are too small for vertices to be numbered in 63 bits.
    """
    sigmas = [params.sigma_alpha] * 2 + [params.sigma_beta] * 3
    rest = params.normalization, team, workspace, window, with_origin
    return _image_lattice(image, sigmas, *rest)


def spatial_lattice(height, width, params, team, window=None):
    """The normalized lattice of the spatial (smoothness) kernel, in 2 dimensions.

    It depends only on the size of the image; the last four of whole images are cached.

    Args:
      height, width: size of the image in pixels.
      params: `CRFParams`.
      team: `ThreadTeam`.
      window: as for `bilateral_lattice`.

    Returns:
      `Lattice`.

    Raises:
      ValueError: as for `bilateral_lattice`.
    """
    if window is None and height * width <= _KEPT_PIXELS:
        return _kept_spatial(
            height, width, params.sigma_gamma, params.normalization, team.num_threads
        )
    return _spatial(height, width, params.sigma_gamma, params.normalization, team, window)


@lru_cache(maxsize=4)
def _kept_spatial(height, width, sigma, normalization, num_threads):
    with ThreadTeam(num_threads) as team:
        return _spatial(height, width, sigma, normalization, team)


def _spatial(height, width, sigma, normalization, team, window=None):
    no_channels = np.zeros((height, width, 0), np.uint8)
    # A workspace of its own, because the lattice may outlive the image.
    return _image_lattice(no_channels, [sigma] * 2, normalization, team, Workspace(), window)


def empty_lattice(num_points, d):
    """A lattice of a single vertex that filters everything to zero, for a kernel of weight zero."""
    size = num_points * (d + 1)
    slicing = np.zeros(size, np.int32), np.zeros(size, np.float32)
    chains = [(np.empty(0, np.int32), np.zeros(1, np.int64))] * (d + 1)
    # The vertex sums up zero times one point, so that its row of the table is defined.
    splat = np.array([0, 1]), np.zeros(1, np.int32), np.zeros(1, np.float32)
    return Lattice(*slicing, *splat, chains, 1.0)


def point_lattice(features, normalization, team, with_origin=False):
    """The normalized lattice of points with any features.

    Args:
      features: float32 (N, d), divided by the kernel's standard deviations.
      normalization: as in `CRFParams`.
      team: `ThreadTeam`.
      with_origin: whether the lattice also has the vertices around the point whose features are
        all 0, even if no point needs them.

    Returns:
      `Lattice`.

    Raises:
      ValueError: if the features spread too far.
    """
    num_points, d = features.shape
    if with_origin:
        features = np.concatenate([features, np.zeros((1, d), np.float32)])
    scaled, *keys = point_geometry(features)
    source = scaled[:num_points].reshape(-1), None, *keys
    return _build(source, num_points, d, normalization, team, Workspace(), with_origin)


def _image_lattice(image, sigmas, normalization, team, workspace, window, with_origin=False):
    """The lattice of the features x, y and the image's channels, each divided by its sigma."""
    height, width, channels = image.shape
    top, left, whole_height, whole_width = window or Window(0, 0, height, width)
    counts = [whole_width, whole_height] + [256] * channels
    (columns, rows, *levels), *keys = lattice_geometry(sigmas, counts)
    columns, rows = columns[left : left + width], rows[top : top + height]
    levels = np.array(levels, np.float32).reshape(channels, 256)
    source = np.array(image).reshape(-1), (columns, rows, levels), *keys
    rest = normalization, team, workspace, with_origin
    return _build(source, height * width, channels + 2, *rest)


def _build(source, num_points, d, normalization, team, workspace, with_origin):
    """The lattice of N points; `source` has the arguments of `simplex_kernel` on features."""
    num_corners = d + 1
    size = num_points * num_corners
    corners = workspace.array("corners", size, np.int32)
    weights = workspace.array("weights", size, np.float32)
    parts = team.split(num_points)
    found = team.run(simplex_kernel(d), parts, *source, corners, weights)
    if with_origin:
        # Its vertices come last, and without entries, so that only the blur passes through them.
        features = np.zeros(len(source[0]) // num_points, source[0].dtype)
        own = np.empty(num_corners, np.int32), np.empty(num_corners, np.float32)
        found.append(simplex_kernel(d)(0, 1, features, *source[1:], *own))
    keys, vertices, numbers = number_vertices(found, team)

    # Each part of the points counts and lists its own entries, so that no two threads write to
    # the same element.
    counts = np.zeros((len(parts), len(keys)), np.int32)
    calls = zip(parts, numbers[: len(parts)], counts, strict=True)
    team.run_calls(_renumber, [(*part, num_corners, corners, *own) for part, *own in calls])
    starts = _counts_to_starts(counts)
    points = workspace.array("points", size, np.int32)
    point_weights = workspace.array("point weights", size, np.float32)
    calls = zip(parts, counts, strict=True)
    slicing, splat = (corners, weights), (points, point_weights)
    team.run_calls(
        _list_points, [(*part, num_corners, *slicing, first, *splat) for part, first in calls]
    )

    # Along an axis all coordinates decrease by one, except the axis's own, which grows by d.
    strides = source[-1]
    offsets = np.uint64(num_corners) * strides - strides.sum()
    chains = team.run_calls(find_chains, [(keys, vertices, offset) for offset in offsets])
    lattice = Lattice(*slicing, starts, *splat, chains, 1 / (1 + 2.0 ** (1 - num_corners)))
    return lattice._replace(factors=normalize_lattice(lattice, normalization, team))


@kernel
def _renumber(low, high, num_corners, corners, numbers, counts):
    """Give the corners of points low to high their final numbers; count how often each occurs."""
    for corner in range(low * num_corners, high * num_corners):
        number = numbers[corners[corner]]
        corners[corner] = number
        counts[number] += 1


@kernel
def _counts_to_starts(counts):
    """Return where each vertex's entries begin; replace the counts by where each part's begin."""
    num_parts, num_vertices = counts.shape
    starts = np.empty(num_vertices + 1, np.int64)
    total = 0
    for vertex in range(num_vertices):
        starts[vertex] = total
        for part in range(num_parts):
            count = counts[part, vertex]
            counts[part, vertex] = total
            total += count
    starts[num_vertices] = total
    return starts


@kernel
def _list_points(low, high, num_corners, corners, weights, next_entry, points, point_weights):
    """List points low to high under their vertices, from entry `next_entry` of each on."""
    for point in range(low, high):
        for corner in range(point * num_corners, (point + 1) * num_corners):
            entry = next_entry[corners[corner]]
            next_entry[corners[corner]] = entry + 1
            points[entry] = point
            point_weights[entry] = weights[corner]
