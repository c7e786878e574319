import struct

import numpy as np
import pytest
from planted import exif

from deeplab_tf.data.orientation import (
    TURNS,
    read_orientation,
    set_upright,
    stored_box,
    turn,
    turned_size,
)

STORED = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
SHOWN = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", SHOWN)
def test_turn_is_what_viewers_show(orientation):
    want = np.uint8(SHOWN[orientation])
    turned = turn(STORED, orientation)
    np.testing.assert_array_equal(turned, want)
    assert turned.flags.c_contiguous and turned.dtype == np.uint8
    assert turned_size(STORED.shape, orientation) == want.shape
    for channels in (1, 2, 3, 4, 5, 6):
        added = np.arange(channels, dtype=np.uint8)
        turned = turn(STORED[..., None] + added, orientation)
        np.testing.assert_array_equal(turned, want[..., None] + added)
        assert turned.flags.c_contiguous


@pytest.mark.parametrize("orientation", TURNS)
def test_the_part_of_a_turned_image_is_that_part_of_the_stored_one(orientation):
    stored = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    turned = turn(stored, orientation)
    for top, left, bottom, right in ((0, 0, 1, 1), (1, 2, 4, 5), (2, 0, 5, 3), (0, 4, 2, 5)):
        first, start, last, end = stored_box((top, left, bottom, right), turned.shape, orientation)
        part = turn(stored[first:last, start:end], orientation)
        np.testing.assert_array_equal(part, turned[top:bottom, left:right])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", TURNS)
def test_the_tag_is_read_and_reset(orientation, order):
    for start in (b"", b"Exif\0\0"):
        data = start + exif(orientation, order)
        assert read_orientation(data) == orientation
        assert set_upright(data) == start + exif(1, order)


@pytest.mark.parametrize(("kind", "letter"), [(1, "B"), (3, "H"), (4, "I")])
@pytest.mark.parametrize("order", "<>")
def test_any_type_of_whole_number_is_read(kind, letter, order):
    value = struct.pack(order + letter, 6).ljust(4, b"\0")
    head = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "IH", 8, 1)
    data = head + struct.pack(order + "HHI", 0x0112, kind, 1) + value + bytes(4)
    assert read_orientation(data) == 6


def test_damaged_data_gives_1():
    whole = exif(6)
    for cut in range(len(whole)):
        assert read_orientation(whole[:cut]) in (1, 6)
    assert read_orientation(b"no exif at all") == 1
    assert read_orientation(whole[:4] + struct.pack(">I", 5000) + whole[8:]) == 1
    assert read_orientation(exif(9)) == read_orientation(exif(0)) == 1
