"""Workers as processes of one machine: several scripts with TF_CONFIG, and their end."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """How a worker ended: exit status and printed text."""

    status: int
    out: str
    err: str


def free_addresses(count):
    """So many addresses "localhost:port" that nobody listens on, a tuple."""
    listeners = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return tuple(f"localhost:{port}" for port in ports)


@contextmanager
def running(command, count=2, **environment):
    """Start `python COMMAND...` as each of `count` workers; what still runs at the end is killed.

    Yields:
      list of `subprocess.Popen`, the chief first.
    """
    workers = free_addresses(count)
    processes = []
    try:
        for index in range(count):
            config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            processes.append(start(command, TF_CONFIG=json.dumps(config), **environment))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def start(command, **environment):
    """Start `python COMMAND...`, which finds this project and its tests; a `subprocess.Popen`."""
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
    """Wait for a worker's end; `subprocess.TimeoutExpired` where it takes longer."""
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)
