"""The meeting of all workers, before TensorFlow connects them.

TensorFlow waits for missing workers silently and without end. So all workers first meet at the
chief's address, and a one-line error names those that are missing, or have a different list or
other versions.
"""

import contextlib
import json
import socket
import time
from typing import NamedTuple

from deeplab_tf.distribute.cluster import host_and_port
from deeplab_tf.errors import InputError

_GO = "go"
_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_FOR_A_LINE = 2
_SECONDS_FOR_LATECOMERS = 20  # to import TensorFlow, on a busy machine


def meet(cluster, seconds=600, versions=None):
    """Wait until all workers have started; it returns on all of them at the same time.

    Args:
      cluster: `Cluster`.
      seconds: how long to wait for the others.
      versions: dict from a package to this worker's version of it, which all must have; None:
        versions are not compared.

    Raises:
      InputError: this worker's port is in use, the chief's host is unknown, a worker has a
        different list or version, or some have not started in time; the message names them.
    """
    with _listen(cluster.port) as listener:
        if len(cluster.workers) == 1:
            return
        deadline = time.monotonic() + seconds
        if cluster.index == 0:
            _receive_all(cluster, listener, deadline, seconds, versions or {})
        else:
            _report_to_chief(cluster, deadline, seconds, versions or {})


def _listen(port):
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"port {port} of this worker in TF_CONFIG cannot be used ({error.strerror}): stop the "
            "program that uses it, or choose another port in the TF_CONFIG of all workers"
        ) from None


def _receive_all(cluster, listener, deadline, seconds, versions):
    """The chief's part: wait for a connection from every other worker, then answer them all."""
    connected = []  # (index, connection) of the workers that have reported
    try:
        while len(connected) < len(cluster.workers) - 1:
            if time.monotonic() > deadline:
                present = {0, *(index for index, _ in connected)}
                absent = [a for i, a in enumerate(cluster.workers) if i not in present]
                raise InputError(_absent_message(absent, seconds))
            connection = _accept(listener)
            connected = _still_connected(connected)
            if connection:
                _receive(cluster, connection, connected, versions)
                connected = _still_connected(connected)
        _answer(connected, _GO)
    except InputError as error:
        _answer(connected, str(error))
        if time.monotonic() < deadline:
            missing = set(range(1, len(cluster.workers))) - {index for index, _ in connected}
            _tell_latecomers(listener, missing, str(error))
        raise
    finally:
        for _, connection in connected:
            connection.close()


def _accept(listener):
    listener.settimeout(_SECONDS_BETWEEN_TRIES)
    try:
        return listener.accept()[0]
    except TimeoutError:
        return None


def _tell_latecomers(listener, missing, text):
    """Answer workers that are still starting with the error, or they would wait for the chief."""
    end = time.monotonic() + _SECONDS_FOR_LATECOMERS
    while missing and time.monotonic() < end:
        if connection := _accept(listener):
            with connection:
                report = _read_report(connection)
                if report:
                    _answer([(report.index, connection)], text)
                    missing.discard(report.index)


class _Report(NamedTuple):
    workers: tuple
    index: int
    versions: dict


def _read_report(connection):
    """What a worker reports; None if it is another program."""
    connection.settimeout(_SECONDS_FOR_A_LINE)
    try:
        found = json.loads(_read_line(connection))
        versions = dict(found.get("versions", {}))
        return _Report(tuple(found["workers"]), int(found["index"]), versions)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _receive(cluster, connection, connected, versions):
    report = _read_report(connection)
    if report is None:
        connection.close()
        return
    workers, index, theirs = report
    twice = any(index == other for other, _ in connected)
    connected.append((index, connection))
    if workers != cluster.workers:
        raise InputError(
            f"worker {index} has a different list of workers in TF_CONFIG"
            f" ({', '.join(map(str, workers))}) than the chief"
            f" ({', '.join(cluster.workers)}); give all of them the same list"
        )
    if twice:
        raise InputError(
            f"two processes report that they are worker {index}; give each its own index in "
            "TF_CONFIG"
        )
    for package in versions:
        if theirs.get(package) != versions[package]:
            raise InputError(
                f"worker {index} has {package} {theirs.get(package, 'of another version')}, but the"
                f" chief has {versions[package]}; install the same versions on all machines"
            )


def _still_connected(connected):
    gone = [pair for pair in connected if _is_closed(pair[1])]
    for _, connection in gone:
        connection.close()
    return [pair for pair in connected if pair not in gone]


def _is_closed(connection):
    # A worker that ended while it waited has closed its connection, and nothing can be read.
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_SECONDS_FOR_A_LINE)


def _answer(connected, text):
    for _, connection in connected:
        with contextlib.suppress(OSError):  # it has ended, which the others notice later
            connection.sendall(f"{text}\n".encode())


def _report_to_chief(cluster, deadline, seconds, versions):
    """The other workers' part: ask the chief repeatedly until it answers."""
    chief = host_and_port(cluster.workers[0])
    hello = {"workers": cluster.workers, "index": cluster.index, "versions": versions}
    report = json.dumps(hello) + "\n"
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(_absent_message(cluster.workers[:1], seconds))
        answer = _ask(chief, report, left)
        if answer == _GO:
            return
        if answer:
            raise InputError(answer)
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _ask(chief, report, seconds):
    """The chief's answer; empty if it has not started, or if something else listens there."""
    try:
        with socket.create_connection(chief, timeout=min(seconds, 5)) as connection:
            connection.sendall(report.encode())
            connection.settimeout(seconds)
            answer = _read_line(connection)
    except socket.gaierror as error:
        raise InputError(
            f"TF_CONFIG: the chief's host {chief[0]} cannot be found ({error.strerror}): check it, "
            "or use its IP address"
        ) from None
    except (OSError, ValueError):
        return ""
    return answer


def _read_line(connection):
    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(1 << 16)
        if not more or len(data) > 1 << 20:
            return ""
        data += more
    return data.decode().strip()


def _absent_message(addresses, seconds):
    return (
        f"no answer from {', '.join(addresses)} of TF_CONFIG within {seconds:g} s: start all "
        "workers, and check that this machine can reach that address and port"
    )
