"""The flags that run a command on a Ray cluster."""

from deeplab_tf.commands.flags.heading import heading, refuse_given
from deeplab_tf.errors import InputError
from deeplab_tf.scale.session import plan_workers

RUNNERS = ("local", "ray")
RAY_FLAGS = ("ray_address", "ray_workers", "ray_cpus", "ray_gpus")


def define_runner_flags(values):
    """Define --runner and the flags of the cluster and of the workers on it."""
    define = heading(values, "Ray")
    define.enum(
        "runner",
        "local",
        RUNNERS,
        "local: this process. ray: workers on all machines of a Ray cluster, which needs the extra "
        "[ray]; see docs/scale.md.",
    )
    define.string(
        "ray_address",
        None,
        "Address of the cluster, HOST:PORT or ray://HOST:PORT; auto: the one on this machine. "
        "Default: that of the environment variable RAY_ADDRESS, and without it Ray is started on "
        "this machine.",
    )
    define.integer(
        "ray_workers",
        None,
        "Number of workers. Default: as many as the machines hold.",
        lower_bound=1,
    )
    define.integer(
        "ray_cpus",
        None,
        "Processors of each worker. Default: those of a machine, at most 4; with GPUs, those of a "
        "machine for each of its GPUs.",
        lower_bound=1,
    )
    define.float(
        "ray_gpus",
        None,
        "GPUs of each worker; below 1, several workers share one. Default: 1 if a machine has one, "
        "otherwise 0.",
        lower_bound=0,
    )


def is_on_ray(flags, *others):
    """Whether the command runs on Ray.

    Args:
      flags: the parsed flags.
      others: names of more flags that are for Ray alone.

    Raises:
      InputError: if it does not, and a flag for Ray is given.
    """
    if flags.runner != "ray":
        refuse_given(flags, [*RAY_FLAGS, *others], "has no effect without --runner=ray; add it")
    elif "head_name" in flags and flags.head_name:
        raise InputError("--head_name cannot be used with --runner=ray; leave one of them out")
    return flags.runner == "ray"


def workers_of(flags, ray):
    """The `WorkerPlan` of the flags on a connected cluster."""
    return plan_workers(ray.nodes(), flags.ray_cpus, flags.ray_gpus, flags.ray_workers)
