"""Gaussian filter on the permutohedral lattice, in standard TensorFlow operations only.

Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice",
Eurographics 2010. Every point spreads its values over the d+1 corners of the simplex that
encloses it (splat), the lattice is blurred along its d+1 axes, and every point reads from its
corners (slice). Time and memory grow with the number of points, not with its square.

`lattice_filter` computes everything that depends on the features; a filter run is then d+3
products with sparse matrices. The filter is linear; its gradient with respect to the values is
the transposed filter, which blurs along the axes in reverse order. The features are constants.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import tensorflow as tf

from crf.elevation import elevation_scales
from crf.params import SIGMAS_TOO_SMALL

# Largest range of one lattice coordinate; `_check_extent` says why.
_LARGEST_EXTENT = 2**22


class LatticeFilter(NamedTuple):
    """A Gaussian filter on a lattice over N points with M occupied vertices in d dimensions.

    It is a function from values (N, C) to filtered values (N, C), both of the weights' type: each
    result is the sum over all points' values, weighted by about exp(-|f_i - f_j|² / 2).

    Args:
      splat: sparse floating (M, N); column n holds the weights with which point n's value
        is added to its d+1 corners. Its values are ordered by corner, then by point.
      slicing: sparse, with the same indices; column n holds the weights with which point n reads
        from its corners.
      neighbors: for each axis sparse floating (M, M), one half at each vertex's two neighbors.
    """

    splat: tf.SparseTensor
    slicing: tf.SparseTensor
    neighbors: list

    def __call__(self, values):
        """Filter values (N, C)."""

        @tf.custom_gradient
        def run(values):
            # `_filter` instead of the filter itself: a gradient that has a custom gradient of its
            # own could not be saved in a SavedModel.
            return self._filter(values), self.transposed()._filter

        return run(values)

    def transposed(self):
        """The transposed (adjoint) filter."""
        # The blur along one axis is its own transpose.
        return LatticeFilter(splat=self.slicing, slicing=self.splat, neighbors=self.neighbors[::-1])

    def scaled(self, before, after):
        """A filter that multiplies its input by `before` and its output by `after`.

        Args:
          before: (N, 1) of the weights' type.
          after: the same.

        Returns:
          `LatticeFilter`; the factors go into the weights, so it is as fast as this one.
        """

        def scale(matrix, factor):
            return matrix.with_values(matrix.values * tf.tile(factor[:, 0], [len(self.neighbors)]))

        return LatticeFilter(scale(self.splat, before), scale(self.slicing, after), self.neighbors)

    def _filter(self, values):
        if values.shape[1] is None:
            return self._filter_group(values)
        bounds = _label_groups(values.shape[1], len(self.neighbors))
        groups = [values[:, start:end] for start, end in pairwise(bounds)]
        return tf.concat([self._filter_group(group) for group in groups], axis=1)

    def _filter_group(self, values):
        table = tf.sparse.sparse_dense_matmul(self.splat, values)
        for halves in self.neighbors:
            table += tf.sparse.sparse_dense_matmul(halves, table)
        return tf.sparse.sparse_dense_matmul(self.slicing, table, adjoint_a=True)


def _label_groups(num_labels, num_axes):
    """Split the labels into groups that are filtered in parallel.

    TensorFlow multiplies a sparse matrix on a single thread, so several groups use several
    threads. The product is fastest for multiples of 8 columns, and several times slower for
    32 or more. A lattice of few axes takes little time and gets larger groups, to run next to
    the groups of another lattice.

    Args:
      num_labels: number of labels, at least 1.
      num_axes: d+1 of the lattice.

    Returns:
      List of the groups' bounds: 0, the first label of the second group, ..., num_labels.
    """
    eights = math.ceil(num_labels / 8)
    groups = math.ceil(eights / (2 if num_axes > 3 else 3))
    return [8 * (eights * group // groups) for group in range(groups)] + [num_labels]


def lattice_filter(features):
    """The Gaussian filter over points with the given features, on their lattice.

    Finds the occupied vertices, the points' weights on them, and their neighbors.

    Args:
      features: (N, d) float32 or float64, already divided by the kernel's standard deviations;
        N is at least 1 and d is static.

    Returns:
      `LatticeFilter`, a function from values (N, C) to filtered values (N, C), both of the
      features' type.

    Raises:
      ValueError: if the features spread too far for vertices to be numbered (in a graph,
        `tf.errors.InvalidArgumentError` when it runs).
    """
    features = tf.stop_gradient(features)
    elevated = _elevate(features)
    vertex, rank = _enclosing_simplex(elevated)
    weights = _barycentric(elevated, vertex, rank)
    keys, offsets = _corner_keys(vertex, rank)
    occupied, corners = _number_vertices(keys)
    splat = _splat_matrix(corners, weights, tf.size(occupied))
    neighbors = [_neighbors(occupied, offset, weights.dtype) for offset in tf.unstack(offsets)]
    # The blur's coefficients sum to 2, not 1, along each axis; this factor gives the filter the
    # Gaussian's height of 1 at distance 0.
    height = 1 / (1 + 2.0 ** (1 - len(neighbors)))
    return LatticeFilter(splat, splat.with_values(height * splat.values), neighbors)


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
    """
    axes = vertex.shape[0]
    # A corner or its neighbor is at most 2 d away from the vertex in each coordinate.
    margin = 2 * (axes - 1)
    low = tf.reduce_min(vertex[:-1], axis=1) - margin
    extent = tf.reduce_max(vertex[:-1], axis=1) + margin - low + 1
    with tf.control_dependencies(_check_extent(extent)):
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
    return tf.stack(keys), axes * stride - total


