"""Scores of large images from overlapping tiles."""

import math

import numpy as np
import tensorflow as tf


def tiled_scores(score, images, tile, output_stride):
    """Scores of an image, averaged over overlapping tiles.

    Args:
      score: function from images (1, h, w, 3) float32 to scores (1, h, w, C) float32.
      images: (1, H, W, 3) float32.
      tile: side of a tile in pixels.
      output_stride: pixels between two cells of the network.

    Returns:
      (1, H, W, C) float32.
    """
    # A tile whose last pixel is the center of a cell needs no padding, which would change its
    # last scores.
    tile = (tile - 1) // output_stride * output_stride + 1
    height, width = images.shape[1:3]
    tops = _tile_starts(height, tile, output_stride)
    lefts = _tile_starts(width, tile, output_stride)
    if len(tops) == len(lefts) == 1:
        return score(images)
    total, weights = None, np.zeros((height, width, 1), np.float32)
    for rows in (slice(top, top + tile) for top in tops):
        for columns in (slice(left, left + tile) for left in lefts):
            scores = score(images[:, rows, columns])[0].numpy()
            if total is None:
                total = np.zeros((height, width, scores.shape[-1]), np.float32)
            # The weights form a pyramid: highest in the center of the tile, and never 0.
            sides = [np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in scores.shape[:2]]
            weight = np.outer(*sides)[..., None].astype(np.float32)
            total[rows, columns] += weight * scores
            weights[rows, columns] += weight
    return tf.constant(total / weights)[None]


def _tile_starts(length, tile, output_stride):
    """Where tiles start along one axis; neighbors overlap by about half a tile."""
    if tile >= length:
        return [0]
    # Whole numbers of cells, so that a tile's cells are also cells of the whole image.
    last = math.ceil((length - tile) / output_stride)
    count = math.ceil(2 * (length - tile) / tile) + 1
    starts = np.linspace(0, last, count).astype(int) * output_stride
    return np.unique(starts).tolist()
