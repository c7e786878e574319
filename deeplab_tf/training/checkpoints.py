"""What a training leaves on disk: checkpoints to go on from, and models to use.

Everything appears under its own name only when it is complete, so that a training may be
killed at any moment.
"""

import dataclasses
import re
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# What TensorFlow raises on a checkpoint that is cut short or overwritten.
_UNREADABLE = (tf.errors.OpError, RuntimeError, IndexError, ValueError)


@dataclasses.dataclass
class TrainingState:
    """Where a training is, beside its weights and the optimizer's slots.

    The position in the training data is a function of the step.

    Attributes:
      step: number of training steps made.
      best_score: the best validation score so far; minus infinity before the first one.
      scored_step: the step of the last validation that was completed; 0 before the first one.
      loss_sum: sum of the losses since the last point of the curve.
      loss_count: number of these losses.
    """

    step: int = 0
    best_score: float = float("-inf")
    scored_step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0


_TYPES = {
    "step": tf.int64,
    "best_score": tf.float32,
    "scored_step": tf.int64,
    "loss_sum": tf.float64,
    "loss_count": tf.int64,
}


class Checkpoints:
    """The newest checkpoints of one training: weights, optimizer slots, where it is.

    The model's variables include the state of dropout's random generators.

    Args:
      folder: where the checkpoints lie; created when the first one is saved.
      model: a built Keras model.
      optimizer: a Keras optimizer, built for the model's trainable variables.
      keep: how many checkpoints are kept; older ones are deleted.
      loss_scale: the variables of a `deeplab_tf.training.precision.LossScale`.

    Attributes:
      state: `TrainingState`, which is saved and restored with the rest.
    """

    def __init__(self, folder, model, optimizer, keep=3, loss_scale=()):
        self._folder, self._keep = Path(folder), keep
        self._kept = []  # steps, the oldest first
        self.state = TrainingState()
        self._numbers = {name: tf.Variable(0, dtype=dtype) for name, dtype in _TYPES.items()}
        variables = {"model": model.variables, "optimizer": optimizer.variables}
        if loss_scale:
            variables["loss_scale"] = loss_scale
        self._variables = {
            f"{part}/{i}": variable
            for part, listed in variables.items()
            for i, variable in enumerate(listed)
        }
        lists = {part: [_tensorflow(v) for v in listed] for part, listed in variables.items()}
        self._checkpoint = tf.train.Checkpoint(**self._numbers, **lists)

    @property
    def variables(self):
        """All variables of model, optimizer and loss scale, a list."""
        return list(self._variables.values())

    @property
    def newest(self):
        """Step and path of the newest checkpoint; None where there is none."""
        return (self._kept[-1], self._path(self._kept[-1])) if self._kept else None

    @property
    def oldest_step(self):
        """The step of the oldest checkpoint kept; 0 where there is none."""
        return self._kept[0] if self._kept else 0

    def save(self):
        """Save everything under the number of training steps made so far.

        Raises:
          OSError, tf.errors.OpError: the disk is full, or cannot be written. The checkpoints
            before are untouched.
        """
        step = self.state.step
        for name, variable in self._numbers.items():
            variable.assign(getattr(self.state, name))
        kept = [*(other for other in self._kept if other != step), step]
        try:
            self._checkpoint.write(str(self._path(step)))
            self._write_list(kept[-self._keep :])
        except (OSError, tf.errors.OpError):
            if step not in self._kept:
                self._delete(step)
            raise
        self._kept = kept[-self._keep :]
        for old in kept[: -self._keep]:
            self._delete(old)

    def restore(self):
        """Restore the newest checkpoint that can be read, with a warning for each that cannot.

        Returns:
          The number of training steps it was saved after; 0 where there is no checkpoint.

        Raises:
          InputError: none can be read, or one was saved for another network or optimizer.
        """
        self._kept, damaged = self._listed(), []
        while self._kept:
            path = self._path(self._kept[-1])
            try:
                self._restore(path)
                break
            except InputError:
                raise
            except _UNREADABLE as error:
                reason = _one_line(error)
                damaged.append(f"checkpoint {path} cannot be read ({reason})")
                # Not in the list that the next save writes, which may write its files anew.
                self._kept.pop()
        if damaged and not self._kept:
            raise InputError(
                f"{damaged[0]}, and there is no other that can: put it back from a copy, or "
                f"delete {self._folder} to begin again"
            )
        for what in damaged:
            before = f"going back to the one before, of step {self._kept[-1]}"
            print(f"warning: {what}: {before}", flush=True)
        return self.state.step

    def _restore(self, path):
        reader = tf.train.load_checkpoint(str(path))
        stored = {
            key.removesuffix(_VALUE): tuple(shape)
            for key, shape in reader.get_variable_to_shape_map().items()
        }
        self._check_fits(path, stored)
        # Without the number of scored_step it is older than these numbers, and has been scored.
        self.state = TrainingState()
        self._checkpoint.read(str(path)).expect_partial()
        for name in stored.keys() & self._numbers.keys():
            setattr(self.state, name, self._numbers[name].numpy().item())
        if "scored_step" not in stored:
            self.state.scored_step = self.state.step

    def _check_fits(self, path, stored):
        """Raise InputError unless the stored arrays are this model's and this optimizer's."""
        parts = ("model/", "optimizer/", "loss_scale/")
        found = {key: shape for key, shape in stored.items() if key.startswith(parts)}
        wanted = {key: tuple(variable.shape) for key, variable in self._variables.items()}
        if found == wanted:
            return
        key = min(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
        name = getattr(self._variables.get(key), "path", key)
        raise InputError(
            f"checkpoint {path} is of another network, number of classes, optimizer or precision "
            f"({name} has shape {found.get(key)} there and {wanted.get(key)} here): use "
            "the settings it was made with, or another --model_dir"
        )

    def _listed(self):
        """The steps of the complete checkpoints, the oldest first."""
        path = self._folder / "checkpoint"
        if not path.exists():
            return []
        found = re.findall(r'paths?: ".*?step-(\d+)"', path.read_text("utf-8", errors="replace"))
        if not found:
            print(f"warning: {path} cannot be read, looking for checkpoints beside it", flush=True)
            found = [file.stem.removeprefix("step-") for file in path.parent.glob("step-*.index")]
        return sorted({int(step) for step in found})

    def _write_list(self, steps):
        lines = [f'model_checkpoint_path: "step-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "step-{step}"' for step in steps]
        write_file(self._folder / "checkpoint", "".join(f"{x}\n" for x in lines).encode())

    def _delete(self, step):
        path = self._path(step)
        for file in (
            path.with_name(f"{path.name}.index"),
            *path.parent.glob(f"{path.name}.data-*"),
        ):
            file.unlink(missing_ok=True)
        shutil.rmtree(path.with_name(f"{path.name}_temp"), ignore_errors=True)

    def _path(self, step):
        return self._folder / f"step-{step}"


def _tensorflow(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _one_line(error):
    return " ".join(str(getattr(error, "message", error)).split())


def copy_weights(source, target):
    """Copy the weights of a model into one of the same architecture, whatever its precision.

    Those that the two models share are left alone.
    """
    for old, new in zip(source.weights, target.weights, strict=True):
        if new is not old:
            new.assign(old)


def save_model(model, path):
    """Save a model as a `.keras` file that is either the old one or complete, never half.

    Args:
      model: any Keras model.
      path: where the file goes, ending in `.keras`; the folder is created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.unfinished.keras")
    try:
        model.save(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
