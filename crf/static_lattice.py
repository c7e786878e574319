"""The filter of crf/lattice.py in operations whose shapes do not depend on an image's content.

XLA compiles these operations; it cannot compile those of crf/lattice.py. The table of vertices has
d + 1 rows for each point, as if points shared no vertex; rows that are not used stay zero.
"""

from typing import NamedTuple

import tensorflow as tf

from crf.lattice_corners import find_corners


class StaticFilter(NamedTuple):
    """A Gaussian filter on a lattice over N points in d dimensions, as `LatticeFilter`.

    Args:
      corners: int32 (N, d + 1), the vertices at the corners of each point's simplex.
      before: floating (N, d + 1), the weights with which values are added to the corners.
      after: the same, the weights with which points read from their corners.
      neighbors: for each axis int32 (M, 2), each vertex's neighbors in both directions, M where
        there is none; M = N (d + 1).
    """

    corners: tf.Tensor
    before: tf.Tensor
    after: tf.Tensor
    neighbors: list

    def __call__(self, values):
        """Filter values (N, C)."""
        # The blur along one axis is its own transpose.
        transposed = self._replace(
            before=self.after, after=self.before, neighbors=self.neighbors[::-1]
        )
        return tf.custom_gradient(lambda values: (self._filter(values), transposed._filter))(values)

    def scaled(self, before, after):
        """A filter that multiplies its input by `before` and its output by `after`, (N, 1)."""
        return self._replace(before=self.before * before, after=self.after * after)

    def _filter(self, values):
        num_vertices, labels = tf.shape(self.neighbors[0])[0], tf.shape(values)[1]
        spread = tf.reshape(self.before[:, :, None] * values[:, None, :], [-1, labels])
        # One more row stays zero: the neighbor of vertices that have none.
        table = tf.math.unsorted_segment_sum(
            spread, tf.reshape(self.corners, [-1]), num_vertices + 1
        )
        for neighbors in self.neighbors:
            after, before = (tf.gather(table, column) for column in tf.unstack(neighbors, axis=1))
            table += tf.pad(0.5 * (after + before), [[0, 1], [0, 0]])
        return tf.reduce_sum(self.after[:, :, None] * tf.gather(table, self.corners), axis=1)


def static_lattice_filter(features):
    """The Gaussian filter over points with the given features, on their lattice.

    Args:
      features: as for `lattice_filter`.

    Returns:
      `StaticFilter`, a function from values (N, C) to filtered values (N, C), both of the
      features' type. Compiled by XLA, it gives NaN if the features spread too far.

    Raises:
      ValueError: as `lattice_filter`, but not if compiled by XLA, which leaves out such checks.
    """
    found = find_corners(tf.stop_gradient(features))
    vertices, corners = _number_vertices(found.keys)
    neighbors = [_neighbors(vertices, offset) for offset in tf.unstack(found.offsets)]
    weights = tf.transpose(found.weights)
    weights = tf.where(found.fits, weights, tf.constant(float("nan"), weights.dtype))
    # As in `lattice_filter`: the Gaussian's height of 1 at distance 0.
    height = 1 / (1 + 2.0 ** (1 - len(neighbors)))
    return StaticFilter(tf.transpose(corners), weights, height * weights, neighbors)


def _number_vertices(keys):
    """Sorted keys (N (d + 1),) of the vertices, and each corner's index into them (d + 1, N).

    The keys of vertices that are not used, at the end, are the largest integer.
    """
    flat = tf.reshape(keys, [-1])
    order = tf.argsort(flat)
    ordered = tf.gather(flat, order)
    is_new = tf.cast(ordered[1:] != ordered[:-1], tf.int32)
    vertex = tf.concat([[0], tf.cumsum(is_new)], axis=0)
    corners = tf.scatter_nd(order[:, None], vertex, tf.shape(flat))
    unused = tf.fill(tf.shape(flat), flat.dtype.max)
    vertices = tf.tensor_scatter_nd_update(unused, vertex[:, None], ordered)
    return vertices, tf.reshape(corners, tf.shape(keys))


def _neighbors(vertices, offset):
    """(M, 2) of vertices' neighbors along one axis; M where there is none."""
    num_vertices = tf.size(vertices)
    wanted = vertices + offset
    place = tf.minimum(_search(vertices, wanted), num_vertices - 1)
    is_used = vertices != vertices.dtype.max
    found = tf.logical_and(tf.gather(vertices, place) == wanted, is_used)
    after = tf.where(found, place, num_vertices)
    # A vertex is the neighbor of its neighbor, in the other direction. One more entry takes the
    # vertices that have none.
    before = tf.tensor_scatter_nd_update(
        tf.fill([num_vertices + 1], num_vertices), after[:, None], tf.range(num_vertices)
    )
    return tf.stack([after, before[:-1]], axis=1)


def _search(ordered, wanted):
    """`tf.searchsorted` by bisection; XLA's own compares all pairs."""
    size = tf.size(ordered)

    def halve(step, smaller):  # `smaller` counts elements known to be below the wanted one
        probe = smaller + step
        below = tf.gather(ordered, tf.minimum(probe, size) - 1) < wanted
        found = tf.logical_and(probe <= size, below)
        return step // 2, tf.where(found, probe, smaller)

    start = tf.constant(2**30), tf.zeros_like(wanted, tf.int32)
    return tf.while_loop(lambda step, _: step > 0, halve, start, parallel_iterations=1)[1]
