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

from crf.lattice_corners import find_corners


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
      most_labels: an upper bound of C; None if there is none, or C is static.
    """

    splat: tf.SparseTensor
    slicing: tf.SparseTensor
    neighbors: list
    most_labels: int | None = None

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
        return self._replace(splat=self.slicing, slicing=self.splat, neighbors=self.neighbors[::-1])

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

        return self._replace(splat=scale(self.splat, before), slicing=scale(self.slicing, after))

    def _filter(self, values):
        labels = values.shape[1]
        most = self.most_labels if labels is None else labels
        # Below 32 labels a number that only the graph knows is not worth dividing: it is usually
        # small, and the parts would be copied.
        if not most or (labels is None and most < 32):
            return self._filter_group(values)
        labels = tf.shape(values)[1] if labels is None else labels
        bounds = _label_groups(labels, len(self.neighbors), most)
        groups = [values[:, start:end] for start, end in pairwise(bounds)]
        return tf.concat([self._filter_group(group) for group in groups], axis=1)

    def _filter_group(self, values):
        table = tf.sparse.sparse_dense_matmul(self.splat, values)
        for halves in self.neighbors:
            table += tf.sparse.sparse_dense_matmul(halves, table)
        return tf.sparse.sparse_dense_matmul(self.slicing, table, adjoint_a=True)


def _label_groups(num_labels, num_axes, most_labels=None):
    """Split the labels into groups that are filtered in parallel.

    TensorFlow multiplies a sparse matrix on a single thread, so several groups use several
    threads. The product is fastest for multiples of 8 columns, and several times slower for
    32 or more. A lattice of few axes takes little time and gets larger groups, to run next to
    the groups of another lattice.

    Args:
      num_labels: number of labels, an int or an int32 scalar.
      num_axes: d+1 of the lattice.
      most_labels: an upper bound of num_labels, at least 1; None: num_labels.

    Returns:
      List of the groups' bounds: 0, the first label of the second group, ..., num_labels. It is as
      long as for `most_labels`, so the last groups may be empty.
    """
    is_static = isinstance(num_labels, int)
    least, largest = (min, max) if is_static else (tf.minimum, tf.maximum)
    width = 2 if num_axes > 3 else 3
    eights = -(-num_labels // 8)
    groups = largest(1, -(-eights // width))
    starts = range(math.ceil(math.ceil((most_labels or num_labels) / 8) / width))
    bounds = [8 * (eights * least(group, groups) // groups) for group in starts]
    return [least(bound, num_labels) for bound in bounds] + [num_labels]


def lattice_filter(features, most_labels=None):
    """The Gaussian filter over points with the given features, on their lattice.

    Finds the occupied vertices, the points' weights on them, and their neighbors.

    Args:
      features: (N, d) float32 or float64, already divided by the kernel's standard deviations;
        N is at least 1 and d is static.
      most_labels: an upper bound of C, for values whose C only the running graph knows.

    Returns:
      `LatticeFilter`, a function from values (N, C) to filtered values (N, C), both of the
      features' type.

    Raises:
      ValueError: if the features spread too far for vertices to be numbered (in a graph,
        `tf.errors.InvalidArgumentError` when it runs).
    """
    found = find_corners(tf.stop_gradient(features))
    occupied, corners = _number_vertices(found.keys)
    splat = _splat_matrix(corners, found.weights, tf.size(occupied))
    dtype = found.weights.dtype
    neighbors = [_neighbors(occupied, offset, dtype) for offset in tf.unstack(found.offsets)]
    # The blur's coefficients sum to 2, not 1, along each axis; this factor gives the filter the
    # Gaussian's height of 1 at distance 0.
    height = 1 / (1 + 2.0 ** (1 - len(neighbors)))
    return LatticeFilter(splat, splat.with_values(height * splat.values), neighbors, most_labels)


def _number_vertices(keys):
    """Sorted keys (M,) of the occupied vertices, and each corner's index into them (d + 1, N)."""
    # Row by row, because no vertex is in two rows: small tables are faster, and rows run in
    # parallel.
    rows = [tf.unique(row) for row in tf.unstack(keys)]
    found = tf.concat([row.y for row in rows], axis=0)
    # In sorted order neighbors are close in memory, which makes the blur faster.
    order = tf.argsort(found)
    sizes = tf.stack([tf.size(row.y) for row in rows])
    places = tf.split(tf.math.invert_permutation(order), sizes, num=len(rows))
    corners = [tf.gather(place, row.idx) for place, row in zip(places, rows, strict=True)]
    return tf.gather(found, order), tf.stack(corners)


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
