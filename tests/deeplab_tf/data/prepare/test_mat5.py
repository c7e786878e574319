"""SciPy writes the files, and reads undamaged ones as the oracle."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from deeplab_tf.data.prepare import mat5
from deeplab_tf.data.prepare.mat5 import MAX_LEVELS, read_mat5, version_of


def saved(values, compressed=False):
    file = io.BytesIO()
    scipy.io.savemat(file, values, do_compression=compressed)
    return file.getvalue()


def assert_same(ours, theirs):
    if hasattr(theirs, "_fieldnames"):
        assert list(vars(ours)) == theirs._fieldnames
        for name in theirs._fieldnames:
            assert_same(getattr(ours, name), getattr(theirs, name))
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.shape == theirs.shape
        for our, their in zip(ours.ravel(), theirs.ravel(), strict=True):
            assert_same(our, their)
    else:
        assert type(ours) is type(theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)
        np.testing.assert_array_equal(ours, theirs)


def records():
    array = np.zeros((2, 3), [("name", object), ("mask", object)])
    for row, column in np.ndindex(2, 3):
        array[row, column] = f"part {row} {column}", np.eye(2) * row
    return array


VALUES = {
    "matrix": np.arange(12.0).reshape(3, 4) / 7,
    "cube": np.arange(24, dtype=np.int64).reshape(2, 3, 4),
    "words": np.uint16([[1, 459], [0, 7]]),
    "bools": np.array([[True, False]]),
    "floats": np.float32([[1.5, 2]]),
    "complex": np.array([[1 + 2j, 3]]),
    "one": 5,
    "empty": np.zeros((0, 3)),
    "text": "künstlich",
    "texts": np.array(["ab", "cde"]),
    "cells": np.array([[1, "x"], [np.eye(2), {"key": 3}]], object),
    "records": records(),
    "nested": {"a": {"b": {"c": [1, 2]}}},
}


@pytest.mark.parametrize("compressed", [False, True])
def test_values_are_those_of_scipy(compressed):
    contents = saved(VALUES, compressed)
    ours = read_mat5(contents)
    theirs = scipy.io.loadmat(io.BytesIO(contents), squeeze_me=True, struct_as_record=False)
    assert version_of(contents) == 1
    assert list(ours) == list(VALUES)
    for name, value in ours.items():
        assert_same(value, theirs[name])


def test_sparse_matrices_are_passed_over():
    sparse = scipy.sparse.csc_matrix((3000, 5000), dtype=bool)  # larger than the file
    found = read_mat5(saved({"a": sparse, "b": {"c": sparse, "d": 3}}))
    assert found["a"] is None and found["b"].c is None and found["b"].d == 3


def test_a_big_endian_file():
    flags = struct.pack(">IIII", 6, 8, 6, 0)
    shape = struct.pack(">IIII", 5, 8, 1, 3)
    name = struct.pack(">HH4s", 1, 1, b"x")  # a small element
    values = struct.pack(">IIhhh2x", 3, 6, 1, -2, 300)
    variable = flags + shape + name + values
    header = b"MATLAB".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    contents = header + struct.pack(">II", 14, len(variable)) + variable
    found = read_mat5(contents)["x"]
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, [1, -2, 300])


def test_the_version_of_other_files():
    assert version_of(b"") is None
    assert version_of(b"\xff" * 200) is None
    assert version_of(b"MATLAB 7.3".ljust(124) + b"\0\2IM") == 2


def test_too_many_levels():
    value = 1
    for _ in range(MAX_LEVELS + 1):
        value = {"a": value}
    with pytest.raises(ValueError, match="30 levels"):
        read_mat5(saved({"x": value}))
    assert read_mat5(saved({"x": value["a"]}))["x"].a


def test_too_many_values(monkeypatch):
    monkeypatch.setattr(mat5, "MAX_VALUES", 20)
    cells = np.empty((4, 4), object)
    cells[:] = 1
    assert read_mat5(saved({"a": cells}))["a"].shape == (4, 4)
    with pytest.raises(ValueError, match="more than 20 values"):
        read_mat5(saved({"a": cells, "b": {"c": cells}}))


def test_sizes_that_are_not_there(monkeypatch):
    whole = saved({"x": np.zeros((4, 8), np.uint8)})
    place = whole.index(struct.pack("<II", 4, 8))  # the shape
    huge = whole[:place] + struct.pack("<II", 1 << 30, 1 << 30) + whole[place + 8 :]
    with pytest.raises(ValueError, match="an array of the shape"):
        read_mat5(huge)
    monkeypatch.setattr(mat5, "MAX_BYTES", 1 << 16)
    bomb = zlib.compress(bytes(1 << 17))
    header = whole[:128] + struct.pack("<II", 15, len(bomb))
    with pytest.raises(ValueError, match="a variable of more than"):
        read_mat5(header + bomb)


def test_damage_is_a_value_error_or_nothing():
    rng, wholes = random.Random(0), [saved(VALUES), saved({"x": VALUES["cells"]})]
    raised = 0
    for _ in range(300):
        contents = bytearray(rng.choice(wholes))
        for _ in range(rng.choice((1, 5, 50))):
            contents[rng.randrange(128, len(contents))] = rng.choice((0, 1, 8, 14, 127, 128, 255))
        try:
            read_mat5(bytes(contents))
        except (ValueError, OverflowError):
            raised += 1
    assert raised > 100
