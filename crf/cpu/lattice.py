"""The permutohedral lattice of `crf.lattice`, built by numba kernels.

The vertices are numbered in the order of their keys, whatever the number of threads, so that
one image gives the same bits on one thread and on many.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from crf.cpu.crew import Crew
from crf.cpu.workspace import FreshMemory

# Multiplicative hashing: the golden ratio as a fraction of 2^64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


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


# Above this the lattice's memory, 50 bytes a pixel, is given back after each image.
_KEPT_PIXELS = 2**20


@lru_cache(maxsize=8)
def _kept_spatial(height, width, sigma, normalization, num_threads):
    nothing = np.zeros((height, width, 0), np.uint8)
    extents = np.array([width - 1, height - 1])
    with Crew(num_threads) as crew:
        return _build(nothing, [sigma] * 2, extents, normalization, crew, FreshMemory)


def _build(image, sigmas, extents, normalization, crew, memory):
    """The lattice of features x, y and the image's channels, each divided by its sigma."""
    height, width, channels = image.shape
    num_points, axes = height * width, channels + 3
    scales, lows, strides = _geometry(np.asarray(sigmas), extents)
    corners = memory.array("corners", num_points * axes, np.int32)
    weights = memory.array("weights", num_points * axes, np.float32)
    shares = crew.shares(num_points)
    found = crew.run(
        _place_kernel(axes - 1),
        shares,
        np.array(image).reshape(-1),
        width,
        scales,
        lows,
        strides,
        corners,
        weights,
    )
    keys, numbers = _number(found, crew)
    parts = crew.parts(shares)
    firsts = np.zeros((len(parts), len(keys)), np.int32)
    crew.run_each(
        _renumber,
        [
            (*part, axes, corners, own, counts)
            for part, own, counts in zip(parts, numbers, firsts, strict=True)
        ],
    )
    starts = _starts(firsts)
    points = memory.array("points", len(corners), np.int32)
    point_weights = memory.array("point weights", len(corners), np.float32)
    crew.run_each(
        _collect,
        [
            (*part, axes, corners, weights, first, points, point_weights)
            for part, first in zip(parts, firsts, strict=True)
        ],
    )
    offsets = axes * strides - strides.sum()
    chains = crew.run_each(_chains, [(keys, offset) for offset in offsets])
    height = 1 / (1 + 2.0 ** (1 - axes))
    lattice = Lattice(corners, weights, starts, points, point_weights, chains, height)
    _normalize(lattice, normalization, crew)
    return lattice


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
    if not np.prod(sizes) < 2.0**62:
        raise ValueError(
            "dense_crf: the features spread too far to be packed into 63 bits: choose larger "
            "sigmas (sigma_beta of at least 0.5 fits images of any usual size)"
        )
    strides = np.append(np.cumprod(np.append(1, sizes[:-1].astype(np.int64))), 0)
    return scales.astype(np.float32), lows.astype(np.int64), strides


