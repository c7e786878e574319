"""The simplex of the lattice that encloses each point."""

import math
from functools import lru_cache

import numpy as np

from crf.compile import kernel

# Multiplicative hashing: the golden ratio as a fraction of 2^64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@lru_cache
def place_kernel(d):
    """The kernel that finds the enclosing simplex of points in d dimensions.

    One for each d, so that its loops over axes have a fixed length and disappear.
    """
    axes = d + 1
    share = np.float32(1 / axes)

    @kernel(error_model="numpy")
    def place(low, high, image, width, scales, lows, strides, corners, weights):
        """Number the corners of points low to high by first appearance, and weigh them.

        Args:
          low, high: the points.
          image: uint8 (H W (d - 2),), the features after x and y.
          width: W.
          scales, lows, strides: as `crf.cpu.lattice` gives them.
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


@kernel
def _find(slots, found, key):
    """The slot of a key, or the free one where it belongs; slots (power of two) by hash."""
    last = len(slots) - 1
    mixed = np.uint64(key) * _GOLDEN
    slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(last))
    while slots[slot] >= 0 and found[slots[slot]] != key:
        slot = (slot + 1) & last
    return slot


@kernel
def _grown(found, num_found):
    """Room for twice as many keys: the list of keys, and the slots that find them."""
    longer = np.empty(2 * len(found), np.int64)
    longer[:num_found] = found[:num_found]
    slots = np.full(2 * len(longer), -1, np.int32)
    for number in range(num_found):
        slots[_find(slots, longer, longer[number])] = number
    return longer, slots
