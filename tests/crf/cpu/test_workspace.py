import threading

import numpy as np
import pytest

from crf.cpu import workspace
from crf.cpu.workspace import Workspace, borrowed_workspace


@pytest.fixture(autouse=True)
def no_idle_workspaces(monkeypatch):
    monkeypatch.setattr(workspace, "_idle", [])


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_arrays_have_the_requested_size_and_type(size, dtype):
    array = Workspace().array("table", size, dtype)
    assert array.shape == (size,) and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned


def test_each_name_has_its_own_memory():
    memory = Workspace()
    table, other = memory.array("table", 10, np.float32), memory.array("other", 10, np.float32)
    assert not np.shares_memory(table, other)
    table[:], other[:] = 1, 2
    again = memory.array("table", 5, np.float32)
    assert np.shares_memory(table, again) and (again == 1).all()


def test_memory_grows_and_does_not_shrink():
    memory = Workspace()
    for size, held in ((10, 40), (100, 400), (5, 400)):
        assert len(memory.array("table", size, np.float32)) == size
        assert memory.nbytes == held
    memory.array("other", 10, np.int64)
    assert memory.nbytes == 480


def test_a_workspace_is_reused_but_never_lent_to_two_at_once():
    with borrowed_workspace() as first, borrowed_workspace() as second:
        assert second is not first
    with borrowed_workspace() as third:
        assert third in (first, second)


def test_threads_have_workspaces_of_their_own():
    borrowed, together = [], threading.Barrier(3, timeout=120)

    def work():
        with borrowed_workspace() as memory:
            borrowed.append(memory)
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, borrowed))) == 3


def test_at_most_one_workspace_per_processor_is_kept(monkeypatch):
    monkeypatch.setattr(workspace, "available_threads", lambda: 1)
    with borrowed_workspace(), borrowed_workspace():
        pass
    assert len(workspace._idle) == 1


def test_a_very_large_workspace_is_freed(monkeypatch):
    monkeypatch.setattr(workspace, "_KEPT_BYTES", 100)
    with borrowed_workspace() as memory:
        memory.array("table", 101, np.uint8)
    assert workspace._idle == []


def test_a_workspace_is_not_reused_after_an_error():
    with pytest.raises(RuntimeError), borrowed_workspace():
        raise RuntimeError
    assert workspace._idle == []
