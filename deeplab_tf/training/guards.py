"""Turns training failures into one-line errors."""

import contextlib
import errno
import re

import tensorflow as tf

from deeplab_tf.errors import InputError, one_line

_GONE = errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN


class Guards:
    """Turns failures of a training run into an `InputError` that names the last good checkpoint.

    Args:
      checkpoints: `deeplab_tf.training.checkpoints.Checkpoints`.
      loss_scale: `deeplab_tf.training.loss_scale.LossScale`, or None.
    """

    def __init__(self, checkpoints, loss_scale=None):
        self._checkpoints, self._loss_scale = checkpoints, loss_scale

    @contextlib.contextmanager
    def step(self, step, batch):
        """Inside `with`, TensorFlow's errors in a training step become an `InputError`.

        Args:
          step: the number of the step, for the message.
          batch: dict with "image", "label" and "name"; the message names its images.

        Raises:
          InputError: out of memory, XLA cannot compile the step, or a check inside the graph
            failed, such as the CRF's check of the network's scores.
        """
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f"out of memory at step {step}: lower --batch_size or --crop_size; "
                f"{self._last_checkpoint()}"
            ) from error
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            # These errors have no class of their own; their texts tell them apart.
            text = " ".join(str(error).split())
            if found := re.search(r"Detected unsupported operations.*?: (.*?) \(No reg", text):
                raise InputError(
                    f"XLA cannot compile {found[1]}, which this training needs: leave out --xla"
                ) from error
            found = re.search(r"assertion failed: \[(.*?)\]|(Received a label value .*?\))", text)
            if found:
                what = found[1] or found[2]
            elif "SparseSoftmaxCrossEntropy" in text:
                # The gradient runs at the same time as the loss and may fail before it.
                what = "a label value is outside the valid range"
            else:
                raise
            raise self._bad_step(what, step, batch) from error

    def check_step(self, step, batch, loss, finite_gradients, finite_weights):
        """Raise InputError if a step has a NaN or infinite loss, gradient or weight.

        Args:
          step, batch: as for `step`.
          loss: the mean loss of the batch, a float.
          finite_gradients, finite_weights: whether all gradients and weights are finite.
        """
        if not abs(loss) < float("inf"):
            raise self._bad_step(f"the loss is {loss}", step, batch)
        overflow = self._loss_scale is not None and float(self._loss_scale.value) >= 1
        if not finite_gradients and not overflow:  # an overflow is repeated at a smaller scale
            raise self._bad_step("a gradient is NaN or infinite", step, batch)
        if not finite_weights:  # the loss need not show it: ReLU may turn NaN into 0
            raise self._bad_step("a weight is NaN or infinite", step, batch)

    def check_variables(self, variables, step, batch):
        """Raise InputError unless all values that are about to be saved are finite."""
        for variable in variables:
            value = tf.convert_to_tensor(variable)
            if value.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(value)):
                what = f"{variable.path} is NaN or infinite after the update"
                raise self._bad_step(what, step, batch)

    @contextlib.contextmanager
    def writing(self):
        """Inside `with`, a file that cannot be written becomes an `InputError`."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            text, code = one_line(error), getattr(error, "errno", None)
            remedy = "bring the folder back" if code in _GONE else "free disk space"
            if code in (errno.EROFS, errno.EACCES, errno.EPERM):
                remedy = "make the folder writable"
            raise InputError(
                f"step {self._checkpoints.state.step} cannot be saved: "
                f"{self._checkpoints.folder.parent}: {text}: {remedy} and start again; "
                f"{self._last_checkpoint()}"
            ) from error

    def _bad_step(self, what, step, batch):
        names = ", ".join(name.decode() for name in batch["name"].numpy())
        return InputError(
            f"{what} at step {step}, images {names}: lower --learning_rate, or look at these "
            f"images and their labels; {self._last_checkpoint()}"
        )

    def _last_checkpoint(self):
        newest = self._checkpoints.newest
        if not newest:
            return "no checkpoint was saved yet"
        return "the last good checkpoint is of step {}: {}".format(*newest)