def _check_extent(extent):
    """Check that keys fit; returns assertions for a graph, and raises when executing eagerly."""
    # Keys have 63 bits. Beyond the largest extent, float32 coordinates no longer sum to zero, and
    # ranks would be wrong.
    packed = tf.reduce_prod(tf.cast(extent, tf.float64)) < 2.0**62
    fits = tf.logical_and(packed, tf.reduce_max(extent) < _LARGEST_EXTENT)
    if not tf.executing_eagerly():
        return [tf.debugging.Assert(fits, [SIGMAS_TOO_SMALL])]
    if not fits:
        raise ValueError(SIGMAS_TOO_SMALL)
    return []


def _number_vertices(keys):
    """Sorted keys (M,) of the occupied vertices, and each corner's index into them (d + 1, N)."""
    found, corners = tf.unique(tf.reshape(keys, [-1]))
    # In sorted order neighbors are close in memory, which makes the blur faster.
    order = tf.argsort(found)
    corners = tf.gather(tf.math.invert_permutation(order), corners)
    return tf.gather(found, order), tf.reshape(corners, tf.shape(keys))


def _splat_matrix(corners, weights, num_vertices):
    """Sparse (M, N) matrix of the weights; its values are ordered by corner, then by point."""
    axes = corners.shape[0]
    num_points = tf.shape(corners)[1]
    columns = tf.tile(tf.range(num_points), [axes])
    shape = [num_vertices, num_points]
    return _sparse(tf.reshape(corners, [-1]), columns, tf.reshape(weights, [-1]), shape)


def _neighbors(occupied, offset, dtype):
    """Sparse (M, M) matrix: row i holds 0.5 for each neighbor of vertex i along an axis."""
    num_vertices = tf.size(occupied)
    wanted = occupied + offset
    row = tf.minimum(tf.searchsorted(occupied, wanted), num_vertices - 1)
    vertex = tf.cast(tf.where(tf.gather(occupied, row) == wanted)[:, 0], tf.int32)
    after = tf.gather(row, vertex)
    rows, columns = tf.concat([vertex, after], axis=0), tf.concat([after, vertex], axis=0)
    halves = tf.fill([tf.size(rows)], tf.constant(0.5, dtype))
    return _sparse(rows, columns, halves, [num_vertices, num_vertices])


def _sparse(rows, columns, values, shape):
    indices = tf.cast(tf.stack([rows, columns], axis=1), tf.int64)
    return tf.SparseTensor(indices, values, tf.cast(tf.stack(shape), tf.int64))
