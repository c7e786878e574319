"""Connecting to Ray, and how many workers of which size its machines hold."""

import contextlib
import logging
import os
import socket
from typing import NamedTuple

from crf.threads import available_threads
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.export.extras import import_extra

EXTRA = "ray"

# Bytes of the object store of a Ray that is started here; what does not fit goes to the disk.
LOCAL_STORE = 512 * 2**20

SECONDS_TO_CONNECT = 10

# Networks gain little from more processors than this; several workers do.
MAX_PROCESSORS = 4


def import_ray():
    """Import Ray, which then reports its use to nobody.

    Raises:
      MissingPackageError: if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Workers without a GPU keep the environment they have, as Ray will do by itself some day.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    return import_extra("ray", EXTRA, "--runner=ray")


def import_pyarrow(module="pyarrow"):
    """Import pyarrow or a module of it; `MissingPackageError` if it is not installed."""
    return import_extra(module, EXTRA, "--runner=ray")


@contextlib.contextmanager
def ray_session(address=None):
    """Connect to a Ray cluster, or start Ray on this machine, while `with` lasts.

    Args:
      address: of a running cluster, HOST:PORT, ray://HOST:PORT, or "auto" for the one on this
        machine; None: the environment variable RAY_ADDRESS names it, and without it Ray is started
        here, with all processors that this process may use and without a dashboard.

    Yields:
      The module `ray`, connected.

    Raises:
      InputError: if Ray is not installed, or the cluster cannot be reached.
    """
    ray = import_ray()
    if ray.is_initialized():  # by the program that runs the command
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    here = {
        "num_cpus": available_threads(),
        "object_store_memory": LOCAL_STORE,
        "include_dashboard": False,
    }
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **(here if address == "local" else {}),
        )
    except Exception as error:  # Ray also raises this class itself
        if address != "local":
            raise _unreachable(address, error) from None
        raise InputError(
            f"Ray cannot be started here ({one_line(error, 200)}); try again when the machine has "
            "less to do, or give the --ray_address of a cluster"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address):
    """Raise `InputError` if nothing listens there; Ray would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto", "local", or what only Ray can resolve
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise _unreachable(address, error) from None


def _unreachable(address, error):
    return InputError(
        f"--ray_address={address}: Ray cannot be reached ({one_line(error, 200)}); check the "
        "address, and that `ray status` answers there"
    )


class WorkerPlan(NamedTuple):
    """How many workers to start.

    Args:
      count: number of workers.
      cpus: processors of each, at least 1.
      gpus: GPUs of each; below 1, several share one.
    """

    count: int
    cpus: int
    gpus: float


def plan_workers(nodes, cpus=None, gpus=None, count=None):
    """Choose the number and size of the workers.

    Args:
      nodes: what `ray.nodes()` gives, a list of dicts with "Alive" and "Resources".
      cpus: processors of each worker; None: with GPUs, the processors of a machine for each of its
        GPUs; otherwise those of the smallest machine, at most 4.
      gpus: GPUs of each worker; None: 1 if a machine has one, otherwise 0.
      count: number of workers, which may be more than the machines hold now; None: as many as they
        hold.

    Returns:
      `WorkerPlan`.

    Raises:
      InputError: if no machine is large enough for a worker.

    Example:
      >>> plan_workers([{"Alive": True, "Resources": {"CPU": 8.0}}])
      WorkerPlan(count=2, cpus=4, gpus=0)
    """
    sizes = [node["Resources"] for node in nodes if node["Alive"]]
    sizes = [(int(size.get("CPU", 0)), size.get("GPU", 0)) for size in sizes]
    if gpus is None:
        gpus = 1 if any(found >= 1 for _, found in sizes) else 0
    suitable = [(c, g) for c, g in sizes if c >= 1 and (not gpus or g >= gpus)]
    if cpus is None and suitable:
        shares = [int(c * gpus / g) for c, g in suitable] if gpus else [c for c, _ in suitable]
        cpus = max(1, min(shares) if gpus else min(MAX_PROCESSORS, *shares))
    held = sum(min(c // cpus, int(g / gpus) if gpus else c) for c, g in suitable) if cpus else 0
    if not held and not (count and cpus):
        largest = max(sizes, default=(0, 0))
        raise InputError(
            f"no machine of the cluster holds a worker with {cpus or 1} processors and {gpus:g} "
            f"GPUs; the largest has {largest[0]} and {largest[1]:g}; give other --ray_cpus or "
            "--ray_gpus"
        )
    return WorkerPlan(count or held, cpus, gpus)
