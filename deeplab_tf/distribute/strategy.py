"""One device, all GPUs of a machine, or several machines: strategies of `tf.distribute`.

A program makes its strategy before TensorFlow has computed anything, builds its model in the
strategy's scope, and asks `worker` for its share of the work. Sums over all workers need every
worker to ask for them, in the same order:

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

import numpy as np
import tensorflow as tf

from deeplab_tf.distribute.cluster import meet, read_cluster
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
        with _sigterm_as_it_is():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(f"the workers cannot be connected: {error}") from error


@contextlib.contextmanager
def _sigterm_as_it_is():
    # TensorFlow takes the signal from Python, without Python's knowledge, and from then on the
    # process neither ends nor hears of it. One that comes meanwhile waits.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        if handler is not None:  # of somebody else's, outside of Python
            signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


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
    return _summing(strategy, array.dtype.name)(array.ravel()).numpy().reshape(array.shape)


@functools.cache
def _summing(strategy, dtype):
    # Outside of a graph TensorFlow adds up in a thread, which a lost worker may leave waiting.
    @tf.function(input_signature=[tf.TensorSpec([None], dtype)])
    def total(values):
        return strategy.reduce("SUM", values, axis=None)

    return total


def wait_for_workers(strategy):
    """Return when every worker has called this; raises as `sum_over_workers`."""
    sum_over_workers(strategy, np.zeros(1, np.int32))


@contextlib.contextmanager
def lost_worker_is_error(strategy):
    """Turn what TensorFlow raises where another worker has ended into an `InputError`.

    TensorFlow notices at once where the connection breaks, and within some ten seconds where a
    machine no longer answers.

    Args:
      strategy: what `make_strategy` made; where it has one worker, nothing is changed.

    Raises:
      InputError: one line that says so.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if worker(strategy)[1] == 1 or not _is_of_lost_worker(error):
            raise
        raise InputError(
            "another worker has ended or cannot be reached: see what it says, then start all "
            "workers again; a training goes on from its last checkpoint"
        ) from error


def _is_of_lost_worker(error):
    # A worker that was started again too early fails a condition of the others.
    restarted = isinstance(error, tf.errors.FailedPreconditionError) and "Collective" in str(error)
    return restarted or isinstance(error, _LOST)


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def check_share(strategy, batch_size, accumulate=1):
    """Raise InputError unless all devices get as many rows of a batch, in each of its parts.

    Args:
      strategy: what `make_strategy` made.
      batch_size: rows of a batch, of all devices together.
      accumulate: parts that each device goes through its rows in.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * accumulate):
        in_parts = f" in {accumulate} parts each" if accumulate > 1 else ""
        raise InputError(
            f"a batch of {batch_size} cannot be shared by {replicas} devices{in_parts}; "
            f"--batch_size is of all together: give a multiple of {replicas * accumulate}"
        )


def distribute(strategy, batches):
    """Split the batches of this worker among its replicas.

    Args:
      strategy: what `make_strategy` made.
      batches: iterable of dicts of tensors that hold this worker's rows of a batch.

    Yields:
      The same dicts; the numbers in them are for `strategy.run`, the texts are left whole.
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
    parts = iter(tf.split(rows, replicas))  # asked for in the replicas' order
    return strategy.experimental_distribute_values_from_function(lambda context: next(parts))


def copy_from_chief(strategy, variables):
    """Give variables the values that they have on the chief; every worker has to call it.

    Args:
      strategy: what `make_strategy` made.
      variables: Keras or TensorFlow variables of numbers.
    """
    index, count = worker(strategy)
    if count == 1:
        return
    for variable in variables:
        value = variable.numpy()
        # Of what is added up, all but the chief's is nothing; not every type can be added.
        wide = value.astype(np.int64 if value.dtype.kind in "bui" else value.dtype)
        total = sum_over_workers(strategy, wide if index == 0 else np.zeros_like(wide))
        variable.assign(total.astype(value.dtype))
