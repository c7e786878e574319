"""The reader of `.caffemodel` files against files written byte by byte."""

import struct

import numpy as np
import pytest
from caffe_writer import (
    blob,
    bytes_field,
    float_field,
    layer,
    number_field,
    old_layer,
    varint,
)

from deeplab_tf.errors import InputError
from deeplab_tf.models.released.caffemodel import EPSILON, Pooling, read_caffemodel

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7


def read(tmp_path, *fields):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"".join(fields))
    return read_caffemodel(path)


def one_blob(tmp_path, contents):
    (found,) = read(tmp_path, bytes_field(100, bytes_field(1, "a") + bytes_field(7, contents)))
    (array,) = found.blobs
    assert array.dtype == np.float32
    return array


def test_a_file_written_by_hand(tmp_path):
    contents = bytes.fromhex(
        "0a016e"  # field 1, 1 byte: the net's name, "n"
        "a20621"  # field 100, 33 bytes: a layer
        "0a0163"  # its name, "c"
        "120b436f6e766f6c7574696f6e"  # its type, "Convolution"
        "3a0f"  # field 7, 15 bytes: a blob
        "2a080000c03f000000c0"  # field 5, 8 bytes: 1.5 and -2
        "3a030a0102"  # field 7, its shape: (2,)
    )
    (found,) = read(tmp_path, contents)
    assert found.name == "c"
    np.testing.assert_array_equal(found.blobs[0], np.float32([1.5, -2]))


@pytest.mark.parametrize("kind", ["packed", "unpacked", "doubles", "old"])
def test_every_way_to_store_an_array(tmp_path, kind):
    np.testing.assert_array_equal(one_blob(tmp_path, blob(KERNEL, kind)), KERNEL)


def test_old_shapes_have_four_sizes(tmp_path):
    assert one_blob(tmp_path, blob(KERNEL[0, 0, 0], "old")).shape == (1, 1, 1, 2)


def test_arrays_in_several_pieces(tmp_path):
    values = np.float32([1, 2, 3, 4, 5])
    # one unpacked number, then two packed ones, then two unpacked: without a shape
    contents = float_field(5, 1) + bytes_field(5, values[1:3].tobytes())
    contents += float_field(5, 4) + float_field(5, 5)
    np.testing.assert_array_equal(one_blob(tmp_path, contents), values)
    assert one_blob(tmp_path, bytes_field(5, b"")).shape == (0,)


def test_unknown_fields_are_skipped(tmp_path):
    unknown = number_field(900, 2**60) + bytes_field(901, b"?") + float_field(902, 1)
    unknown += varint(903 << 3 | 1) + struct.pack("<d", 1)
    difference = bytes_field(6, KERNEL.tobytes())  # the gradient, which some files keep
    contents = unknown + bytes_field(1, "a") + unknown
    contents += bytes_field(7, unknown + difference + blob(KERNEL) + unknown)
    (found,) = read(tmp_path, unknown, bytes_field(100, contents + unknown), unknown)
    np.testing.assert_array_equal(found.blobs[0], KERNEL)


def test_layers_of_both_formats(tmp_path):
    hole = bytes_field(10, number_field(4, 3) + number_field(17, 12))
    average = number_field(1, 1) + number_field(2, 3) + number_field(3, 1) + number_field(4, 1)
    found = read(
        tmp_path,
        old_layer("fc6", 4, [KERNEL, [1, 2]], hole),
        old_layer("pool5a", 17, (), bytes_field(19, average)),
        old_layer("fc7", 4, [KERNEL], bytes_field(10, number_field(4, 1))),
        layer("fc6_1", "Convolution", [KERNEL], bytes_field(106, number_field(18, 6))),
        layer("conv", "Convolution", [KERNEL], bytes_field(106, number_field(17, 1))),
        layer("pool", "Pooling", (), bytes_field(121, number_field(2, 2))),
        layer("bn", "BatchNorm", [[1]], bytes_field(139, float_field(3, 0.25))),
        layer("bn2", "BatchNorm", [[1]]),
    )
    names = ["fc6", "pool5a", "fc7", "fc6_1", "conv", "pool", "bn", "bn2"]
    assert [one.name for one in found] == names
    assert [one.rate for one in found] == [12, None, 1, 6, 1, None, None, None]
    assert found[1].pooling == Pooling(3, 1, 1, average=True)
    assert found[5].pooling == Pooling(2, 1, 0, average=False)
    assert [one.epsilon for one in found[6:]] == [0.25, EPSILON]
    assert [len(one.blobs) for one in found] == [2, 0, 1, 1, 1, 0, 1, 1]


