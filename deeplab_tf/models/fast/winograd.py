"""Winograd convolution: 3x3 convolution with fewer multiplications, for CPUs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: a tile of m x m
outputs takes (m + 2)^2 products of transformed inputs and weights instead of 9 m^2, F(m x m, 3 x 3)
in the paper. The transforms follow Toom and Cook: polynomials are evaluated at m + 1 points and at
infinity, multiplied there, and interpolated.
"""

import functools

import numpy as np
import tensorflow as tf

# Tile side m -> interpolation points; small numbers keep the rounding errors of float32 small.
_POINTS = {3: (0, 1, -1, 0.5), 4: (0, 1, -1, 0.5, -2)}


def transform_kernel(kernel, rate=1):
    """The weights of `convolve_transformed`, which are the same for all maps.

    Args:
      kernel: (3, 3, C, F) float32.
      rate: dilation rate.

    Returns:
      (36, C, F) float32; (25, C, F) for dilated convolutions.
    """
    weights = tf.matmul(_transforms(_side(rate))[1], tf.reshape(kernel, [9, -1]))
    return tf.reshape(weights, [-1, *kernel.shape[2:]])


def convolve_transformed(x, weights, rate=1):
    """Compute `tf.nn.conv2d(x, kernel, 1, "SAME", dilations=rate)`, up to rounding.

    It is faster on CPUs for 128 or more channels.

    Args:
      x: (B, H, W, C) float32.
      weights: `transform_kernel(kernel, rate)`.
      rate: dilation rate.

    Returns:
      (B, H, W, F) float32.
    """
    y = _compiled(*weights.shape, rate)(x, weights)
    y.set_shape([*x.shape[:3], weights.shape[2]])
    return y


@functools.cache
def _compiled(points, channels, filters, rate):
    """The graph for maps of any size, shared by the many similar layers of a network."""
    shapes = [None, None, None, channels], [points, channels, filters]
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(lambda x, weights: _convolve(x, weights, rate), input_signature=specs)


def _convolve(x, weights, rate):
    points, channels, filters = weights.shape
    input_transform, _, output_transform = _transforms(_side(rate))
    tiles = _Tiles(tf.shape(x), _side(rate), rate)
    inputs = tf.matmul(input_transform, tf.reshape(tiles.gather(x, channels), [points, -1]))
    # One (tiles, C) x (C, F) product per point.
    products = tf.matmul(tf.reshape(inputs, [points, -1, channels]), weights)
    outputs = tf.matmul(output_transform, tf.reshape(products, [points, -1]))
    return tiles.assemble(outputs, filters)


def _side(rate):
    # A dilated map is split into smaller maps, on which larger tiles would waste more work past
    # the edges.
    return 4 if rate == 1 else 3


@functools.cache
def _transforms(side):
    """Matrices that transform a tile's inputs, the 3x3 weights and the products, float32."""
    points = _POINTS[side]
    inputs = np.linalg.inv(_powers(points, side + 2)).T
    weights, outputs = _powers(points, 3), _powers(points, side).T
    # Bring both factors of a product to the same order of magnitude.
    balance = np.sqrt(np.abs(inputs).sum(axis=1) / np.abs(weights).sum(axis=1))[:, None]
    along_one_axis = inputs / balance, weights * balance, outputs
    return tuple(np.kron(matrix, matrix).astype(np.float32) for matrix in along_one_axis)


def _powers(points, count):
    """The first `count` powers of every point and of infinity, (m + 2, count)."""
    infinity = np.eye(count)[-1:]
    return np.concatenate([np.vander(np.array(points, float), count, increasing=True), infinity])


class _Tiles:
    """How maps are cut into tiles of m x m outputs.

    A map at dilation rate r consists of r x r interleaved maps of every r-th cell, each with tiles
    of its own. Along an axis, the tiles of the first interleaved map come before those of the
    second. All are listed by place in the tile, image, and tile: [i, j, image, row, column].
    """

    def __init__(self, shape, side, rate):
        self._images, *self._lengths = tf.unstack(shape[:3])
        self._side, self._rate = side, rate
        # Tiles of one interleaved map along each axis.
        self._counts = [-(-length // (side * rate)) for length in self._lengths]

    def gather(self, x, channels):
        """The (m + 2) x (m + 2) input cells of every tile, as rows of `channels`."""
        extents = [(count * self._side + 2) * self._rate for count in self._counts]
        pads = [
            [self._rate, extent - self._rate - length]
            for extent, length in zip(extents, self._lengths, strict=True)
        ]
        padded = tf.pad(x, [[0, 0], *pads, [0, 0]])
        rows, columns = (self._input_cells(count) for count in self._counts)
        rows = tf.range(self._images)[:, None] * extents[0] + rows[:, None]
        rows = tf.reshape(rows * extents[1], [self._side + 2, 1, -1, 1])
        index = rows + columns[:, None]
        return tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(index, [-1]))

    def assemble(self, outputs, channels):
        """The maps (B, H, W, channels) that the tiles' outputs make up."""
        tile_rows, tile_columns = (count * self._rate for count in self._counts)
        axes = zip(self._lengths, self._counts, strict=True)
        rows, columns = (self._place_and_tile(*axis) for axis in axes)
        tiles = tile_rows * tile_columns  # of one image
        place = self._images * tiles  # rows of `outputs` for one place in the tile
        rows = rows[0] * self._side * place + rows[1] * tile_columns
        columns = columns[0] * place + columns[1]
        index = tf.range(self._images)[:, None] * tiles + rows
        index = index[:, :, None] + columns
        return tf.gather(tf.reshape(outputs, [-1, channels]), index)

    def _input_cells(self, count):
        """Padded cells along an axis, by place in the tile and tile: (m + 2, r * count)."""
        tiles = tf.range(self._rate)[:, None] + tf.range(count) * (self._side * self._rate)
        return tf.range(self._side + 2)[:, None] * self._rate + tf.reshape(tiles, [-1])

    def _place_and_tile(self, length, count):
        """For every cell along an axis: its place in its tile, and the index of the tile."""
        cells = tf.range(length)
        tiles = cells % self._rate * count + cells // (self._side * self._rate)
        return cells // self._rate % self._side, tiles
