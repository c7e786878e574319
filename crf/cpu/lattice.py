"""The permutohedral lattice of `crf.lattice`, built by numba kernels.

Vertices are numbered in the order of their keys, whatever the number of threads, so that one
thread and many give bit-identical results.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from crf.compile import kernel
from crf.cpu.normalization import normalize_lattice
from crf.cpu.simplex import lattice_geometry, point_geometry, simplex_kernel
from crf.cpu.workspace import Workspace
from crf.threads import ThreadTeam

# Spatial lattices of larger images, at 50 bytes per pixel, are not cached.
_KEPT_PIXELS = 2**19


class Lattice(NamedTuple):
    """A lattice over N points with M occupied vertices in d dimensions.

    Args:
      corners: int32 (N (d + 1),), the vertices of each point.
      weights: float32 (N (d + 1),), the weights with which each point reads from them (slice).
      starts: int64 (M + 1,), index of each vertex's first entry in `points` and `point_weights`.
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


def bilateral_lattice(image, params, team, workspace):
    """The normalized lattice of the bilateral (appearance) kernel, in 5 dimensions.

    Args:
      image: (H, W, 3) uint8 array.
      params: `CRFParams`.
      team: `ThreadTeam`.
      workspace: `Workspace` for the lattice's arrays.

    Returns:
      `Lattice`.

    Raises:
      ValueError: if the sigmas are too small for vertices to be numbered in 63 bits.
    """
    sigmas = [params.sigma_alpha] * 2 + [params.sigma_beta] * 3
    return _image_lattice(image, sigmas, params.normalization, team, workspace)


def spatial_lattice(height, width, params, team):
    """The normalized lattice of the spatial (smoothness) kernel, in 2 dimensions.

    It depends only on the size of the image; the last four are cached.

    Args:
      height, width: size of the image in pixels.
      params: `CRFParams`.
      team: `ThreadTeam`.

    Returns:
      `Lattice`.

    Raises:
      ValueError: as for `bilateral_lattice`.
    """
    build = _kept_spatial if height * width <= _KEPT_PIXELS else _kept_spatial.__wrapped__
    return build(height, width, params.sigma_gamma, params.normalization, team.num_threads)


@lru_cache(maxsize=4)
def _kept_spatial(height, width, sigma, normalization, num_threads):
    no_channels = np.zeros((height, width, 0), np.uint8)
    with ThreadTeam(num_threads) as team:
        # A workspace of its own, because the lattice outlives the image.
        return _image_lattice(no_channels, [sigma] * 2, normalization, team, Workspace())


def empty_lattice(num_points, d):
    """A lattice of a single vertex that filters everything to zero, for a kernel of weight zero."""
    size = num_points * (d + 1)
    slicing = np.zeros(size, np.int32), np.zeros(size, np.float32)
    chains = [(np.empty(0, np.int32), np.zeros(1, np.int64))] * (d + 1)
    # The vertex sums up zero times one point, so that its row of the table is defined.
    splat = np.array([0, 1]), np.zeros(1, np.int32), np.zeros(1, np.float32)
    return Lattice(*slicing, *splat, chains, 1.0)


def point_lattice(features, normalization, team):
    """The normalized lattice of points with any features.

    Args:
      features: float32 (N, d), divided by the kernel's standard deviations.
      normalization: as in `CRFParams`.
      team: `ThreadTeam`.

    Returns:
      `Lattice`.

    Raises:
      ValueError: if the features spread too far.
    """
    scaled, *keys = point_geometry(features)
    source = scaled.reshape(-1), None, *keys
    return _build(source, *features.shape, normalization, team, Workspace())


def _image_lattice(image, sigmas, normalization, team, workspace):
    """The lattice of the features x, y and the image's channels, each divided by its sigma."""
    height, width, channels = image.shape
    counts = [width, height] + [256] * channels
    (columns, rows, *levels), *keys = lattice_geometry(sigmas, counts)
    levels = np.array(levels, np.float32).reshape(channels, 256)
    source = np.array(image).reshape(-1), (columns, rows, levels), *keys
    return _build(source, height * width, channels + 2, normalization, team, workspace)