def test_a_large_array_is_not_copied(tmp_path):
    values = np.random.default_rng(0).standard_normal(200_000, np.float32)
    array = one_blob(tmp_path, blob(values))
    np.testing.assert_array_equal(array, values)
    assert not array.flags.owndata and not array.flags.writeable
    np.testing.assert_array_equal(one_blob(tmp_path, blob(values, "unpacked")), values)


def refused(tmp_path, contents, *needles):
    path = tmp_path / "bad.caffemodel"
    path.write_bytes(contents)
    with pytest.raises(InputError) as error:
        read_caffemodel(path)
    message = str(error.value)
    assert "\n" not in message and len(message) < 300
    for needle in (str(path), *needles):
        assert needle in message


FOREIGN = {
    "jpeg": bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300"),
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00",
    "hdf5": b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08\x08\x00\x04\x00\x10\x00" + bytes(64),
    "zip": b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(20),
    "prototxt": b'name: "DeepLab"\nlayer { name: "data" }\n',
    "html": b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
    "zeros": bytes(100),
    "other message": bytes_field(1, "not a network"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_another_kind_are_refused(tmp_path, name):
    refused(tmp_path, FOREIGN[name], "caffemodel")


def test_no_file_and_an_empty_one(tmp_path):
    refused(tmp_path, b"", "is empty", "download it again")
    with pytest.raises(InputError, match=r"none.caffemodel: no such file"):
        read_caffemodel(tmp_path / "none.caffemodel")


def test_a_file_cut_off_anywhere(tmp_path):
    whole = layer("a", "Convolution", [KERNEL, [1, 2]], bytes_field(106, number_field(18, 6)))
    for end in range(1, len(whole)):
        refused(tmp_path, whole[:end], "truncated", "download it again")
    # Cut between two layers, it is a valid file with fewer layers.
    assert len(read(tmp_path, whole)) == 1


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (bytes_field(5, bytes(8)) + bytes_field(7, bytes_field(1, varint(3))), "2 values"),
        (bytes_field(5, bytes(8)) + bytes_field(7, bytes_field(1, varint(2**63))), "2 values"),
        (bytes_field(5, bytes(7)), "7 bytes"),
        (number_field(5, 1), "wire type 0"),
        (varint(5 << 3 | 2) + varint(2**62) + bytes(8), "does not end"),
        (varint(5 << 3 | 2) + b"\xff" * 11, "no integer at byte"),
        (varint(5 << 3 | 3), "field 5"),
    ],
)
def test_malformed_arrays(tmp_path, contents, message):
    refused(tmp_path, bytes_field(100, bytes_field(1, "a") + bytes_field(7, contents)), message)


def test_a_name_that_is_not_text(tmp_path):
    refused(tmp_path, bytes_field(100, bytes_field(1, b"\xff\xfe")), "not UTF-8 text")


def test_random_damage_is_one_line_or_still_readable(tmp_path):
    rng = np.random.default_rng(0)
    whole = layer("a", "Convolution", [KERNEL]) + old_layer("b", 4, [KERNEL])
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=3):
            damaged[position] = rng.integers(256)
        path = tmp_path / "damaged.caffemodel"
        path.write_bytes(damaged)
        try:
            read_caffemodel(path)
        except InputError as error:
            assert "\n" not in str(error)
