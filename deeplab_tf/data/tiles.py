"""Grids of overlapping tiles, to train on large images at full resolution."""

from typing import NamedTuple

from deeplab_tf.errors import InputError


class TileGrid(NamedTuple):
    """How images are divided into tiles; a tile is one example of the stream.

    Args:
      height: of a tile, in pixels.
      width: of a tile, in pixels.
      rows: tiles from top to bottom.
      columns: tiles from left to right.
    """

    height: int
    width: int
    rows: int
    columns: int

    @property
    def count(self):
        """Number of tiles of an image."""
        return self.rows * self.columns

    def tile(self, number, size):
        """The place of a tile in an image.

        Args:
          number: 0 to `count` - 1, row by row.
          size: (height, width) of the image.

        Returns:
          (top, left, height, width) in pixels; a tile is never larger than the image.

        Raises:
          InputError: if the grid's tiles do not cover an image of this size.
        """
        row, column = divmod(number, self.columns)
        top = tile_offsets(size[0], self.height, self.rows)[row]
        left = tile_offsets(size[1], self.width, self.columns)[column]
        return top, left, min(self.height, size[0]), min(self.width, size[1])


def tile_grid(size, tile_size, overlap):
    """The smallest grid of overlapping tiles that covers an image.

    Args:
      size: (height, width) of the image in pixels.
      tile_size: (height, width) of a tile.
      overlap: minimum number of pixels that neighboring tiles share.

    Returns:
      `TileGrid`.

    Raises:
      InputError: if a tile has no pixels, or the overlap is not smaller than a tile.

    Example:
      >>> tile_grid((1024, 2048), (512, 512), 64)[2:]
      (3, 5)
    """
    if min(tile_size) < 1 or not 0 <= overlap < min(tile_size):
        raise InputError(
            f"tile_size {tuple(tile_size)}, tile_overlap {overlap}; give at least 1 pixel, and an"
            " overlap of at least 0 that is less than a tile"
        )
    counts = (
        # The first tile, and as many steps of tile - overlap as the rest needs, rounded up.
        1 + max(0, -(-(length - tile) // (tile - overlap)))
        for length, tile in zip(size, tile_size, strict=True)
    )
    return TileGrid(*tile_size, *counts)


def tile_offsets(length, tile, count):
    """The offsets of `count` tiles that are spread evenly along a side.

    Args:
      length: length of the side in pixels.
      tile: length of a tile in pixels.
      count: number of tiles.

    Returns:
      A list of `count` offsets; the first tile starts at 0, the last one ends at the end.

    Raises:
      InputError: if the tiles would leave gaps.

    Example:
      >>> tile_offsets(10, 4, 3)
      [0, 3, 6]
    """
    if length > tile * count:
        raise InputError(
            f"{count} tiles of {tile} pixels do not cover a side of {length}; give --tile_size and"
            " --tile_overlap that suit all images; the first image decides the number of tiles"
        )
    room = max(length - tile, 0)
    # Integer division that rounds half up: half of the divisor is added first.
    steps = max(count - 1, 1)
    return [(2 * index * room + steps) // (2 * steps) for index in range(count)]