def _build(source, num_points, d, normalization, team, workspace):
    """The lattice of N points; `source` has the arguments of `simplex_kernel` on features."""
    num_corners = d + 1
    size = num_points * num_corners
    corners = workspace.array("corners", size, np.int32)
    weights = workspace.array("weights", size, np.float32)
    parts = team.split(num_points)
    found = team.run(simplex_kernel(d), parts, *source, corners, weights)
    keys, numbers = _number_vertices(found, team)

    # Each part of the points counts and lists its own entries, so that no two threads write to
    # the same element.
    counts = np.zeros((len(parts), len(keys)), np.int32)
    calls = zip(parts, numbers, counts, strict=True)
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
    chains = team.run_calls(_find_chains, [(keys, offset) for offset in offsets])
    lattice = Lattice(*slicing, starts, *splat, chains, 1 / (1 + 2.0 ** (1 - num_corners)))
    return lattice._replace(factors=normalize_lattice(lattice, normalization, team))


def _number_vertices(found, team):
    """Number vertices in the order of their keys.

    Args:
      found: for each part of the points the int64 keys of its vertices, in the order in which
        the part numbered them.
      team: `ThreadTeam`.

    Returns:
      keys: all keys, ascending.
      numbers: for each part an int32 array that maps the part's own numbers to final numbers.
    """
    orders = team.run_calls(np.argsort, [(keys,) for keys in found])
    merged, numbers = found[0][orders[0]], []
    for keys, order in zip(found[1:], orders[1:], strict=True):
        merged, *positions = _merge(merged, keys[order])
        numbers = [positions[0][number] for number in numbers or [slice(None)]] + [positions[1]]
    numbers = numbers or [np.arange(len(merged), dtype=np.int32)]
    return merged, [_inverse(order, number) for order, number in zip(orders, numbers, strict=True)]


def _inverse(order, numbers):
    """The numbers of sorted keys, in the order of the keys before sorting."""
    before = np.empty_like(numbers)
    before[order] = numbers
    return before


@kernel
def _merge(left, right):
    """Merge two ascending lists of keys.

    Returns the distinct keys, and the int32 positions of the left and of the right keys in them.
    """
    keys = np.empty(len(left) + len(right), np.int64)
    left_positions = np.empty(len(left), np.int32)
    right_positions = np.empty(len(right), np.int32)
    count = i = j = 0
    while i < len(left) or j < len(right):
        from_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        key = left[i] if from_left else right[j]
        if from_left:
            left_positions[i] = count
            i += 1
        if j < len(right) and right[j] == key:
            right_positions[j] = count
            j += 1
        keys[count] = key
        count += 1
    return keys[:count].copy(), left_positions, right_positions


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


@kernel
def _find_chains(keys, offset):
    """The chains along one axis, as in `Lattice`; the next key is a key plus `offset`, uint64.

    Sums of hashed keys are meant modulo 2^64.
    """
    num_vertices = len(keys)
    after = np.full(num_vertices, -1, np.int32)
    is_first = np.ones(num_vertices, np.bool_)
    row, last = 0, np.int64(np.uint64(keys[0]) + offset)
    # Keys and wanted keys both ascend, so one pass finds all neighbors; a second one if the wanted
    # keys wrap around.
    for vertex in range(num_vertices):
        wanted = np.int64(np.uint64(keys[vertex]) + offset)
        if wanted < last:
            row = 0
        last = wanted
        while row < num_vertices and keys[row] < wanted:
            row += 1
        if row < num_vertices and keys[row] == wanted:
            after[vertex] = row
            is_first[row] = False
    members = np.empty(num_vertices, np.int32)
    starts = np.zeros(num_vertices // 2 + 1, np.int64)
    count = num_chains = 0
    for vertex in range(num_vertices):
        if not is_first[vertex] or after[vertex] < 0:
            continue
        member = np.int32(vertex)
        while member >= 0:
            members[count] = member
            count += 1
            member = after[member]
        num_chains += 1
        starts[num_chains] = count
    return members[:count].copy(), starts[: num_chains + 1].copy()
