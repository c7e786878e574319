"""One device, all GPUs of a machine, or several machines: strategies of `tf.distribute`.

A program makes its strategy before TensorFlow has computed anything, builds its model in the
strategy's scope, and asks `worker` for its share of the work. Sums over all workers need every
worker to ask for them, in the same order:

    strategy = make_strategy("multi_worker")
    index, count = worker(strategy)
    with strategy.scope():
        model = ...
    confusion = score(model, examples[index::count])       # each worker its own part
    with lost_worker_is_error():
        confusion = sum_over_workers(strategy, confusion)  # now the same on all of them
    if is_chief(strategy):
        write(confusion)

No GPU is needed: the CPUs of several machines work together in the same way.
"""

import contextlib
import os

import numpy as np
import tensorflow as tf

from deeplab_tf.cluster import meet, read_cluster
from deeplab_tf.errors import InputError

STRATEGIES = ("none", "mirrored", "multi_worker")


def make_strategy(name, wait_seconds=600):
    """Make the strategy that a program runs under.

    Args:
      name: "none": one device; "mirrored": every GPU of this machine (or its CPU, where there is
        no GPU); "multi_worker": this process and others, on this machine or elsewhere, as the
        environment variable TF_CONFIG says.
      wait_seconds: how long "multi_worker" waits for the others to be started.

    Returns:
      `tf.distribute.Strategy`.

    Raises:
      InputError: the name is none of these, TF_CONFIG is wrong or cannot be followed, workers
        are missing, or TensorFlow was used before.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        if os.environ.get("TF_CONFIG"):  # TensorFlow would read it and might follow it
            raise InputError(
                "TF_CONFIG is set, which strategy mirrored does not follow: unset it to use this "
                "machine alone, or give multi_worker"
            )
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name != "multi_worker":
        raise InputError(f"strategy {name!r}; give one of {', '.join(STRATEGIES)}")
    meet(read_cluster(), wait_seconds)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(f"the workers cannot be connected: {error}") from error


def worker(strategy):
    """This process among all that run under the strategy.

    Args:
      strategy: what `make_strategy` made.

    Returns:
      (index, count), two ints, 0 <= index < count; (0, 1) where it is alone.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    cluster = read_cluster()
    return cluster.index, len(cluster.workers)


def is_chief(strategy):
    """Whether this process is the one that prints and writes files."""
    return worker(strategy)[0] == 0


def sum_over_workers(strategy, array):
    """Add up the arrays of all workers; every worker has to call it.

    Args:
      strategy: what `make_strategy` made.
      array: of the same shape and dtype on every worker: integers of 32 or 64 bits, or floats.

    Returns:
      numpy array of that shape and dtype, the same on every worker.

    Raises:
      tf.errors.OpError: a worker is lost; see `lost_worker_is_error`.

    Example:
      >>> confusion = sum_over_workers(strategy, confusion)  # int64 (C, C)
    """
    array = np.asarray(array)
    if worker(strategy)[1] == 1:
        return array
    return strategy.reduce("SUM", tf.identity(array), axis=None).numpy()


def wait_for_workers(strategy):
    """Return when every worker has called this; raises as `sum_over_workers`."""
    sum_over_workers(strategy, np.zeros(1, np.int32))


@contextlib.contextmanager
def lost_worker_is_error():
    """Turn what TensorFlow raises where another worker has ended into an `InputError`.

    TensorFlow notices at once where the connection breaks, and within some ten seconds where a
    machine no longer answers.

    Raises:
      InputError: one line that says so.
    """
    try:
        yield
    except _LOST as error:
        raise InputError(
            "another worker has ended or cannot be reached: see what it says, then start all "
            "workers again; a training goes on from its last checkpoint"
        ) from error


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
