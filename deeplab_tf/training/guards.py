"""What stops a training: one line that says what, where, and what is left."""

import contextlib
import re

import tensorflow as tf

from deeplab_tf.errors import InputError


class Guards:
    """Turns what goes wrong in a training into an `InputError` with the last good checkpoint.

    Args:
      strategy: `tf.distribute.Strategy` that the batches are distributed by.
      checkpoints: `deeplab_tf.training.checkpoints.Checkpoints`.
      loss_scale: `deeplab_tf.training.precision.LossScale`, or None.
    """

    def __init__(self, strategy, checkpoints, loss_scale=None):
        self._strategy, self._checkpoints = strategy, checkpoints
        self._loss_scale = loss_scale

    def checked_step(self, make_step, step, batch):
        """Make one step and give its loss and learning rate, two floats.

        Args:
          make_step: `deeplab_tf.training.step.TrainStep`.
          step: its number, for the message.
          batch: dict with "image", "label" and "name".

        Raises:
          InputError: the memory is short, or the loss, a gradient or a weight is not finite;
            naming the images of the batch.
        """
        try:
            loss, learning_rate, *finite = make_step(batch["image"], batch["label"])
            loss, (finite_gradients, finite_weights) = float(loss), map(bool, finite)
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f"out of memory at step {step}: lower --batch_size or --crop_size; {self._left()}"
            ) from error
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            raise self._graph_error(error, step, batch) from error
        if not abs(loss) < float("inf"):
            raise self._not_usable(f"the loss is {loss}", step, batch)
        if not finite_gradients and not self._may_be_scaled_down():
            raise self._not_usable("a gradient is not finite", step, batch)
        if not finite_weights:  # of which the loss may know nothing: of NaN, ReLU may make 0
            raise self._not_usable("a weight is not finite", step, batch)
        return loss, float(learning_rate)

    def check_variables(self, variables, step, batch):
        """Raise InputError unless all numbers that are about to be saved are finite."""
        for variable in variables:
            value = tf.convert_to_tensor(variable)
            if value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
                raise self._not_usable(f"{variable.path} is not finite after it", step, batch)

    @contextlib.contextmanager
    def writing(self):
        """Inside `with`, a file that cannot be written is an `InputError`."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"step {self._checkpoints.state.step} cannot be saved: {reason}: see to it that "
                f"there is room on the disk, and start again; {self._left()}"
            ) from error

    def _may_be_scaled_down(self):
        return self._loss_scale is not None and float(self._loss_scale.value) >= 1

    def _graph_error(self, error, step, batch):
        text = " ".join(str(error).split())
        if unsupported := re.search(r"Detected unsupported operations.*?: (.*?) \(No reg", text):
            return InputError(
                f"XLA cannot compile {unsupported[1]}, which this training needs: leave out --xla"
            )
        # A check inside the graph, such as the CRF's of what the network gives it.
        found = re.search(r"assertion failed: \[(.*?)\]|(Received a label value .*?\))", text)
        return self._not_usable(found[1] or found[2], step, batch) if found else error

    def _not_usable(self, what, step, batch):
        names = ", ".join(self._names(batch))
        return InputError(
            f"{what} at step {step}, images {names}: lower --learning_rate, or look at these "
            f"images and their labels; {self._left()}"
        )

    def _left(self):
        newest = self._checkpoints.newest
        if not newest:
            return "no checkpoint was saved yet"
        return "the last good checkpoint is of step {}: {}".format(*newest)

    def _names(self, batch):
        parts = self._strategy.experimental_local_results(batch["name"])
        return [name.decode() for part in parts for name in part.numpy()]
