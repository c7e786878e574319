"""One device, all GPUs of a machine, or several machines: strategies of `tf.distribute`.

A program makes its strategy before TensorFlow computes anything, builds its model in the
strategy's scope, and asks `worker` for its share of the work. Every worker must call the sums over
all workers, in the same order:

    strategy = make_strategy("multi_worker")
    index, count = worker(strategy)
    with strategy.scope():
        model = ...
    confusion = score(model, examples[index::count])       # each worker its own part
    with lost_worker_is_error(strategy):
        confusion = sum_over_workers(strategy, confusion)  # now the same on all of them
    if is_chief(strategy):
        write(confusion)

No GPU is needed: the CPUs of several machines work together in the same way.
"""

import contextlib
import functools
import os
import signal
import threading

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.distribute.cluster import read_cluster
from deeplab_tf.distribute.meeting import meet
from deeplab_tf.distribute.watchdog import ended_after
from deeplab_tf.errors import InputError

STRATEGIES = ("none", "mirrored", "multi_worker")

# All workers are there when they have met, and then connect within a few seconds. For one that is
# lost meanwhile, TensorFlow would wait without end.
_SECONDS_TO_CONNECT = 60
_NOT_CONNECTED = (
    f"error: the workers have met, but were not connected within {_SECONDS_TO_CONNECT} s: another "
    "one has ended or hangs; look at its output, then start all workers again"
)

# What TensorFlow raises if another worker has ended or cannot be reached.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def make_strategy(name, wait_seconds=600, versions=None):
    """Make the strategy that a program runs under.

    Args:
      name: "none": one device; "mirrored": every GPU of this machine, or its CPU if it has no
        GPU; "multi_worker": this process and the others that the environment variable TF_CONFIG
        lists, on this machine or elsewhere.
      wait_seconds: how long "multi_worker" waits for the others to be started.
      versions: dict from a package to its version, str, which all workers must have, as they must
        have the same TensorFlow and Keras.

    Returns:
      `tf.distribute.Strategy`.

    Raises:
      InputError: the name is unknown, TF_CONFIG is wrong or does not suit the strategy, workers
        are missing or have other versions, or TensorFlow was used before.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        if os.environ.get("TF_CONFIG"):  # TensorFlow would read it
            raise InputError(
                "TF_CONFIG is set, but strategy mirrored uses this machine alone: unset TF_CONFIG "
                "or use strategy multi_worker"
            )
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name != "multi_worker":
        raise InputError(f"unknown strategy {name!r}; available: {', '.join(STRATEGIES)}")
    common = {**(versions or {}), "TensorFlow": tf.__version__, "Keras": keras.__version__}
    meet(read_cluster(), wait_seconds, common)
    try:
        with ended_after(_SECONDS_TO_CONNECT, _NOT_CONNECTED), _kept_sigterm_handler():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(f"the workers cannot be connected: {error}") from error


@contextlib.contextmanager
def _kept_sigterm_handler():
    # TensorFlow installs a C handler that Python does not know of, after which SIGTERM has no
    # effect on the process. A signal that arrives meanwhile waits until the old handler is back.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        if handler is not None:  # None: it was not installed by Python
            signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def worker(strategy):
    """The index of this process among all workers of the strategy, and their number.

    Args:
      strategy: what `make_strategy` returned.

    Returns:
      (index, count), two ints, 0 <= index < count; (0, 1) if there are no other workers.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    cluster = read_cluster()
    return cluster.index, len(cluster.workers)


def is_chief(strategy):
    """Whether this process is the one that prints and writes files."""
    return worker(strategy)[0] == 0


def sum_over_workers(strategy, array):
    """Add up the arrays of all workers; every worker must call it.

    Args:
      strategy: what `make_strategy` returned.
      array: array of 32-bit or 64-bit integers or floats, any shape; shape and dtype must be the
        same on every worker.

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
    return _summing(strategy, array.dtype.name)(array.ravel()).numpy().reshape(array.shape)


@functools.cache
def _summing(strategy, dtype):
    # A graph, because in eager mode TensorFlow sums in a thread that may hang if a worker is lost.
    @tf.function(input_signature=[tf.TensorSpec([None], dtype)])
    def total(values):
        return strategy.reduce("SUM", values, axis=None)

    return total


def wait_for_workers(strategy):
    """Return when every worker has called this; raises what `sum_over_workers` raises."""
    sum_over_workers(strategy, np.zeros(1, np.int32))


@contextlib.contextmanager
def lost_worker_is_error(strategy):
    """Turn what TensorFlow raises when another worker has ended into an `InputError`.

    TensorFlow notices a broken connection at once, and a machine that no longer answers within
    about ten seconds.

    Args:
      strategy: what `make_strategy` returned; with a single worker, errors are left unchanged.

    Raises:
      InputError: another worker has ended or cannot be reached.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if worker(strategy)[1] == 1 or not _is_of_lost_worker(error):
            raise
        raise InputError(
            "another worker has ended or cannot be reached: look at its output, then start all "
            "workers again; training resumes from the last checkpoint"
        ) from error


def _is_of_lost_worker(error):
    # If the lost worker is restarted too early, the others get a FailedPreconditionError.
    restarted = isinstance(error, tf.errors.FailedPreconditionError) and "Collective" in str(error)
    return restarted or isinstance(error, _LOST)


def check_batch_size(strategy, batch_size, accumulate=1):
    """Raise InputError unless a batch splits into equal parts for all devices.

    Args:
      strategy: what `make_strategy` returned.
      batch_size: images of a batch, of all devices together.
      accumulate: number of micro-batches that each device splits its images into.
    """
    devices = strategy.num_replicas_in_sync
    if accumulate < 1 or batch_size % (devices * accumulate):
        raise InputError(
            f"a batch of {batch_size} cannot be split into {accumulate} equal micro-batches for "
            f"each of {devices} devices: use a --batch_size (of all devices together) that is a "
            f"multiple of {devices * max(accumulate, 1)}"
        )


def distribute(strategy, batches):
    """Split the batches of this worker among its replicas.

    Args:
      strategy: what `make_strategy` returned.
      batches: iterable of dicts of tensors that hold this worker's rows of a batch.

    Yields:
      The same dicts, with every numeric tensor split into one part per replica, as `strategy.run`
      takes them; string tensors are not split.
    """
    replicas = strategy.num_replicas_in_sync // worker(strategy)[1]
    for batch in batches:
        if replicas > 1:
            batch = {
                key: x if x.dtype == tf.string else _split_rows(strategy, x, replicas)
                for key, x in batch.items()
            }
        yield batch


def _split_rows(strategy, rows, replicas):
    parts = iter(tf.split(rows, replicas))  # taken in the replicas' order
    return strategy.experimental_distribute_values_from_function(lambda context: next(parts))


def copy_from_chief(strategy, variables):
    """Copy the values of variables from the chief to all workers; every worker must call it.

    Args:
      strategy: what `make_strategy` returned.
      variables: numeric Keras or TensorFlow variables.
    """
    index, count = worker(strategy)
    if count == 1:
        return
    for variable in variables:
        value = variable.numpy()
        # The sum of the chief's value and zeros from the others. TensorFlow cannot sum small
        # integers over workers.
        wide = value.astype(np.int64 if value.dtype.kind in "bui" else value.dtype)
        total = sum_over_workers(strategy, wide if index == 0 else np.zeros_like(wide))
        variable.assign(total.astype(value.dtype))
