"""Checkpoints, frozen graphs and tars, also damaged and hostile ones."""

import os
import tarfile

import numpy as np
import pytest
from slim_network import write_checkpoint, write_graph, write_tar

from deeplab_tf.errors import InputError
from deeplab_tf.models.released.variables import read_variables

ARRAYS = {
    "net/Conv/weights": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3),
    "net/Conv/BatchNorm/gamma": np.float32([1, 2, 3]),
}
OTHERS = {"net/Conv/weights/Momentum": np.ones(2, np.float32), "global_step": np.int64(5)}


@pytest.fixture
def checkpoint(tmp_path):
    """Files of a checkpoint with the optimizer's variables, as training leaves it."""
    (tmp_path / "run").mkdir()
    return write_checkpoint(tmp_path / "run" / "model.ckpt-5", ARRAYS | OTHERS)


def assert_arrays(found):
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def refused(path, *needles):
    with pytest.raises(InputError) as error:
        read_variables(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    for needle in needles:
        assert needle in message, message


def test_a_checkpoint_by_prefix_index_and_folder(checkpoint, tmp_path):
    prefix = tmp_path / "run" / "model.ckpt-5"
    for path in (prefix, f"{prefix}.index", prefix.parent):
        assert_arrays(read_variables(path))
    write_checkpoint(tmp_path / "run" / "model.ckpt-9", ARRAYS)
    refused(prefix.parent, "2 checkpoints (model.ckpt-5, model.ckpt-9, ...); give one, such as")
    refused(tmp_path / "none", "no such file; give a checkpoint")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no checkpoint and 0 graphs")


def test_a_frozen_graph(tmp_path):
    write_graph(tmp_path / "frozen_inference_graph.pb", ARRAYS | {"step": np.int64(3)})
    assert_arrays(read_variables(tmp_path / "frozen_inference_graph.pb"))
    assert_arrays(read_variables(tmp_path))


def test_a_tar_as_released(checkpoint, tmp_path):
    write_graph(tmp_path / "graph.pb", {"other": np.float32([1])})
    files = {f"deeplab/{file.name.replace('-5', '')}": file for file in checkpoint}
    folder = tarfile.TarInfo("deeplab")
    folder.type = tarfile.DIRTYPE
    members = {"deeplab": folder, "deeplab/frozen_inference_graph.pb": tmp_path / "graph.pb"}
    write_tar(tmp_path / "released.tar.gz", members | files)
    assert_arrays(read_variables(tmp_path / "released.tar.gz"))
    write_graph(tmp_path / "graph.pb", ARRAYS)
    write_tar(tmp_path / "graph.tgz", members)
    assert_arrays(read_variables(tmp_path / "graph.tgz"))
    write_tar(tmp_path / "other.tar.gz", {"README": b"nothing"})
    refused(tmp_path / "other.tar.gz", "holds no checkpoint and 0 frozen graphs")


def link(name, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"model.ckpt.data-00000-of-00001": link("model.ckpt.data-00000-of-00001")}, "a link"),
        ({"hard": link("hard", tarfile.LNKTYPE)}, "'hard', a link or device; it is not unpacked"),
        ({"fifo": link("fifo", tarfile.FIFOTYPE)}, "a link or device"),
        ({"../outside.index": b"x"}, "'../outside.index' leads out of the tar"),
        ({"a/../../outside.index": b"x"}, "leads out of the tar"),
        ({"/tmp/outside.index": b"x"}, "leads out of the tar"),
    ],
)
def test_hostile_tars_are_refused(checkpoint, tmp_path, member, message):
    path = tmp_path / "in" / "hostile.tar.gz"
    path.parent.mkdir()
    write_tar(path, {file.name: file for file in checkpoint} | member)
    before = sorted(tmp_path.rglob("*"))
    refused(path, message)
    assert sorted(tmp_path.rglob("*")) == before


def test_truncated_files(checkpoint, tmp_path):
    tar = tmp_path / "released.tar.gz"
    noise = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    write_tar(tar, {"noise": noise, **{file.name: file for file in checkpoint}})
    contents = tar.read_bytes()
    for length in (0, 5, 100, 3000, len(contents) - 30):
        tar.write_bytes(contents[:length])
        refused(tar, "truncated, or not a tar file", "download it again")
    plain = tmp_path / "released.tar"
    with tarfile.open(plain, "w") as file:
        for part in checkpoint:
            file.add(part, part.name)
    plain.write_bytes(plain.read_bytes()[:700])
    refused(plain, "truncated")
    write_graph(tmp_path / "graph.pb", ARRAYS)
    os.truncate(tmp_path / "graph.pb", 50)
    refused(tmp_path / "graph.pb", "cannot be read as a frozen graph")
    for file in checkpoint:
        os.truncate(file, 10)
        refused(tmp_path / "run", "cannot be read as a checkpoint", "download it again")


def test_a_graph_that_asks_for_too_much_memory(tmp_path):
    """One number that fills a huge array."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name="bomb", op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = tf.float32.as_datatype_enum
    tensor.float_val.append(1)
    for size in (1 << 20, 1 << 20):
        tensor.tensor_shape.dim.add(size=size)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    refused(path, "bomb is too large")
