import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab_tf.data.tiles import TileGrid, tile_grid, tile_offsets
from deeplab_tf.errors import InputError


@pytest.mark.parametrize(
    ("length", "tile", "count", "offsets"),
    [
        (10, 4, 3, [0, 3, 6]),
        (10, 5, 2, [0, 5]),
        (11, 4, 3, [0, 4, 7]),
        (10, 10, 1, [0]),
        (6, 10, 1, [0]),
        (6, 10, 2, [0, 0]),
        (1024, 512, 3, [0, 256, 512]),
    ],
)
def test_offsets_hand_checked(length, tile, count, offsets):
    assert tile_offsets(length, tile, count) == offsets


@given(st.integers(1, 300), st.integers(1, 80), st.integers(1, 8))
def test_offsets_cover_the_side_or_are_refused(length, tile, count):
    if length > tile * count:
        with pytest.raises(InputError, match=f"do not cover a side of {length}"):
            tile_offsets(length, tile, count)
        return
    offsets = tile_offsets(length, tile, count)
    covered = np.zeros(length, bool)
    for offset in offsets:
        assert offset + min(tile, length) <= length
        covered[offset : offset + tile] = True
    assert covered.all()
    assert len(offsets) == count


@pytest.mark.parametrize(
    ("size", "tile_size", "overlap", "counts"),
    [
        ((1024, 2048), (512, 512), 0, (2, 4)),
        ((1024, 2048), (512, 512), 1, (3, 5)),
        ((10, 10), (10, 20), 5, (1, 1)),
        ((10, 11), (4, 4), 2, (4, 5)),
    ],
)
def test_grids_hand_checked(size, tile_size, overlap, counts):
    assert tile_grid(size, tile_size, overlap) == (*tile_size, *counts)


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 40))
def test_neighbours_of_a_grid_share_the_overlap(length, tile, overlap):
    if overlap >= tile:
        return
    count = tile_grid((length, tile), (tile, tile), overlap).rows
    offsets = tile_offsets(length, tile, count)
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(offsets))
    if count > 1:  # one less would not do
        assert tile + (count - 2) * (tile - overlap) < length


def test_tiles_of_images_of_several_sizes():
    grid = TileGrid(4, 5, rows=2, columns=3)
    assert grid.count == 6
    assert [grid.tile(number, (6, 11)) for number in range(6)] == [
        (0, 0, 4, 5),
        (0, 3, 4, 5),
        (0, 6, 4, 5),
        (2, 0, 4, 5),
        (2, 3, 4, 5),
        (2, 6, 4, 5),
    ]
    assert grid.tile(5, (3, 15)) == (0, 10, 3, 5)
    with pytest.raises(InputError, match="3 tiles of 5 pixels do not cover a side of 16"):
        grid.tile(0, (3, 16))


@pytest.mark.parametrize(("tile_size", "overlap"), [((0, 4), 0), ((4, 4), 4), ((4, 4), -1)])
def test_refuses_tiles_that_are_none(tile_size, overlap):
    with pytest.raises(InputError, match="tile_size"):
        tile_grid((10, 10), tile_size, overlap)
