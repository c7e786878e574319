import os
import subprocess
import sys

import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.files import (
    check_new_file,
    check_new_folder,
    lock_folder,
    new_folder,
    whole_file,
    write_file,
)


def test_file_is_written_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / "new" / "scores.json"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["scores.json"]


def test_a_whole_file_keeps_its_name_and_what_a_kill_left_is_deleted(tmp_path):
    remains = tmp_path / ".other.keras.x1y2.partial"
    remains.mkdir()
    for name in (".lock", "other.keras"):
        (remains / name).write_text("half")
    (tmp_path / ".mine.partial").mkdir()  # without the file that is locked: of somebody else
    with whole_file(tmp_path / "model.keras") as partial:
        assert not partial.exists() and partial.name == "model.keras"
        partial.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.partial", "model.keras"]


def test_two_writers_of_a_file_do_not_meet(tmp_path):
    path = tmp_path / "model.keras"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            assert first.exists()
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_where_folders_cannot_change_names_the_new_one_still_replaces_the_old(
    tmp_path, monkeypatch
):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())  # as on other C libraries
    with new_folder(tmp_path / "made", overwrite=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "new"]


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "text")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "above" / "made"
    with new_folder(path) as folder:
        (folder / "part").write_text("1")
        assert not path.exists()
    assert (path / "part").read_text() == "1"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "made") as folder:
        (folder / "part").write_text("1")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_only_overwrite_replaces_a_full_folder(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    check_new_folder(path)
    (path / "old").write_text("1")
    with pytest.raises(InputError, match=r"made: exists and is not empty"):
        check_new_folder(path)
    with pytest.raises(KeyError), new_folder(path, overwrite=True):
        raise KeyError
    assert (path / "old").exists()
    with new_folder(path, overwrite=True) as folder:
        (folder / "new").write_text("2")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_only_overwrite_replaces_a_file(tmp_path):
    path = tmp_path / "model.keras"
    check_new_file(path)
    path.touch()
    check_new_file(path, overwrite=True)
    with pytest.raises(InputError, match=r"model\.keras: exists; give another --out, or use"):
        check_new_file(path)


def test_a_file_is_in_the_way(tmp_path):
    path = tmp_path / "made"
    path.write_text("1")
    with pytest.raises(InputError, match="made: is a file"), new_folder(path, overwrite=True):
        pass
    assert path.read_text() == "1"


def test_a_folder_filled_by_others_meanwhile_is_not_replaced(tmp_path):
    filled = pytest.raises(OSError, match=r"Another process has just filled it: '.*new'")
    with filled, new_folder(tmp_path / "new") as folder:
        (folder / "mine").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "theirs"]


# Another process that locks, reports it, and waits to be killed.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write("process 7 on far"); file.flush()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_locked_folder_is_refused_until_the_lock_ends(tmp_path):
    with lock_folder(tmp_path, "another training", "wait until it ends"):
        with pytest.raises(InputError) as error, lock_folder(tmp_path, "another training", "wait"):
            pass
        holder = f"process {os.getpid()} on "
        assert f"{tmp_path} is in use by another training ({holder}" in str(error.value)
        assert str(error.value).endswith("): wait")
    with lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_lock(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        expected = pytest.raises(InputError, match=r"another run .process 7 on far.: wait until")
        with expected, lock_folder(tmp_path):
            pass
        process.kill()
    with lock_folder(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} ")


def test_a_locked_folder_is_cleaned_and_removed_if_it_stays_empty(tmp_path):
    with lock_folder(tmp_path / "a" / "b") as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
    remains = tmp_path / "c" / "1.0.0.x.partial"
    remains.mkdir(parents=True)
    (remains / "file").touch()
    (tmp_path / "c" / "checkpoint.partial").touch()
    with lock_folder(tmp_path / "c") as folder:
        (folder / "kept").touch()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["kept"]


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, capsys):
    def unsupported(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with lock_folder(tmp_path):
        pass
    assert "lock cannot be locked: Operation not supported" in capsys.readouterr().out
