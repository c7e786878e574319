"""The simplex of the permutohedral lattice that encloses each point, and the keys of vertices.

Notation of Adams, Baek and Davis 2010: a point with d features is elevated to d + 1 coordinates
that sum to zero; it lies in a simplex of d + 1 vertices.
"""

import hashlib
from functools import lru_cache

import numpy as np

from crf.compile import kernel
from crf.cpu.simd import (
    LANES,
    add,
    fill,
    less,
    load,
    multiply,
    round_to_even,
    store,
    subtract,
    where_equal,
)
from crf.elevation import column_ends, elevation_scales, scaled_values
from crf.params import SIGMAS_TOO_SMALL

# Start of the SHA-256 of simd.py; kernels.py explains why it is here.
SIMD_CHECKSUM = "051345eba69b694e"

_ZERO, _ONE = np.float32(0), np.float32(1)

# Multiplicative hashing: the golden ratio as a fraction of 2^64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Largest range of one lattice coordinate. Beyond it, float32 coordinates no longer sum to zero, and
# ranks would be wrong.
_LARGEST_EXTENT = 2**22
# Keys below this number have room for their neighbors' keys in 63 bits.
_EXACT_KEYS = 2**62


def lattice_geometry(sigmas, counts):
    """Tables that turn features into lattice coordinates, and constants that turn those into keys.

    Args:
      sigmas: (d,) standard deviations of the kernel.
      counts: (d,) how many values each feature has: 0, 1, ..., count - 1.

    Returns:
      tables: for each feature float32 (count,), its values as `scaled_values` gives them.
      lows: int64 (d,), the smallest value of the first d coordinates of any vertex.
      strides: uint64 (d + 1,), factors of the coordinates in the key; the last one is 0.

    Raises:
      ValueError: if the features spread too far for vertices to be numbered in 63 bits.
    """
    scales = elevation_scales(len(sigmas))
    reach = scales.astype(np.float64) / sigmas * (np.asarray(counts) - 1)
    lows, sizes = _coordinates(np.zeros_like(reach), reach)
    if not (np.prod(sizes) < _EXACT_KEYS and np.max(sizes) < _LARGEST_EXTENT):
        raise ValueError(SIGMAS_TOO_SMALL)
    tables = [scaled_values(*each) for each in zip(counts, sigmas, scales, strict=True)]
    return tables, lows.astype(np.int64), _strides(sizes)


def point_geometry(features):
    """As `lattice_geometry`, for points with any features.

    Features that spread too far for all vertices to be numbered get hashed keys: sums of the
    coordinates times constants, modulo 2^64. Of ten million vertices, two have the same key with a
    probability of 3e-6; they would be filtered as one.

    Args:
      features: float32 (N, d), divided by the standard deviations.

    Returns:
      scaled: float32 (N, d), the features times `elevation_scales`.
      lows, strides: as `lattice_geometry` gives them.

    Raises:
      ValueError: if the features spread too far for coordinates in float32.
    """
    scaled = features * elevation_scales(features.shape[1])
    least, most = column_ends(scaled).astype(np.float64)
    lows, sizes = _coordinates(least, most)
    if not np.max(sizes) < _LARGEST_EXTENT:
        spread = np.ptp(features, axis=0)
        raise ValueError(
            f"crf: the features spread too far for the lattice: feature {spread.argmax()} over "
            f"{spread.max():.3g} standard deviations; choose larger standard deviations"
        )
    return scaled, lows.astype(np.int64), _strides(sizes)


def _coordinates(least, most):
    """Lowest value, and number of values, of the first d coordinates of any vertex.

    Args:
      least, most: float64 (d,), the range of each scaled feature.
    """
    index = np.arange(len(least))

    def outermost(here, before):
        # Coordinate i is the sum of the scaled features from i on, minus i times the one before.
        return np.cumsum(here[::-1])[::-1] - index * np.append(0, before[:-1])

    # A corner, or its neighbor, is at most 2 d away from the simplex's first vertex, which is at
    # most another d away from the point.
    margin = 3 * (len(least) + 1)
    lows = np.floor(outermost(least, most)) - margin
    return lows, np.ceil(outermost(most, least)) + margin - lows + 1


