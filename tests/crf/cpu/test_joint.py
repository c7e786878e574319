"""Lattices of several kernels in one table."""

import numpy as np

from crf.cpu.joint import _join


def test_join_corners_by_hand():
    # Two points with three corners in the first lattice, six in the second, with rows from 100 on.
    first = np.array([0, 1, 2, 2, 1, 0], np.int32), np.arange(6, dtype=np.float32)
    second = np.arange(12, dtype=np.int32), 10 + np.arange(12, dtype=np.float32)
    corners, weights = np.full(18, -1, np.int32), np.full(18, np.nan, np.float32)
    _join(0, 2, *first, 3, np.float32(2), 0, 9, 0, corners, weights)
    _join(0, 2, *second, 6, np.float32(3), 100, 9, 3, corners, weights)
    assert corners[:9].tolist() == [0, 1, 2, 100, 101, 102, 103, 104, 105]
    assert corners[9:].tolist() == [2, 1, 0, 106, 107, 108, 109, 110, 111]
    assert weights[:9].tolist() == [0, 2, 4, 30, 33, 36, 39, 42, 45]
    assert weights[9:].tolist() == [6, 8, 10, 48, 51, 54, 57, 60, 63]


def test_a_part_of_the_points_leaves_the_others_alone():
    corners, weights = np.full(8, -1, np.int32), np.full(8, -1, np.float32)
    given = np.arange(8, dtype=np.int32), np.ones(8, np.float32)
    _join(1, 3, *given, 2, np.float32(5), 10, 2, 0, corners, weights)
    assert corners.tolist() == [-1, -1, 12, 13, 14, 15, -1, -1]
    assert weights.tolist() == [-1, -1, 5, 5, 5, 5, -1, -1]
