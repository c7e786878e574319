"""Checking that the tiles of the first image of a list also suit the others."""

from multiprocessing.pool import ThreadPool

from tqdm import tqdm

from crf.threads import available_threads
from deeplab_tf.data.image_header import read_header
from deeplab_tf.data.tiles import tile_grid
from deeplab_tf.errors import InputError


def check_tile_sizes(examples, tile_size, tile_overlap, *, progress=True):
    """Find images that the tiles do not cover before training, instead of hours into it.

    Only the headers of the images are read.

    Args:
      examples: list of `Example` or `RecordExample`; the first decides how many tiles there are.
      tile_size: (height, width) of a tile in pixels.
      tile_overlap: minimum number of pixels that neighboring tiles of the first image share.
      progress: whether to show a progress bar if the check takes longer than a second.

    Raises:
      InputError: naming the first image that the tiles do not cover or that cannot be read, or
        if there are no tiles of this size and overlap.
    """
    grid = tile_grid(_size(examples[0]), tile_size, tile_overlap)
    bar = {"total": len(examples), "unit": "image", "desc": "tile sizes", "delay": 1}
    with ThreadPool(available_threads()) as pool:
        sizes = tqdm(pool.imap(_size, examples, 16), **bar, disable=not progress)
        for example, size in zip(examples, sizes, strict=True):
            try:
                grid.tile(0, size)
            except InputError as error:
                what = f"{example.image}: size {size[1]}x{size[0]}"
                raise InputError(f"{what}: {error}") from None


def _size(example):
    # (height, width) as the training reads it.
    contents, _ = example.read()
    try:
        header = read_header(contents)
    except InputError as error:
        raise InputError(f"{example.image}: {error}") from None
    return header.height, header.width