def _strides(sizes):
    """uint64 (d + 1,): factors of the coordinates in the key; the last one is 0.

    If not all keys fit into 63 bits, some coordinates get hashed factors.
    """
    strides, product = [], 1
    for axis, size in enumerate(sizes.tolist()):
        if product * size < _EXACT_KEYS:
            strides.append(product)
            product *= int(size)
        else:
            digest = hashlib.sha256(f"axis {axis}".encode()).digest()
            strides.append(int.from_bytes(digest[:8], "little") | 1)
    return np.array([*strides, 0], np.uint64)


@lru_cache
def simplex_kernel(d):
    """Compile the kernel that finds the enclosing simplex of points in d dimensions.

    There is one for each d, so that its loops over axes have a constant length and are unrolled.
    """
    axes = d + 1
    share = np.float32(1 / axes)

    def find_simplices(low, high, values, tables, lows, strides, corners, weights):
        """Number the corners of points low to high, and compute their barycentric weights.

        Numbers follow the order in which vertices first appear.

        Args:
          low, high: range of points.
          values: float32 (N d,), the scaled features; for the pixels of an image uint8
            (H W (d - 2),), the features after x and y.
          tables: None, or for an image the scaled values of x, float32 (W,), of y, (H,), and of
            the features after them, (d - 2, 256).
          lows, strides: as `lattice_geometry` gives them.
          corners: int32 (N (d + 1),), receives the numbers.
          weights: float32 (N (d + 1),), receives the barycentric weights.

        Returns:
          int64 keys of the vertices found, in order of their numbers.
        """
        # Eight points at a time; each of these arrays has their eight values for every axis.
        features = np.zeros(d * LANES, np.float32)
        offset, inside = np.empty(axes * LANES, np.float32), np.empty(axes * LANES, np.float32)
        vertex, position = np.empty(axes * LANES, np.float32), np.empty(axes * LANES, np.float32)
        ordered, shares = np.empty(axes * LANES, np.float32), np.empty(axes * LANES, np.float32)
        axis_of = np.empty(axes, np.int64)
        last_position = np.zeros(axes, np.float32)
        # Twice as many slots as keys, so that the hash table is at most half full.
        slots = np.full(4096, -1, np.int32)
        found = np.empty(2048, np.int64)
        num_found = 0
        total = strides.sum()
        last_key = np.int64(-1)
        zero, one, length = fill(_ZERO), fill(_ONE), fill(np.float32(axes))
        if tables is not None:
            column, row = low % len(tables[0]), low // len(tables[0])
        for start in range(low, high, LANES):
            count = min(LANES, high - start)
            for lane in range(count):
                point = start + lane
                if tables is None:
                    for i in range(d):
                        features[i * LANES + lane] = values[d * point + i]
                else:
                    features[lane] = tables[0][column]
                    features[LANES + lane] = tables[1][row]
                    for i in range(d - 2):
                        level = values[(d - 2) * point + i]
                        features[(i + 2) * LANES + lane] = tables[2][i, level]
                    column += 1
                    if column == len(tables[0]):
                        column, row = 0, row + 1
            # Elevate the features to coordinates that sum to zero.
            later = zero
            for i in range(d, 0, -1):
                feature = load(features, (i - 1) * LANES)
                store(offset, i * LANES, subtract(later, multiply(fill(np.float32(i)), feature)))
                later = add(later, feature)
            store(offset, 0, later)
            # The nearest vertex of remainder 0. Rounding may make its sum nonzero.
            excess = zero
            for i in range(axes):
                here = load(offset, i * LANES)
                quotient = round_to_even(multiply(here, fill(share)))
                excess = add(excess, quotient)
                nearest = multiply(quotient, length)
                store(vertex, i * LANES, nearest)
                store(offset, i * LANES, subtract(here, nearest))
            for i in range(axes):
                here, rank = load(offset, i * LANES), excess
                for j in range(i):
                    rank = add(rank, subtract(one, less(load(offset, j * LANES), here)))
                for j in range(i + 1, axes):
                    rank = add(rank, less(here, load(offset, j * LANES)))
                # Make the sum zero: the coordinates that rounding moved furthest go one step back.
                step = subtract(less(rank, zero), less(fill(np.float32(d)), rank))
                step = multiply(step, length)
                store(position, i * LANES, add(rank, step))
                store(vertex, i * LANES, add(load(vertex, i * LANES), step))
                store(inside, i * LANES, subtract(here, step))
            for k in range(axes):
                place, value = fill(np.float32(k)), zero
                for i in range(axes):
                    mine = where_equal(load(position, i * LANES), place, load(inside, i * LANES))
                    value = add(value, mine)
                store(ordered, k * LANES, multiply(value, fill(share)))
            spread = subtract(load(ordered, d * LANES), load(ordered, 0))
            store(shares, 0, add(one, spread))
            for k in range(1, axes):
                above, below = load(ordered, (d - k) * LANES), load(ordered, (axes - k) * LANES)
                store(shares, k * LANES, subtract(above, below))
            for lane in range(count):
                first = (start + lane) * axes
                # Unsigned, because sums of hashed keys are meant modulo 2^64.
                unsigned = np.uint64(0)
                for i in range(d):
                    coordinate = np.int64(vertex[i * LANES + lane]) - lows[i]
                    unsigned += np.uint64(coordinate) * strides[i]
                key = np.int64(unsigned)
                same = key == last_key
                for k in range(axes):
                    weights[first + k] = shares[k * LANES + lane]
                    same &= position[k * LANES + lane] == last_position[k]
                # Neighboring points often lie in the same simplex.
                if same:
                    for k in range(axes):
                        corners[first + k] = corners[first + k - axes]
                    continue
                last_key = key
                for i in range(axes):
                    last_position[i] = position[i * LANES + lane]
                    axis_of[np.int64(last_position[i])] = i
                if num_found + axes > len(found):
                    found, slots = _grown(found, num_found)
                for k in range(axes):
                    if k:
                        # All coordinates increase by one, except one that decreases by d.
                        unsigned += total - np.uint64(axes) * strides[axis_of[axes - k]]
                        key = np.int64(unsigned)
                    slot = _find(slots, found, key)
                    if slots[slot] < 0:
                        slots[slot] = num_found
                        found[num_found] = key
                        num_found += 1
                    corners[first + k] = slots[slot]
        return found[:num_found]

    # Numba names machine code, and its files in the cache, after the function and the types of its
    # arguments. Processes may compile different d at once, so the name must tell them apart.
    find_simplices.__name__ = find_simplices.__qualname__ = f"find_simplices_{d}"
    return kernel(error_model="numpy")(find_simplices)


@kernel
def _find(slots, found, key):
    """The slot of a key in an open-addressing hash table, or the free slot for it.

    The number of slots is a power of two; a slot holds an index into `found`, or -1.
    """
    last = len(slots) - 1
    mixed = np.uint64(key) * _GOLDEN
    slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(last))
    while slots[slot] >= 0 and found[slots[slot]] != key:
        slot = (slot + 1) & last
    return slot


@kernel
def _grown(found, num_found):
    """Double the capacity; return the longer array of keys, and a new hash table for it."""
    longer = np.empty(2 * len(found), np.int64)
    longer[:num_found] = found[:num_found]
    slots = np.full(2 * len(longer), -1, np.int32)
    for number in range(num_found):
        slots[_find(slots, longer, longer[number])] = number
    return longer, slots
