"""What all workers have: their share of a machine's processors, and the model."""

import contextlib
import functools

import cv2
import tensorflow as tf

import deeplab_tf
from crf.threads import limit_threads
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.inference import fix_weights
from deeplab_tf.scale.model_files import open_files


def use_processors(count):
    """Use this many processors in this process, so that workers of a machine do not fight.

    It must be called before TensorFlow computes anything.
    """
    limit_threads(count)  # the CRF, and the runtimes of exported networks
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)  # images are read by several threads
    for device in tf.config.list_physical_devices("GPU"):  # which several workers may share
        tf.config.experimental.set_memory_growth(device, True)


class Worker:
    """An actor that opens the model once.

    Args:
      files: `ModelFiles`; None: it needs no network.
      version: of this package on the driver.
      cpus: processors to use; None: the process stays as it is.
    """

    def __init__(self, files, version, cpus=None):
        self._files, self._version, self._cpus = files, version, cpus
        self.model = None

    def open(self):
        """Open the model.

        Raises:
          InputError: if it cannot be opened, or this machine has another version of the package.
        """
        if self._version != deeplab_tf.__version__:
            raise InputError(
                f"a worker has version {deeplab_tf.__version__} of DeepLab, and this process "
                f"{self._version}; install the same on all machines"
            )
        if self._cpus:
            use_processors(self._cpus)
        if self._files:
            self.model, self._files = open_files(self._files), None

    @functools.cached_property
    def network(self):
        """The model with its weights prepared for many images, see `fix_weights`."""
        return fix_weights(self.model)


@contextlib.contextmanager
def stages():
    """Chain `prefetch_map`s: yields a function that adds one.

    If the caller stops early, what has not begun is cancelled.
    """
    with contextlib.ExitStack() as stack:
        yield lambda results: stack.enter_context(contextlib.closing(results))


def start_workers(ray, worker_class, plan, *arguments):
    """The function that starts a worker on the cluster.

    Args:
      ray: the connected module.
      worker_class: a subclass of `Worker`.
      plan: `WorkerPlan`.
      arguments: of the class before `version` and `cpus`; references of Ray are resolved.

    Returns:
      Function without arguments that returns the handle of a new actor.
    """
    # A worker that dies is replaced by the pool, which knows what it was doing.
    remote = ray.remote(
        num_cpus=plan.cpus,
        num_gpus=plan.gpus,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy="SPREAD",
    )(worker_class)
    return lambda: remote.remote(*arguments, version=deeplab_tf.__version__, cpus=plan.cpus)
