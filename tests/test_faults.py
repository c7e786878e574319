"""The campaign of faults in a short form: the writers of files, killed before each of their calls.

`benchmarks/faults.py` kills whole commands; this needs no TensorFlow in the processes that die.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fault_mended import MENDED
from benchmarks.fault_server import Child, Plan
from deeplab_tf import files, partial_files
from deeplab_tf.errors import InputError
from deeplab_tf.files import new_folder, whole_files, write_file
from deeplab_tf.training.best_models import BestModels

# The children only write files, and do not compute with the threads that they lack.
pytestmark = pytest.mark.filterwarnings("ignore:.* multi-threaded, use of fork:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]


def write(folder, value):
    """Write one of each: a file, a folder, files that belong together, a best model."""
    partial_files._swept.clear()  # as in a process of its own
    write_file(folder / "scores.json", value)
    with new_folder(folder / "made", overwrite=True) as made:
        for name in ("a", "b"):
            (made / name).write_bytes(value)
    with whole_files([folder / "model.bin", folder / "model.xml"]) as partials:
        for partial in partials:
            partial.write_bytes(value)
    write_file(folder / "best.keras", value)
    BestModels(folder, folder / "checkpoints").add(4)
    return 0


RESULTS = "scores.json", "made/a", "made/b", "best.keras", "checkpoints/best-4/best.keras"


def state(folder):
    """{name: contents} of all files."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def results(found):
    return {name: value for name, value in found.items() if ".partial" not in name}


def assert_whole(found):
    """Every result is the old or the new one, all there, and what belongs together is one kind."""
    found = results(found)
    assert set(found.values()) <= {b"old", b"new"}, found
    assert set(RESULTS) <= found.keys() <= {*RESULTS, "model.bin", "model.xml"}, found
    assert found["made/a"] == found["made/b"]
    assert found.get("model.xml", found["model.bin"]) == found["model.bin"]


def run(folder, plan, value=b"new"):
    return Child(lambda: write(folder, value), plan._replace(watched=folder))


def number_of_calls(folder):
    """How many calls it takes to replace the results of an earlier run, which are then there."""
    run(folder, Plan(), b"old").ended()
    return run(folder, Plan(), b"old").ended().calls


def test_a_kill_before_any_call_leaves_whole_results_and_the_next_run_cleans_up(tmp_path):
    calls = number_of_calls(tmp_path)
    whole = state(tmp_path)
    assert calls > 20 and set(whole.values()) == {b"old"}
    for call in range(1, calls + 1):
        assert run(tmp_path, Plan(at_call=call)).ended().killed
        assert_whole(state(tmp_path))
        write(tmp_path, b"old")
        assert state(tmp_path) == whole, f"killed before call {call}"


def test_a_kill_in_the_middle_of_a_write_leaves_whole_results(tmp_path):
    number_of_calls(tmp_path)
    assert run(tmp_path, Plan(file_limit=2, dies_of_limit=True)).ended().status == -signal.SIGXFSZ
    assert set(results(state(tmp_path)).values()) == {b"old"}
    assert_whole(state(tmp_path))


def test_a_second_writer_between_any_two_calls_of_the_first_harms_neither(tmp_path):
    calls = number_of_calls(tmp_path)
    for call in range(1, calls + 1, 2):
        first = run(tmp_path, Plan(at_call=call, event=signal.SIGSTOP))
        assert first.stopped()
        write(tmp_path, b"new")
        first.go_on()
        assert first.ended().status == 0, f"stopped before call {call}"
        assert_whole(state(tmp_path))
        assert not [name for name in state(tmp_path) if ".partial" in name]


def test_a_folder_taken_away_between_any_two_calls_is_not_taken_for_whole(tmp_path):
    def fill(out):
        with new_folder(out / "made") as made:
            for name in ("a", "b", "c"):
                write_file(made / name, b"new")
        return 0

    def child(out, plan):
        return Child(lambda: fill(out), plan._replace(watched=out), tmp_path / "log")

    calls = child(tmp_path / "counted", Plan()).ended().calls
    for call in range(4, calls + 1):
        out = tmp_path / f"out{call}"
        first = child(out, Plan(at_call=call, event=signal.SIGSTOP))
        assert first.stopped()
        out.rename(tmp_path / f"away{call}")
        first.go_on()
        ended = first.ended()
        if ended.status == 0:  # it was renamed when it was whole
            assert len(list((tmp_path / f"away{call}" / "made").iterdir())) == 3
        else:
            assert "InputError" in ended.text or "FileNotFoundError" in ended.text, ended.text
        assert not (out / "made").exists()


def test_each_mended_fault_names_a_test_that_is_there():
    for what, test in MENDED:
        file, _, name = test.partition("::")
        assert what and f"def {name}(" in (ROOT / file).read_text("utf-8"), test


@pytest.mark.slow
def test_a_short_campaign_finds_nothing():
    command = [sys.executable, "benchmarks/faults.py", "--kills=3", "--others=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "open    0" in done.stdout


def test_an_error_names_the_result_and_not_its_temporary_file(tmp_path):
    class Foreign(Exception):
        """As the libraries in C++ raise them."""

    path = tmp_path / "scores.json"
    for error in (OSError(28, "No space left on device"), Foreign("x; No space left on device")):
        with pytest.raises(OSError) as raised, files.whole_file(path):
            raise error
        assert str(raised.value) == f"[Errno 28] No space left on device: '{path}'"
    with pytest.raises(OSError, match="h5py knows no number"), files.whole_file(path):
        raise OSError("h5py knows no number")
    with pytest.raises(InputError, match="Permission denied"), files.whole_file(path):
        raise InputError("image.jpg: Permission denied")
    with pytest.raises(OSError, match="Permission denied: 'image"), files.whole_file(path):
        raise OSError(13, "Permission denied", "image.jpg")
    assert list(tmp_path.iterdir()) == []
