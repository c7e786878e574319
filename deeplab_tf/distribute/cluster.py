"""The workers of a training run or an evaluation on several machines, which TF_CONFIG lists."""

import json
import os
from dataclasses import dataclass

from deeplab_tf.errors import InputError

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_HELP = f"set it for every worker, such as TF_CONFIG='{_EXAMPLE}'"


@dataclass(frozen=True)
class Cluster:
    """All workers, and the position of this process among them.

    Attributes:
      workers: the address "host:port" of every worker, the chief's first.
      index: this process's index in that list.
    """

    workers: tuple
    index: int

    @property
    def port(self):
        """The port that this worker listens on, 1 to 65535."""
        return host_and_port(self.workers[self.index])[1]


def read_cluster():
    """Read the cluster from the environment variable TF_CONFIG.

    Returns:
      `Cluster`.

    Raises:
      InputError: it is missing or not JSON, lists no workers, has an address that is not
        "host:port" or occurs twice, or its task is not one of the workers.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise InputError(f"the environment variable TF_CONFIG is not set; {_HELP}")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"TF_CONFIG is not JSON ({error}); {_HELP}") from None
    jobs = config.get("cluster") if isinstance(config, dict) else None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise InputError(f'TF_CONFIG has no "cluster" that lists the workers; {_HELP}')
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise InputError(f'TF_CONFIG has no "task" with "type" and "index"; {_HELP}')
    workers = _workers(jobs)
    return Cluster(workers, _index(jobs, task))


def _workers(jobs):
    workers = []
    for job in sorted(jobs):  # "chief", if present, comes before "worker"
        if job not in ("chief", "worker"):
            raise InputError(f'TF_CONFIG: unknown job "{job}"; available: chief, worker')
        if not isinstance(jobs[job], list) or not jobs[job]:
            raise InputError(
                f'TF_CONFIG: "{job}" of the cluster is not a list of addresses; {_HELP}'
            )
        workers += jobs[job]
    if len(jobs.get("chief", [])) > 1:
        raise InputError("TF_CONFIG: the cluster has more than one chief; give one")
    for address in workers:
        host_and_port(address)
        if workers.count(address) > 1:
            raise InputError(f"TF_CONFIG: {address} is listed twice; give each worker its own port")
    return tuple(workers)


def _index(jobs, task):
    job, index = task["type"], task["index"]
    count = len(jobs.get(job, [])) if isinstance(job, str) else 0
    if not count:
        raise InputError(f'TF_CONFIG: task type "{job}" is not in the cluster; {_HELP}')
    # Some cluster managers write the number as text, which TensorFlow accepts.
    if not str(index).isdigit() or int(index) >= count:
        raise InputError(
            f'TF_CONFIG: no task {index} of "{job}"; use an index from 0 to {count - 1}'
        )
    return int(index) + (len(jobs.get("chief", [])) if job == "worker" else 0)


def host_and_port(address):
    """Split an address into its host, str, and its port, int.

    Raises:
      InputError: if it is not "host:port".
    """
    host, colon, port = str(address).rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise InputError(f'TF_CONFIG: address "{address}" is not host:port, like 10.0.0.1:2222')
    return host.strip("[]"), int(port)
