import numpy as np
import pytest
from scipy.io import savemat

from deeplab_tf.data.prepare.matlab import field, load_variable, matrix, structs
from deeplab_tf.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mat"


def _part(name):
    return {"part_name": name, "mask": np.eye(2, dtype=np.uint8)}


def _struct_array(items):
    # savemat writes a list of dicts as a cell; an array with named fields as a struct array.
    array = np.zeros((1, len(items)), [(key, object) for key in items[0]])
    for index, item in enumerate(items):
        array[0, index] = tuple(item.values())
    return array


def test_matrix_keeps_values_and_type(path):
    values = np.array([[1, 459], [0, 7]], np.uint16)
    savemat(path, {"LabelMap": values})
    read = matrix(load_variable(path, "LabelMap"), path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("names", [["head"], ["head", "torso"]])
def test_struct_arrays_of_any_length_are_lists(path, names):
    savemat(path, {"anno": {"imname": "a", "parts": _struct_array([_part(n) for n in names])}})
    anno = load_variable(path, "anno")
    assert field(anno, "imname", path) == "a"
    parts = structs(field(anno, "parts", path))
    assert [field(part, "part_name", path) for part in parts] == names
    np.testing.assert_array_equal(matrix(field(parts[0], "mask", path), path), np.eye(2))


def test_an_empty_matrix_holds_no_structs(path):
    savemat(path, {"anno": {"parts": np.zeros((0, 0))}})
    assert structs(field(load_variable(path, "anno"), "parts", path)) == []


def test_compressed_files_are_read(path):
    savemat(path, {"x": np.arange(6).reshape(2, 3)}, do_compression=True)
    np.testing.assert_array_equal(load_variable(path, "x"), [[0, 1, 2], [3, 4, 5]])


def test_missing_file_and_missing_names_are_told(path):
    with pytest.raises(InputError, match=r"a\.mat: No such file"):
        load_variable(path, "anno")
    savemat(path, {"other": {"x": 1.0}})
    with pytest.raises(InputError, match=r"a\.mat: has no variable 'anno', only \['other'\]"):
        load_variable(path, "anno")
    for value in (load_variable(path, "other"), 3.0, np.zeros(2)):
        with pytest.raises(InputError, match=r"a\.mat: a struct has no field 'parts'"):
            field(value, "parts", path)


@pytest.mark.parametrize("value", ["text", 3.0, np.zeros((2, 2, 3)), np.zeros((0, 0)), None])
def test_other_values_are_no_matrix(path, value):
    with pytest.raises(InputError, match=r"a\.mat: .* instead of a matrix of numbers"):
        matrix(value, path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_off_anywhere_is_one_line(path, compressed):
    savemat(path, {"x": {"mask": np.arange(64).reshape(8, 8)}}, do_compression=compressed)
    contents = path.read_bytes()
    for size in (0, 3, 100, 130, 140, len(contents) // 2, len(contents) - 8):
        path.write_bytes(contents[:size])
        with pytest.raises(InputError, match=r"^\S+a\.mat: ") as caught:
            load_variable(path, "x")
        assert "\n" not in str(caught.value)


def test_something_else_is_no_mat_file(path):
    path.write_bytes(b"\xff\xd8 a JPEG, say" * 40)
    with pytest.raises(InputError, match=r"a\.mat: cut off or damaged"):
        load_variable(path, "x")
