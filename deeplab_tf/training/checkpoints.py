"""What a training leaves on disk: checkpoints to go on from, and models to use.

Everything appears under its own name only when it is complete, so that a training may be
killed at any moment.
"""

from pathlib import Path

import tensorflow as tf

from deeplab_tf.errors import InputError

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# What TensorFlow raises on a checkpoint that is cut short or overwritten.
_UNREADABLE = (tf.errors.OpError, RuntimeError, IndexError)


class Checkpoints:
    """The newest checkpoints of one training: weights, optimizer slots, step, best score.

    The position in the training data is a function of the step and is not stored. The state of
    dropout's random generators is.

    Args:
      folder: where the checkpoints lie; created when the first one is saved.
      model: a built Keras model.
      optimizer: a Keras optimizer, built for the model's trainable variables.
      keep: how many checkpoints are kept; older ones are deleted.
    """

    def __init__(self, folder, model, optimizer, keep=3):
        self._step = tf.Variable(0, dtype=tf.int64)
        self._best_score = tf.Variable(float("-inf"))
        variables = {"model": model.variables, "optimizer": optimizer.variables}
        self._paths = {
            f"{part}/{i}": variable
            for part, listed in variables.items()
            for i, variable in enumerate(listed)
        }
        self._checkpoint = tf.train.Checkpoint(
            step=self._step,
            best_score=self._best_score,
            **{part: [v.value for v in listed] for part, listed in variables.items()},
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep=keep, checkpoint_name="step"
        )

    @property
    def best_score(self):
        """The best validation score so far; minus infinity before the first one."""
        return float(self._best_score.numpy())

    @best_score.setter
    def best_score(self, score):
        self._best_score.assign(score)

    def save(self, step):
        """Save everything under the number of training steps made so far."""
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)

    def restore(self):
        """Restore the newest checkpoint.

        Returns:
          The number of training steps it was saved after; 0 where there is no checkpoint.

        Raises:
          InputError: it is damaged, or was saved for another network or optimizer.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return 0
        try:
            self._check_fits(path, tf.train.load_checkpoint(path).get_variable_to_shape_map())
            self._checkpoint.restore(path).assert_consumed()
        except _UNREADABLE as error:
            raise InputError(
                f"checkpoint {path} cannot be read ({error}): delete it, and its line in "
                f"{Path(path).parent / 'checkpoint'}, to go on from the one before"
            ) from error
        return int(self._step.numpy())

    def _check_fits(self, path, shapes):
        """Raise InputError unless the stored arrays are this model's and this optimizer's."""
        found = {
            key.removesuffix(_VALUE): tuple(shape)
            for key, shape in shapes.items()
            if key.startswith(("model/", "optimizer/"))
        }
        wanted = {key: tuple(variable.shape) for key, variable in self._paths.items()}
        if found == wanted:
            return
        key = min(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
        name = self._paths[key].path if key in self._paths else key
        raise InputError(
            f"checkpoint {path} is of another network, number of classes or optimizer "
            f"({name} has shape {found.get(key)} there and {wanted.get(key)} here): use "
            "the settings it was made with, or another --model_dir"
        )


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
    model.save(unfinished)
    unfinished.replace(path)
