"""What lies in a folder of results: each result with a checksum, and what no run should leave.

Two runs with the same inputs give the same checksums. Those of networks, checkpoints, curves and
SavedModels are of what they hold, since their files also hold times.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

_CURVES = ("loss", "learning_rate", "validation_score")


class State(NamedTuple):
    """The results in a folder.

    Args:
      results: {name: checksum}; a result that cannot be read has the reason in its place, after
        "damaged: ".
      leftovers: names of files that are no results, such as those under a temporary name.
    """

    results: dict
    leftovers: list

    @property
    def damaged(self):
        """{name: reason} of the results that cannot be read."""
        return {name: text for name, text in self.results.items() if text.startswith("damaged")}


def read_state(command, out):
    """The `State` of a command's folder of results.

    Args:
      command: `fault_commands.Command`.
      out: Path of the folder.
    """
    names, leftovers = {}, []
    for path in sorted(path for path in out.rglob("*") if not path.is_dir()):
        relative = path.relative_to(out)
        if any(".partial" in part for part in relative.parts):
            leftovers.append(str(relative))
        elif path.name != "lock":
            names.setdefault(_result_of(command, relative), []).append(path)
    if command.name == "train":
        results = _training(out / "run", names)
        leftovers += _unlisted(out / "run" / "checkpoints")
    else:
        results = {name: _checked(_of_files, paths, out) for name, paths in names.items()}
    return State(results, leftovers)


def _result_of(command, relative):
    """The name of the result that a file belongs to."""
    for folder in command.folders:
        parts = len(Path(folder).parts)
        if Path(*relative.parts[:parts]).match(folder) and len(relative.parts) > parts:
            return str(Path(*relative.parts[:parts]))
    return str(relative)


def _checked(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:  # any reader of any format: the reason is what is wanted
        return f"damaged: {type(error).__name__} {error}"


def _of_files(paths, out):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(out)} {_contents(path)}".encode())
    return digest.hexdigest()[:16]


def _contents(path):
    """A text that is equal for equal contents."""
    contents = path.read_bytes()
    if path.suffix == ".keras":
        return _network(path)
    if path.name == "saved_model.pb":
        graphs = SavedModel.FromString(contents).meta_graphs
        return str([sorted(graph.signature_def) for graph in graphs])
    if path.name.startswith("variables.data"):
        # Keras draws the seeds of dropout anew when it opens a network; they have no effect here.
        return _checkpoint(path.with_name("variables"), left_out=(np.int64, np.uint32))
    if path.name in ("fingerprint.pb", "variables.index"):
        return path.name
    if path.suffix == ".json":
        content = json.loads(contents)
        if isinstance(content, dict):
            content.pop("times", None)
        return json.dumps(content, sort_keys=True)
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:  # reading a member also compares its checksum
            return str({name: archive.read(name) for name in archive.namelist()})
    return contents.hex()


def _network(path):
    """The layers and weights of a `.keras` file; its metadata hold the time of writing."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():
            raise ValueError(f"{archive.testzip()} is damaged")
        config, weights = archive.read("config.json"), archive.read("model.weights.h5")
    layers = [layer["class_name"] for layer in json.loads(config)["config"]["layers"]]
    digest = hashlib.sha256(str(layers).encode())
    with h5py.File(io.BytesIO(weights)) as file:
        arrays = {}
        file.visititems(lambda name, item: arrays.update({name: item}))
        for name in sorted(arrays):
            if isinstance(arrays[name], h5py.Dataset):
                digest.update(name.encode() + arrays[name][()].tobytes())
    return digest.hexdigest()


def _training(run, names):
    """The results of a training: its files, the listed checkpoints, and the curves."""
    results = {}
    for name, paths in names.items():
        relative = Path(name).relative_to("run")
        if relative.parts[0] not in ("checkpoints", "train"):
            results[str(relative)] = _checked(_of_files, paths, run)
    for step in listed_steps(run / "checkpoints"):
        path = run / "checkpoints" / f"step-{step}"
        results[f"step-{step}"] = _checked(_checkpoint, path)
    if (run / "train").is_dir():
        results["curves"] = _checked(_curves, run / "train")
    return results


def listed_steps(folder):
    """The steps in TensorFlow's list of checkpoints, in its order."""
    found = tf.train.get_checkpoint_state(str(folder))
    paths = found.all_model_checkpoint_paths if found else []
    return [int(path.rpartition("-")[2]) for path in paths]


def _checkpoint(path, left_out=()):
    """The variables of a checkpoint, without those of some types and the time that it took."""
    reader, digest = tf.train.load_checkpoint(str(path)), hashlib.sha256()
    for name, dtype in sorted(reader.get_variable_to_dtype_map().items()):
        is_ours = not name.startswith(("seconds", "_CHECKPOINTABLE"))
        if is_ours and dtype.as_numpy_dtype not in left_out:
            digest.update(name.encode() + np.asarray(reader.get_tensor(name)).tobytes())
    return digest.hexdigest()[:16]


def _curves(folder):
    events = EventAccumulator(str(folder)).Reload()
    names = [name for name in _CURVES if name in events.Tags()["scalars"]]
    points = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}
    return json.dumps(points)


def _unlisted(folder):
    """Files of checkpoints and best models that no list and no checkpoint needs."""
    steps = listed_steps(folder)
    kept = {f"step-{step}" for step in steps}
    found = {path.name.partition(".")[0] for path in folder.glob("step-*")}
    return sorted(f"checkpoints/{name}" for name in found - kept)
