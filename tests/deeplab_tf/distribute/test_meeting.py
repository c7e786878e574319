import json
import socket
import threading
import time

import pytest
from worker_processes import free_addresses

from deeplab_tf.distribute.cluster import Cluster
from deeplab_tf.distribute.meeting import meet
from deeplab_tf.errors import InputError


class Meeting(threading.Thread):
    """A worker that waits for the others in a thread; how it ended is in `error` and `end`."""

    def __init__(self, workers, index, seconds=20, versions=None):
        super().__init__()
        self.cluster, self.seconds = Cluster(workers, index), seconds
        self.versions = versions
        self.error = self.end = None
        self.start()

    def run(self):
        try:
            meet(self.cluster, self.seconds, self.versions)
        except InputError as error:
            self.error = str(error)
        self.end = time.monotonic()


def ended(*meetings):
    for meeting in meetings:
        meeting.join(30)
        assert meeting.end, "still waiting"
    return [meeting.error for meeting in meetings]


def test_workers_wait_until_the_last_is_there():
    workers = free_addresses(3)
    early = [Meeting(workers, index) for index in (2, 0)]
    time.sleep(0.5)
    assert not any(meeting.end for meeting in early)
    last = Meeting(workers, 1)
    assert ended(*early, last) == [None] * 3
    assert ended(*(Meeting(workers, index) for index in range(3))) == [None] * 3  # ports are free


def test_one_worker_waits_for_nobody():
    meet(Cluster(free_addresses(1), 0), seconds=0)


def test_who_does_not_come_is_named():
    workers = free_addresses(3)
    chief, other = Meeting(workers, 0, seconds=1), Meeting(workers, 1)
    errors = ended(chief, other)
    for error in errors:  # the chief tells those that wait with it
        assert error.startswith(f"no answer from {workers[2]} of TF_CONFIG within 1 s")
    [error] = ended(Meeting(workers, 2, seconds=1))
    assert error.startswith(f"no answer from {workers[0]} of TF_CONFIG within 1 s")


def test_workers_of_other_lists_or_of_one_index_are_told(monkeypatch):
    # Worker 2 never comes.
    monkeypatch.setattr("deeplab_tf.distribute.meeting._SECONDS_FOR_LATECOMERS", 0.1)
    workers = free_addresses(3)
    shuffled = (workers[0], *workers[:0:-1])
    errors = ended(Meeting(workers, 0), Meeting(shuffled, 1))
    assert all("worker 1 has a different list of workers in TF_CONFIG" in error for error in errors)
    workers = free_addresses(3)
    chief, first = Meeting(workers, 0), Meeting(workers, 1)
    time.sleep(0.5)
    hello = {"workers": workers, "index": 1}
    port = int(workers[0].split(":")[1])
    with socket.create_connection(("localhost", port)) as connection:
        connection.sendall(f"{json.dumps(hello)}\n".encode())
        errors = ended(chief, first)
    assert all("two processes report that they are worker 1" in error for error in errors)


@pytest.mark.parametrize("theirs", [{"DeepLab": "0.3", "Keras": "3.14"}, {"DeepLab": "0.3"}, None])
def test_workers_of_other_versions_are_told(theirs):
    workers = free_addresses(3)
    ours = {"DeepLab": "0.3", "Keras": "3.15"}
    errors = ended(
        Meeting(workers, 0, versions=ours),
        Meeting(workers, 1, versions=ours),
        Meeting(workers, 2, versions=theirs),
    )
    name = "Keras" if theirs else "DeepLab"
    found = (theirs or {}).get(name, "of another version")
    for error in errors:
        assert f"worker 2 has {name} {found}, but the chief has {ours[name]}" in error
        assert "install the same versions" in error and "\n" not in error


def test_who_comes_late_is_told_what_is_wrong_with_another():
    workers = free_addresses(3)
    chief = Meeting(workers, 0, versions={"DeepLab": "0.3"})
    assert "worker 2 has DeepLab 0.4" in ended(Meeting(workers, 2, versions={"DeepLab": "0.4"}))[0]
    late = Meeting(workers, 1, versions={"DeepLab": "0.3"})
    assert all("worker 2 has DeepLab 0.4" in error for error in ended(chief, late))


def test_workers_of_one_version_meet():
    workers = free_addresses(2)
    versions = {"DeepLab": "0.3"}
    meetings = (Meeting(workers, index, versions=versions) for index in range(2))
    assert ended(*meetings) == [None] * 2


def test_strangers_and_those_who_left_do_not_count():
    workers = free_addresses(3)
    chief = Meeting(workers, 0)
    time.sleep(0.3)
    port = int(workers[0].split(":")[1])
    hello = json.dumps({"workers": workers, "index": 1})
    for text in ("", "\n", "GET / HTTP/1.1\r\n\r\n", f"{hello}\n"):
        with socket.create_connection(("localhost", port)) as connection:
            connection.sendall(text.encode())
            time.sleep(0.1)
    other = Meeting(workers, 2)
    time.sleep(0.5)
    assert not chief.end and not other.end
    assert ended(chief, other, Meeting(workers, 1)) == [None] * 3


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of this worker in TF_CONFIG cannot be"):
            meet(Cluster((f"localhost:{port}",), 0))


def test_an_unknown_host_of_the_chief_is_one_line():
    [own] = free_addresses(1)
    with pytest.raises(InputError, match=r"the chief's host no-such-host\.invalid cannot be found"):
        meet(Cluster(("no-such-host.invalid:2222", own), 1), seconds=5)
