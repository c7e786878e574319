"""Saving a training run: checkpoints to resume from, and models to use.

Every file appears under its own name only when it is complete, so training may be killed at any
moment.
"""

import dataclasses
import re
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.files import whole_file, write_file

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# What TensorFlow raises for a checkpoint that is cut short or overwritten.
_UNREADABLE = (tf.errors.OpError, RuntimeError, IndexError, ValueError)


def _stored(default, dtype):
    return dataclasses.field(default=default, metadata={"dtype": dtype})


@dataclasses.dataclass
class TrainingState:
    """The progress of a training run, in addition to its weights and the optimizer's slots.

    The position in the training data is a function of the step.

    Attributes:
      step: number of training steps made.
      best_score: the best validation score so far; minus infinity before the first validation.
      scored_step: the step of the last completed validation; 0 before the first one.
      loss_sum: sum of the losses since the last point of the loss curve.
      loss_count: number of these losses.
      learning_rate: the learning rate of the last step.
      best_step: the step of the best validation; 0 before the first one, and if a checkpoint of an
        older version does not say.
      last_loss: the last point of the loss curve; infinity before the first one.
      seconds: time of all steps and validations so far, without what a killed run lost.
    """

    step: int = _stored(0, tf.int64)
    best_score: float = _stored(float("-inf"), tf.float32)
    scored_step: int = _stored(0, tf.int64)
    loss_sum: float = _stored(0.0, tf.float64)
    loss_count: int = _stored(0, tf.int64)
    learning_rate: float = _stored(0.0, tf.float32)
    best_step: int = _stored(0, tf.int64)
    last_loss: float = _stored(float("inf"), tf.float64)
    seconds: float = _stored(0.0, tf.float64)

    def add_step(self, step, learning_rate, loss):
        """Note a step that was made: its number, learning rate and loss."""
        self.step, self.learning_rate = step, learning_rate
        self.loss_sum, self.loss_count = self.loss_sum + loss, self.loss_count + 1


class Checkpoints:
    """The newest checkpoints of one training run: weights, optimizer slots and progress.

    The model's variables include the state of dropout's random generators.

    Args:
      folder: folder of the checkpoints; created when the first one is saved.
      model: a built Keras model.
      optimizer: a Keras optimizer, built for the model's trainable variables.
      keep: how many checkpoints are kept; older ones are deleted.
      loss_scale: the variables of a `deeplab_tf.training.loss_scale.LossScale`.

    Attributes:
      state: `TrainingState`, which is saved and restored with the rest.
      folder: Path of the checkpoints.
    """

    def __init__(self, folder, model, optimizer, keep=3, loss_scale=()):
        self.folder, self._keep = Path(folder), keep
        self._kept = []  # steps, in ascending order
        self.state = TrainingState()
        self._numbers = {
            field.name: tf.Variable(0, dtype=field.metadata["dtype"])
            for field in dataclasses.fields(TrainingState)
        }
        parts = {"model": model.variables, "optimizer": optimizer.variables}
        if loss_scale:
            parts["loss_scale"] = loss_scale
        self._variables = {
            f"{part}/{i}": variable
            for part, variables in parts.items()
            for i, variable in enumerate(variables)
        }
        # Keras variables wrap those of TensorFlow, which tf.train.Checkpoint saves.
        lists = {
            part: [v.value if isinstance(v, keras.Variable) else v for v in variables]
            for part, variables in parts.items()
        }
        self._checkpoint = tf.train.Checkpoint(**self._numbers, **lists)

    @property
    def variables(self):
        """All variables of model, optimizer and loss scale, a list."""
        return list(self._variables.values())

    @property
    def newest(self):
        """Step and path of the newest checkpoint; None if there is none."""
        return (self._kept[-1], self._path(self._kept[-1])) if self._kept else None

    @property
    def oldest_step(self):
        """The step of the oldest checkpoint kept; 0 if there is none."""
        return self._kept[0] if self._kept else 0

    def save(self):
        """Save everything under the number of training steps made so far.

        Raises:
          OSError, tf.errors.OpError: the disk is full or cannot be written. Earlier checkpoints
            are unchanged.
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
        # Not only what was listed: a process that was killed may have deleted one in part.
        for old in self._found():
            if old < step and old not in self._kept:
                self._delete(old)

    def restore(self):
        """Restore the newest checkpoint that can be read, with a warning for each that cannot.

        Returns:
          The number of training steps it was saved after; 0 if there is no checkpoint.

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
                damaged.append(f"checkpoint {path} cannot be read ({one_line(error)})")
                # Dropped from the list that the next save writes; its step may be saved again.
                self._kept.pop()
        if damaged and not self._kept:
            raise InputError(
                f"{damaged[0]}; no other can be read either: restore one from a backup, or "
                f"delete {self.folder} to start over"
            )
        for what in damaged:
            print(f"warning: {what}: using the one of step {self._kept[-1]}", flush=True)
        return self.state.step

    def _restore(self, path):
        reader = tf.train.load_checkpoint(str(path))
        stored = {
            key.removesuffix(_VALUE): tuple(shape)
            for key, shape in reader.get_variable_to_shape_map().items()
        }
        self._check_fits(path, stored)
        self.state = TrainingState()
        self._checkpoint.read(str(path)).expect_partial()
        for name in stored.keys() & self._numbers.keys():
            setattr(self.state, name, self._numbers[name].numpy().item())
        if "scored_step" not in stored:  # saved by an older version, after its validation
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
            f"checkpoint {path} is for another network, number of classes, optimizer or precision "
            f"({name} has shape {found.get(key)} there and {wanted.get(key)} here): use the "
            "settings it was made with, or another --model_dir"
        )

    def _listed(self):
        """The steps of the complete checkpoints, in ascending order."""
        path = self.folder / "checkpoint"
        if not path.exists():
            return []
        found = re.findall(r'paths?: ".*?step-(\d+)"', path.read_text("utf-8", errors="replace"))
        if not found:
            print(
                f"warning: {path} cannot be read: trying all checkpoints in its folder", flush=True
            )
            found = [file.stem.removeprefix("step-") for file in path.parent.glob("step-*.index")]
        return sorted({int(step) for step in found})

    def _found(self):
        """The steps of all files in the folder, complete or not."""
        names = (re.match(r"step-(\d+)[._]", path.name) for path in self.folder.glob("step-*"))
        return {int(name[1]) for name in names if name}

    def _write_list(self, steps):
        """Write TensorFlow's list of checkpoints, which `tf.train.latest_checkpoint` reads."""
        lines = [f'model_checkpoint_path: "step-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "step-{step}"' for step in steps]
        write_file(self.folder / "checkpoint", "".join(f"{x}\n" for x in lines).encode())

    def _delete(self, step):
        path = self._path(step)
        for file in (
            path.with_name(f"{path.name}.index"),
            *path.parent.glob(f"{path.name}.data-*"),
        ):
            file.unlink(missing_ok=True)
        # TensorFlow leaves this folder when a write fails.
        shutil.rmtree(path.with_name(f"{path.name}_temp"), ignore_errors=True)

    def _path(self, step):
        return self.folder / f"step-{step}"


def copy_weights(source, target):
    """Copy the weights of a model into one of the same architecture, of any precision.

    Variables that the two models share are not copied.
    """
    for old, new in zip(source.weights, target.weights, strict=True):
        if new is not old:
            new.assign(old)


def save_model(model, path):
    """Save a model as a `.keras` file that is either the old one or complete.

    Args:
      model: any Keras model.
      path: the file, ending in `.keras`; its folder is created if it is missing.
    """
    with whole_file(path) as partial:
        model.save(partial)
