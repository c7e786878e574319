"""PyTorch's files without PyTorch: tensors of all kinds, and files that ask for more."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from torch_writer import BFLOAT16, TensorOf, pickled, state_dict, write_torch

from deeplab_tf.errors import InputError
from deeplab_tf.models.released.state_dict import read_state_dict

FORMATS = pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])


def refused(path, *needles):
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ") and len(message) < 400
    for needle in needles:
        assert needle in message, message


@FORMATS
def test_tensors_of_all_kinds(tmp_path, old):
    numbers = np.arange(12, dtype=np.float32)
    content = OrderedDict(
        turned=TensorOf(numbers, (4, 3), (1, 4)),
        part=TensorOf(numbers, (2, 2), (4, 1), offset=5),
        one=TensorOf(numbers, (), (), offset=7),
        none=TensorOf(numbers, (0, 3), (3, 1)),
        half=TensorOf(np.float16([0.5, -2])),
        count=TensorOf.whole(np.array(3)),
        short=TensorOf(np.uint16([0x3FC0, 0xC000]), (2,), (1,), 0, BFLOAT16),
        layer=TensorOf(numbers, (2,), (1,), parameter=True),
    )
    write_torch(tmp_path / "a.pth", content, old)
    found = read_state_dict(tmp_path / "a.pth")
    expected = {
        "turned": [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]],
        "part": [[5, 6], [9, 10]],
        "one": 7,
        "none": np.zeros((0, 3)),
        "half": [0.5, -2],
        "count": 3,
        "short": [1.5, -2],
        "layer": [0, 1],
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == ("int64" if name == "count" else "float32")


@FORMATS
def test_where_a_training_keeps_its_weights(tmp_path, old):
    weights = {"module.a.weight": np.ones((2, 3), np.float32)}
    training = {"epoch": 3, "optimizer": {"lr": 0.1, "steps": [1, 2]}, "best": None, "on": True}
    for name in ("state_dict", "model_state", None):
        content = training | {name: state_dict(weights)} if name else state_dict(weights)
        write_torch(tmp_path / "a.pth", content, old)
        assert list(read_state_dict(tmp_path / "a.pth")) == ["a.weight"]
    for content in (training, [1, 2], {"a": 1}):
        write_torch(tmp_path / "a.pth", content, old)
        refused(tmp_path / "a.pth", "holds no state dictionary; save the weights alone")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.mkdir, "posix.mkdir"), (exec, "builtins.exec"), (eval, "builtins.eval")],
)
def test_pickles_that_would_run_something(tmp_path, old, function, name):
    target = tmp_path / "run"
    code = str(target) if function is os.mkdir else f"__import__('os').mkdir({str(target)!r})"
    trap = Trap(function, code)
    content = state_dict({"a": np.ones(2, np.float32)})
    content["trap"] = trap
    path = tmp_path / "a.pth"
    write_torch(path, content, old)
    name = name.replace("builtins", "__builtin__")  # as protocol 2 spells it
    refused(path, f"asks for {name}, which is no tensor; nothing of it was run; save the weights")
    write_torch(path, content, old)
    assert not target.exists()
    pickle.loads(pickle.dumps(trap))  # the trap works
    assert target.exists()


def write_pickle(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for os.system"),
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
        (b"\x80\x02ctorch.storage\n_load_from_bytes\n.", "asks for torch.storage._load_from_bytes"),
        (b"(S'true'\nios\nsystem\n.", "the instruction STRING, which no state dictionary needs"),
        (b"\x80\x02]\x82\x01.", "the instruction EXT1"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "the instruction NEWOBJ"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "damaged"),  # attributes of the class itself
        (b"\x80\x02Vtext\n)R.", "the instruction UNICODE"),
        (b"\x80\x02X\x04\x00\x00\x00text)R.", "damaged"),
        (b"\x80\x02}(]K\x01u.", "damaged"),  # a list as a key
        (b"\x80\x02K\x01e.", "damaged"),  # no mark
        (b"\x80\x02h\x05.", "damaged"),  # nothing remembered
        (b"\x80\x02X\xff\xff\xff\x7fa.", "damaged"),  # a long text that is not there
        (b"\x80\x02", "damaged"),
        (b"", "damaged"),
    ],
)
def test_instructions_that_no_state_dictionary_needs(tmp_path, data, message):
    write_pickle(tmp_path / "a.pth", data)
    refused(tmp_path / "a.pth", message)


@pytest.mark.parametrize(
    "tensor",
    [
        TensorOf(np.ones(4, np.float32), (5,), (1,)),
        TensorOf(np.ones(4, np.float32), (2,), (1,), offset=3),
        TensorOf(np.ones(4, np.float32), (2,), (1,), offset=-1),
        TensorOf(np.ones(4, np.float32), (2,), (-1,), offset=2),
        TensorOf(np.ones(4, np.float32), (-1,), (1,)),
        TensorOf(np.ones(4, np.float32), (1 << 40,), (0,)),
        TensorOf(np.ones(4, np.float32), (2, 2), (2,)),
    ],
)
def test_tensors_that_reach_beyond_their_numbers(tmp_path, tensor):
    write_torch(tmp_path / "a.pth", {"a": tensor})
    refused(tmp_path / "a.pth", "damaged, cut off, or not a file of PyTorch's torch.save")


def test_many_tensors_of_the_same_numbers(tmp_path):
    numbers = np.ones(10, np.float32)
    write_torch(tmp_path / "a.pth", {str(i): TensorOf(numbers) for i in range(3)})
    refused(tmp_path / "a.pth", "its tensors are larger than the file")


@FORMATS
def test_truncated_files(tmp_path, old):
    path = tmp_path / "a.pth"
    write_torch(path, state_dict({"a": np.ones((20, 30), np.float32)}), old)
    whole = path.read_bytes()
    for length in (0, 3, 20, 200, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        refused(path, "damaged, cut off, or not a file of PyTorch's torch.save", "download it ag")
    refused(tmp_path / "none.pth", "no such file")


def test_a_small_zip_of_many_zeros(tmp_path):
    data, storages = pickled(state_dict({"a": np.zeros(1 << 20, np.float32)}))
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data, zipfile.ZIP_STORED)
        archive.writestr("archive/data/0", storages["0"].tobytes())
    refused(path, "its part archive/data/0 is compressed or too large")


def test_counts_that_do_not_agree(tmp_path):
    path = tmp_path / "a.pth"
    write_torch(path, state_dict({"a": np.ones(3, np.float32)}), old=True)
    whole = path.read_bytes()
    place = whole.rindex(struct.pack("<q", 3))
    for count in (2, 4, -1, 1 << 60):
        path.write_bytes(whole[:place] + struct.pack("<q", count) + whole[place + 8 :])
        refused(path, f"storage 0 has {count} numbers instead of 3")


def test_other_files(tmp_path):
    path = tmp_path / "a.pth"
    for contents in (b"text", b"\x89HDF\r\n\x1a\n", pickle.dumps({"a": 1}, 2)):
        path.write_bytes(contents)
        refused(path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("other", "x")
    path.write_bytes(file.getvalue())
    refused(path, "0 parts data.pkl")
