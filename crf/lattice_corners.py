"""Where points lie in the permutohedral lattice, in standard TensorFlow operations only.

Every point is in a simplex of d+1 corners: Adams, Baek and Davis, "Fast high-dimensional filtering
using the permutohedral lattice", Eurographics 2010, section 3.
"""

from typing import NamedTuple

import tensorflow as tf

from crf.elevation import elevation_scales
from crf.params import SIGMAS_TOO_SMALL

# Largest range of one lattice coordinate; `_fits` says why.
_LARGEST_EXTENT = 2**22


class Corners(NamedTuple):
    """The corners of the simplices that enclose N points in d dimensions.

    Args:
      keys: int64 (d + 1, N), a number for the place of each corner. Row k has the corners of
        remainder k, so that no place is in two rows.
      weights: floating (d + 1, N), the points' barycentric weights; a point's sum to one.
      offsets: int64 (d + 1,), for each axis the key of a vertex's neighbor minus its own.
      fits: bool scalar, whether different places have different keys.
    """

    keys: tf.Tensor
    weights: tf.Tensor
    offsets: tf.Tensor
    fits: tf.Tensor


def find_corners(features):
    """Find the simplex that encloses each point.

    Args:
      features: (N, d) float32 or float64, already divided by the kernel's standard deviations;
        N is at least 1 and d is static.

    Returns:
      `Corners`.

    Raises:
      ValueError: if the features spread too far for vertices to be numbered (in a graph,
        `tf.errors.InvalidArgumentError` when it runs; XLA leaves such checks out).
    """
    elevated = _elevate(features)
    vertex, rank = _enclosing_simplex(elevated)
    keys, offsets, fits = _corner_keys(vertex, rank)
    return Corners(keys, _barycentric(elevated, vertex, rank), offsets, fits)


def _elevate(features):
    """Map points (N, d) to coordinates (d + 1, N) that sum to zero."""
    d = features.shape[1]
    scales = tf.constant(elevation_scales(d), features.dtype)
    scaled = tf.unstack(tf.transpose(features * scales))
    # A sum from the last feature to the first, in the order that crf/elevation.py promises.
    later, elevated = tf.zeros_like(scaled[0]), []
    for i in range(d, 0, -1):
        elevated.append(later - i * scaled[i - 1])
        later += scaled[i - 1]
    return tf.stack([later, *reversed(elevated)])


def _enclosing_simplex(elevated):
    """Find the simplex that encloses each point.

    The k-th corner of a simplex has remainder k: all its coordinates are k modulo d + 1.

    Returns:
      vertex: floating (d + 1, N), the corner of remainder 0; its coordinates sum to zero.
      rank: int32 (d + 1, N), the position of each coordinate when the point's offsets from the
        vertex are sorted in descending order. Vertex and rank determine all corners.
    """
    axes = elevated.shape[0]
    # The product with the rounded reciprocal, not the quotient, as in the numba engine.
    quotient = tf.round(elevated * tf.constant(1 / axes, elevated.dtype))
    excess = tf.cast(tf.reduce_sum(quotient, axis=0), tf.int32)
    offset = elevated - quotient * axes
    rank = tf.stack([_rank(offset, axis) for axis in range(axes)]) + excess
    # After rounding each coordinate separately, the sum may not be zero; the coordinates that
    # rounding moved furthest go one step back.
    step = tf.cast(rank < 0, tf.int32) - tf.cast(rank >= axes, tf.int32)
    return (quotient + tf.cast(step, quotient.dtype)) * axes, rank + step * axes


def _rank(offset, axis):
    """How many coordinates precede `axis` in descending order; of equal ones, the lower index."""
    mine = offset[axis]
    ahead = (offset[:axis] >= mine, offset[axis + 1 :] > mine)
    return tf.reduce_sum(tf.cast(tf.concat(ahead, axis=0), tf.int32), axis=0)


def _barycentric(elevated, vertex, rank):
    """Barycentric weights (d + 1, N) of each point's corners; row k is for remainder k."""
    axes = elevated.shape[0]
    offset = (elevated - vertex) * tf.constant(1 / axes, elevated.dtype)
    ordered = [tf.reduce_sum(tf.where(rank == r, offset, 0.0), axis=0) for r in range(axes)]
    first = 1 + ordered[-1] - ordered[0]
    return tf.stack([first] + [ordered[r] - ordered[r + 1] for r in reversed(range(axes - 1))])


def _corner_keys(vertex, rank):
    """Pack the coordinates of each corner into one integer key.

    Returns:
      keys: int64 (d + 1, N).
      offsets: int64 (d + 1,), for each axis the key of a vertex's neighbor minus its own.
      fits: bool scalar, whether the keys are unique.
    """
    axes = vertex.shape[0]
    # A corner or its neighbor is at most 2 d away from the vertex in each coordinate.
    margin = 2 * (axes - 1)
    low = tf.reduce_min(vertex[:-1], axis=1) - margin
    extent = tf.reduce_max(vertex[:-1], axis=1) + margin - low + 1
    fits = _fits(extent)
    with tf.control_dependencies(_assert_fits(fits)):
        stride = tf.math.cumprod(tf.cast(extent, tf.int64), exclusive=True)
    # The last coordinate follows from the others, so the key leaves it out.
    stride = tf.concat([stride, tf.zeros([1], tf.int64)], axis=0)
    total = tf.reduce_sum(stride)
    position = tf.cast(vertex[:-1] - low[:, None], tf.int64)
    keys = [tf.reduce_sum(position * stride[:-1, None], axis=0)]
    for k in range(1, axes):
        # From corner k-1 to corner k all coordinates increase by one, except one that decreases
        # by d.
        falling = tf.reduce_sum(tf.where(rank == axes - k, stride[:, None], 0), axis=0)
        keys.append(keys[-1] + total - axes * falling)
    return tf.stack(keys), axes * stride - total, fits


def _fits(extent):
    """Whether corners with coordinates of these ranges, floating (d,), have keys of their own."""
    # Keys have 63 bits. Beyond the largest extent, float32 coordinates no longer sum to zero, and
    # ranks would be wrong.
    packed = tf.reduce_prod(tf.cast(extent, tf.float64)) < 2.0**62
    return tf.logical_and(packed, tf.reduce_max(extent) < _LARGEST_EXTENT)


def _assert_fits(fits):
    """Assertions for a graph; raises when executing eagerly."""
    if not tf.executing_eagerly():
        return [tf.debugging.Assert(fits, [SIGMAS_TOO_SMALL])]
    if not fits:
        raise ValueError(SIGMAS_TOO_SMALL)
    return []
