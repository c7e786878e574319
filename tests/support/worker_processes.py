"""Starts scripts as workers on one machine, with TF_CONFIG, and waits for them to end."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """Exit status and printed text of a worker."""

    status: int
    out: str
    err: str


# Below the ports that the system gives to anybody who asks for one, and, so that test processes
# side by side do not take each other's, from another place on in each process.
_PORTS = itertools.count(20_000 + os.getpid() % 100 * 120)


def free_addresses(count):
    """A tuple of `count` addresses "localhost:port" that nobody listens on."""
    return tuple(f"localhost:{_free_port()}" for _ in range(count))


def _free_port():
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.create_server(("localhost", port)):
            return port


@contextlib.contextmanager
def running(command, count=2, **environment):
    """Start `python COMMAND...` as each of `count` workers; kill what still runs at the end.

    Yields:
      list of `subprocess.Popen`, the chief first.
    """
    workers = free_addresses(count)
    processes = []
    try:
        for index in range(count):
            processes.append(start_worker(command, workers, index, **environment))
        yield processes
    finally:
        kill_all(processes)


def kill_all(processes):
    """Kill the workers that still run."""
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()


def start_worker(command, workers, index, **environment):
    """Start `python COMMAND...` as one of the workers at these addresses; returns its `Popen`."""
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    return start(command, TF_CONFIG=json.dumps(config), **environment)


def start(command, **environment):
    """Start `python COMMAND...` with this project on its path; returns a `subprocess.Popen`."""
    path = os.pathsep.join(
        [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path, **environment}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, seconds=300):
    """Wait for a worker to end; raises `subprocess.TimeoutExpired` after `seconds`."""
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)
