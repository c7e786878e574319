"""What the fuzzing campaign found in MATLAB files, as `test_found.py`."""

import io
import struct

import fuzz_data
import h5py
import numpy as np
import pytest
from fuzz_outcome import outcome, refused


@pytest.mark.parametrize("kind", [0, 14, 19, 77, 65535])
def test_a_mat_file_of_numbers_of_an_unknown_type(tmp_path, kind):
    contents = fuzz_data.sbd()[1]["label.mat"]
    place = contents.index(struct.pack("<II", 2, 24 * 32))  # of Segmentation, uint8
    damaged = contents[:place] + struct.pack("<I", kind) + contents[place + 4 :]
    needle = f"damaged (an element of type {kind} instead of numbers)"  # SciPy ends the process
    refused(tmp_path, "mat sbd", {"label.mat": damaged}, needle)


@pytest.mark.parametrize("signature", [b"HEAP", b"TREE", b"SNOD"])
def test_a_mat_file_that_is_damaged_hdf5(tmp_path, signature):
    contents = fuzz_data.nyu()[0]
    name = "nyu_depth_v2_labeled.mat"
    damaged = contents[name].replace(signature, b"\0\0\0\0")
    assert damaged != contents[name]
    assert outcome(tmp_path, "mat nyu", {**contents, name: damaged})[0] == "line"


@pytest.mark.parametrize(
    ("name", "values", "needle"),
    [
        ("images", 3, "images is not an array"),
        ("labels", np.zeros((2, 32, 24)), "labels of float64 (24, 32)"),
        ("labels", np.zeros((2, 32), np.uint16), "labels of uint16 (32,)"),
        ("images", np.zeros((2, 0, 32, 24), np.uint8), "images of uint8 (24, 32, 0)"),
        ("depths", np.zeros((1, 32, 24), np.float32), "image 2: damaged"),
    ],
)
def test_variables_of_nyu_of_another_form(tmp_path, name, values, needle):
    contents = fuzz_data.nyu()[0]
    file = io.BytesIO(contents["nyu_depth_v2_labeled.mat"])
    with h5py.File(file, "r+") as opened:
        del opened[name]
        opened[name] = values
    refused(tmp_path, "mat nyu", {**contents, "nyu_depth_v2_labeled.mat": file.getvalue()}, needle)
