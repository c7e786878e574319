"""Upsampling by hand, and where its cells are."""

import keras
import numpy as np
import pytest

from deeplab_tf.models.fcn_upsampling import Grid, add, upsample


def upsampled(values, factor, center, finer_center):
    """A line of cells, `factor` pixels apart, upsampled to every pixel; and its first cell."""
    x = keras.Input((None, None, 1))
    grid = upsample(Grid(x, factor, center), 1, finer_center, trainable=False, name="up")
    square = np.float32(values)[None, :, None, None] * np.ones((1, 1, 3, 1), np.float32)
    return np.array(keras.Model(x, grid.tensor)(square))[0, :, factor + 1, 0], grid


def test_cells_between_those_of_the_finer_grid():
    # The coarse cells lie between pixels 0 and 1, 2 and 3, 4 and 5.
    line, grid = upsampled([0, 4, 8], 2, 0.5, 0)
    # A quarter of the way from cell to cell; outside the map there are zeros.
    np.testing.assert_allclose(line, [0, 0, 1, 3, 5, 7, 6, 2])
    assert (grid.stride, grid.center) == (1, -1)


def test_cells_on_those_of_the_finer_grid():
    # On pixels 0, 2 and 4: every second cell keeps its value.
    line, grid = upsampled([0, 4, 8], 2, 0, 0)
    np.testing.assert_allclose(line, [0, 0, 2, 4, 6, 8, 4])
    assert (grid.stride, grid.center) == (1, -1)


@pytest.mark.parametrize("factor", [2, 8, 32])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_a_ramp_stays_a_ramp(factor, shift):
    centers = factor * np.arange(4) - 20 + shift  # the value of a cell is its pixel
    line, grid = upsampled(centers, factor, centers[0], 0)
    pixels = np.arange(len(line)) + grid.center
    inside = (pixels >= centers[0]) & (pixels <= centers[-1])
    np.testing.assert_allclose(line[inside], pixels[inside], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("first_is_larger", [True, False])
def test_sums_are_of_the_same_pixels(first_is_larger):
    """Two maps whose values are their pixels, one of which begins earlier and ends later."""
    large, small = keras.Input((None, None, 1)), keras.Input((None, None, 1))
    grids = [Grid(large, 4, -8.0), Grid(small, 4, 4.0)]
    total = add(*(grids if first_is_larger else grids[::-1]), name="sum")
    assert (total.stride, total.center) == (4, 4.0)
    values = [
        np.tile(np.float32(x)[None, :, None, None], (1, 1, len(x), 1))
        for x in (np.arange(-8, 28, 4), np.arange(4, 20, 4))
    ]
    found = np.array(keras.Model([large, small], total.tensor)(values))
    np.testing.assert_array_equal(found[0, :, 0, 0], [8, 16, 24, 32])
    assert found.shape == (1, 4, 4, 1)
