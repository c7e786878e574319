import os
import subprocess
import sys

import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.training.run_lock import RunLock

# Another process that locks, says so, and waits to be killed.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write("process 7 on far"); file.flush()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_second_one_is_refused_until_the_first_has_ended(tmp_path):
    with RunLock(tmp_path) as first, RunLock(tmp_path) as second:
        first.acquire()
        first.acquire()
        with pytest.raises(InputError) as error:
            second.acquire()
        holder = f"process {os.getpid()} on "
        assert f"{tmp_path} is in use by another training ({holder}" in str(error.value)
        assert "\n" not in str(error.value)
    with RunLock(tmp_path) as third:
        third.acquire()


def test_nothing_is_created_unless_asked_to(tmp_path):
    with RunLock(tmp_path / "new") as lock:
        lock.acquire(create=False)
        assert not (tmp_path / "new").exists()
        lock.acquire()
        with RunLock(tmp_path / "new") as other, pytest.raises(InputError):
            other.acquire(create=False)


def test_a_killed_process_leaves_no_lock(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "checkpoints" / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        with RunLock(tmp_path) as lock, pytest.raises(InputError, match="process 7 on far"):
            lock.acquire()
        process.kill()
    with RunLock(tmp_path) as lock:
        lock.acquire()
    assert (tmp_path / "checkpoints" / "lock").read_text().startswith(f"process {os.getpid()} ")


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, capsys):
    def unsupported(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with RunLock(tmp_path) as lock:
        lock.acquire()
    assert "lock cannot be locked: Operation not supported" in capsys.readouterr().out
