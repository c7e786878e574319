"""Reads the variables of TensorFlow's files: checkpoints, frozen graphs, and tars of them.

Nothing in a file is run. A tar may hold plain files and folders only, and what is needed of it is
copied to a temporary folder under names of our own.
"""

import math
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import tensorflow as tf
from google.protobuf.message import DecodeError

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.untrusted import DAMAGED_ARCHIVE

_TARS = (".tar", ".tar.gz", ".tgz")
_TRAINING_ONLY = ("/Momentum", "/ExponentialMovingAverage", "global_step")
_MOST_BYTES = 4 << 30  # of one file in a tar; the largest released one has 0.4 GB
_MOST_ELEMENTS = 1 << 28  # of one array of a graph; the largest released one has 3 million
_KINDS = (
    "a checkpoint (MODEL.index), a folder with one, a frozen graph (.pb), a .tar.gz, .tflite, .h5 "
    "or .pth"
)


def read_variables(path):
    """The variables of a trained network by their original names.

    Args:
      path: a checkpoint's prefix, `.index` file or folder; a frozen graph, `.pb`; a `.tar`,
        `.tar.gz` or `.tgz` with one of them, of which the checkpoint is preferred.

    Returns:
      {name: float array}, without the optimizer's variables.

    Raises:
      InputError: if there is no such file, or it is damaged, or a tar holds links or names that
        lead out of it.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.is_file() and path.name.endswith(_TARS):
        return _read_tar(path)
    if path.is_file() and path.suffix == ".pb":
        return _read_graph(path, path.read_bytes())
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    if not Path(f"{prefix}.index").is_file():
        raise InputError(f"{path}: no such file; give {_KINDS}")
    return _read_checkpoint(path, prefix)


def _read_folder(folder):
    indices = sorted(folder.glob("*.index"))
    if len(indices) == 1:
        return _read_checkpoint(folder, indices[0].with_suffix(""))
    if indices:
        names = ", ".join(index.stem for index in indices[:3])
        raise InputError(
            f"{folder}: {len(indices)} checkpoints ({names}, ...); give one, such as "
            f"{indices[-1].with_suffix('')}"
        )
    graphs = sorted(folder.glob("*.pb"))
    if len(graphs) != 1:
        raise InputError(f"{folder}: holds no checkpoint and {len(graphs)} graphs; give {_KINDS}")
    return _read_graph(graphs[0], graphs[0].read_bytes())


def _read_checkpoint(path, prefix):
    """Read the checkpoint of a prefix; `path` is what the user gave."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        dtypes = reader.get_variable_to_dtype_map()
        return {
            name: reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if dtypes[name].is_floating and not name.endswith(_TRAINING_ONLY)
        }
    except (tf.errors.OpError, IndexError, ValueError, RuntimeError, MemoryError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({one_line(error, 150)}); download it again"
        ) from error


def _read_graph(path, contents):
    """The constants of a frozen graph, which were its variables."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(contents)
        nodes = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
        found = {}
        for name, tensor in nodes.items():
            if tf.dtypes.as_dtype(tensor.dtype).is_floating:
                if math.prod(dim.size for dim in tensor.tensor_shape.dim) > _MOST_ELEMENTS:
                    raise ValueError(f"{name} is too large")
                found[name] = tf.make_ndarray(tensor)
    except (DecodeError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read as a frozen graph ({one_line(error, 150)}); download it again"
        ) from error
    return found


def _read_tar(path):
    try:
        with tarfile.open(path) as tar, tempfile.TemporaryDirectory() as folder:
            members = _checked_members(path, tar)
            indices = [name for name in members if name.endswith(".index")]
            if len(indices) > 1:
                raise InputError(
                    f"{path}: holds {len(indices)} checkpoints ({', '.join(indices[:3])}, ...); "
                    "unpack it and give one"
                )
            if indices:
                prefix = indices[0].removesuffix(".index")
                for name in members:
                    if name == indices[0] or name.startswith(f"{prefix}.data-"):
                        target = Path(folder) / f"model{name.removeprefix(prefix)}"
                        _copy(path, tar, members[name], target)
                return _read_checkpoint(path, Path(folder) / "model")
            graphs = [name for name in members if name.endswith(".pb")]
            if len(graphs) != 1:
                raise InputError(f"{path}: holds no checkpoint and {len(graphs)} frozen graphs")
            _copy(path, tar, members[graphs[0]], Path(folder) / "graph.pb")
            return _read_graph(path, (Path(folder) / "graph.pb").read_bytes())
    except InputError:
        raise
    except (OSError, *DAMAGED_ARCHIVE) as error:
        raise InputError(
            f"{path}: truncated, or not a tar file ({one_line(error, 100)}); download it again"
        ) from error


def _checked_members(path, tar):
    """{name: member} of a tar's files; `InputError` for anything but plain files and folders."""
    members = {}
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if not (member.isfile() or member.isdir()):
            raise InputError(f"{path}: holds {member.name!r}, a link or device; it is not unpacked")
        if ".." in parts or member.name.startswith("/"):
            raise InputError(f"{path}: {member.name!r} leads out of the tar; it is not unpacked")
        if member.isfile():
            members[member.name] = member
    return members


def _copy(path, tar, member, target):
    if member.size > _MOST_BYTES:
        raise InputError(f"{path}: {member.name!r} has {member.size:,} bytes; it is not unpacked")
    with tar.extractfile(member) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    if target.stat().st_size != member.size:
        raise InputError(f"{path}: {member.name!r} is truncated; download it again")