@lru_cache
def _place_kernel(d):
    """The kernel that finds the enclosing simplex of points in d dimensions.

    One for each d, so that its loops over axes have a fixed length and disappear.
    """
    axes = d + 1
    share = np.float32(1 / axes)

    @njit(nogil=True, cache=True, error_model="numpy")
    def place(low, high, image, width, scales, lows, strides, corners, weights):
        """Number the corners of points low to high by first appearance, and weigh them.

        Args:
          low, high: the points.
          image: uint8 (H W (d - 2),), the features after x and y.
          width: W.
          scales, lows, strides: as `_geometry` gives them.
          corners: int32 (H W (d + 1),), receives the numbers.
          weights: float32 (H W (d + 1),), receives the barycentric weights.

        Returns:
          int64 keys of the vertices found, in order of their numbers.
        """
        offset = np.empty(axes, np.float32)
        vertex = np.empty(axes, np.int64)
        rank = np.empty(axes, np.int64)
        axis_of = np.empty(axes, np.int64)
        ordered = np.empty(axes, np.float32)
        slots = np.full(4096, -1, np.int32)
        found = np.empty(2048, np.int64)
        num_found = 0
        total = strides.sum()
        last_key = np.int64(-1)
        last_order = np.int64(-1)
        for point in range(low, high):
            # Elevate: coordinates that sum to zero.
            later = np.float32(0)
            for i in range(d, 0, -1):
                if i == 1:
                    feature = np.float32(point % width)
                elif i == 2:
                    feature = np.float32(point // width)
                else:
                    feature = np.float32(image[(d - 2) * point + i - 3])
                feature *= scales[i - 1]
                offset[i] = later - np.float32(i) * feature
                later += feature
            offset[0] = later
            # The nearest vertex of remainder 0, but for rounding out of the plane.
            excess = 0
            for i in range(axes):
                quotient = np.int64(math.floor(offset[i] * share + np.float32(0.5)))
                excess += quotient
                vertex[i] = quotient * axes
                offset[i] -= np.float32(vertex[i])
                rank[i] = 0
            for i in range(d):
                for j in range(i + 1, axes):
                    # No branch: it could not be foreseen.
                    behind = np.int64(offset[i] < offset[j])
                    rank[i] += behind
                    rank[j] += 1 - behind
            # Coordinates that were rounded furthest step back by one.
            order = np.int64(0)
            for i in range(axes):
                place = rank[i] + excess
                step = (place < 0) - (place >= axes)
                place += step * axes
                vertex[i] += step * axes
                offset[i] -= np.float32(step * axes)
                axis_of[place] = i
                order = order * axes + place
            for place in range(axes):
                ordered[place] = offset[axis_of[place]] * share
            first = point * axes
            weights[first] = 1 + ordered[d] - ordered[0]
            for k in range(1, axes):
                weights[first + k] = ordered[d - k] - ordered[axes - k]
            key = np.int64(0)
            for i in range(d):
                key += (vertex[i] - lows[i]) * strides[i]
            if key == last_key and order == last_order:
                for k in range(axes):
                    corners[first + k] = corners[first + k - axes]
                continue
            last_key, last_order = key, order
            if num_found + axes > len(found):
                found, slots = _grown(found, num_found)
            for k in range(axes):
                if k:
                    # All coordinates grow by one, but one falls by d.
                    key += total - axes * strides[axis_of[axes - k]]
                slot = _find(slots, found, key)
                if slots[slot] < 0:
                    slots[slot] = num_found
                    found[num_found] = key
                    num_found += 1
                corners[first + k] = slots[slot]
        return found[:num_found]

    return place


@njit(nogil=True, cache=True)
def _find(slots, found, key):
    """The slot of a key, or the free one where it belongs; slots (power of two) by hash."""
    last = len(slots) - 1
    mixed = np.uint64(key) * _GOLDEN
    slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(last))
    while slots[slot] >= 0 and found[slots[slot]] != key:
        slot = (slot + 1) & last
    return slot


@njit(nogil=True, cache=True)
def _grown(found, num_found):
    """Room for twice as many keys: the list of keys, and the slots that find them."""
    longer = np.empty(2 * len(found), np.int64)
    longer[:num_found] = found[:num_found]
    slots = np.full(2 * len(longer), -1, np.int32)
    for number in range(num_found):
        slots[_find(slots, longer, longer[number])] = number
    return longer, slots


def _number(found, crew):
    """Number vertices in the order of their keys.

    Args:
      found: for each part of the points the int64 keys it met, in the order of its own numbers.
      crew: `Crew` that sorts them.

    Returns:
      All keys, ascending, and for each part the int32 final numbers of its own numbers.
    """
    orders = crew.run_each(np.argsort, [(keys,) for keys in found])
    merged, numbers = found[0][orders[0]], []
    for keys, order in zip(found[1:], orders[1:], strict=True):
        merged, *places = _merge(merged, keys[order])
        numbers = [places[0][number] for number in numbers or [slice(None)]] + [places[1]]
    numbers = numbers or [np.arange(len(merged), dtype=np.int32)]
    return merged, [_undo(order, number) for order, number in zip(orders, numbers, strict=True)]


def _undo(order, numbers):
    """The numbers of sorted keys, for the keys as they were before."""
    before = np.empty_like(numbers)
    before[order] = numbers
    return before


@njit(nogil=True, cache=True)
def _merge(left, right):
    """Merge ascending keys: all of them once, and where those of either side went (int32)."""
    keys = np.empty(len(left) + len(right), np.int64)
    left_places = np.empty(len(left), np.int32)
    right_places = np.empty(len(right), np.int32)
    count = i = j = 0
    while i < len(left) or j < len(right):
        from_left = j == len(right) or (i < len(left) and left[i] <= right[j])
        key = left[i] if from_left else right[j]
        if from_left:
            left_places[i] = count
            i += 1
        if j < len(right) and right[j] == key:
            right_places[j] = count
            j += 1
        keys[count] = key
        count += 1
    return keys[:count].copy(), left_places, right_places


@njit(nogil=True, cache=True)
def _renumber(low, high, axes, corners, numbers, counts):
    """Give the corners of points low to high their final numbers; count how often each occurs."""
    for corner in range(low * axes, high * axes):
        number = numbers[corners[corner]]
        corners[corner] = number
        counts[number] += 1


@njit(nogil=True, cache=True)
def _starts(counts):
    """Turn the counts of each part into where its entries begin; where each vertex begins."""
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


@njit(nogil=True, cache=True)
def _collect(low, high, axes, corners, weights, firsts, points, point_weights):
    """List points low to high under their vertices, from place `firsts` of each on."""
    for point in range(low, high):
        for corner in range(point * axes, (point + 1) * axes):
            place = firsts[corners[corner]]
            firsts[corners[corner]] = place + 1
            points[place] = point
            point_weights[place] = weights[corner]


@njit(nogil=True, cache=True)
def _chains(keys, offset):
    """Vertices that follow each other along an axis: members, and where chains begin."""
    num_vertices = len(keys)
    after = np.full(num_vertices, -1, np.int32)
    is_first = np.ones(num_vertices, np.bool_)
    row = 0
    # Both the keys and those of the neighbors ascend, so one pass finds all.
    for vertex in range(num_vertices):
        wanted = keys[vertex] + offset
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


def _normalize(lattice, normalization, crew):
    """Fold the division by the kernel's row sums into the weights."""
    if normalization == "none":
        return
    axes, num_points = lattice.num_corners, len(lattice.corners) // lattice.num_corners
    table = np.empty(lattice.num_vertices, np.float32)
    entries = crew.balanced(lattice.starts)
    crew.run(_splat_ones, entries, lattice.starts, lattice.point_weights, table)
    for members, starts in lattice.chains:
        crew.run(_blur_column, crew.balanced(starts), members, starts, table)
    factors = np.empty(num_points, np.float32)
    both_sides = normalization == "symmetric"
    pixels = crew.shares(num_points)
    crew.run(
        _row_factors,
        pixels,
        axes,
        lattice.corners,
        lattice.weights,
        table,
        np.float32(lattice.height),
        both_sides,
        factors,
    )
    if normalization != "before":
        crew.run(_scale_rows, pixels, axes, lattice.weights, factors)
    if normalization != "after":
        entries = crew.shares(len(lattice.points))
        crew.run(_scale_entries, entries, lattice.points, lattice.point_weights, factors)


@njit(nogil=True, cache=True)
def _splat_ones(low, high, starts, point_weights, table):
    """What vertices low to high collect where every point holds one."""
    for vertex in range(low, high):
        total = np.float32(0)
        for entry in range(starts[vertex], starts[vertex + 1]):
            total += point_weights[entry]
        table[vertex] = total


@njit(nogil=True, cache=True)
def _blur_column(low, high, members, starts, table):
    """Blur one number a vertex along the chains low to high of an axis, in place."""
    for chain in range(low, high):
        before = np.float32(0)
        for place in range(starts[chain], starts[chain + 1]):
            here = table[members[place]]
            after = np.float32(0)
            if place + 1 < starts[chain + 1]:
                after = table[members[place + 1]]
            table[members[place]] = here + np.float32(0.5) * (before + after)
            before = here


@njit(nogil=True, cache=True)
def _row_factors(low, high, axes, corners, weights, table, height, both_sides, factors):
    """What the rows of points low to high are multiplied with: one over their sum, or its root."""
    for point in range(low, high):
        row_sum = np.float32(0)
        for corner in range(point * axes, (point + 1) * axes):
            row_sum += weights[corner] * table[corners[corner]]
        row_sum = height * row_sum + np.float32(1e-20)
        factors[point] = np.float32(1) / (math.sqrt(row_sum) if both_sides else row_sum)


@njit(nogil=True, cache=True)
def _scale_rows(low, high, axes, weights, factors):
    """Multiply the weights of points low to high."""
    for point in range(low, high):
        for corner in range(point * axes, (point + 1) * axes):
            weights[corner] *= factors[point]


@njit(nogil=True, cache=True)
def _scale_entries(low, high, points, point_weights, factors):
    """Multiply the vertices' entries low to high by their points' factors."""
    for entry in range(low, high):
        point_weights[entry] *= factors[points[entry]]
