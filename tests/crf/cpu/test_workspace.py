import threading

import numpy as np
import pytest

from crf.cpu import workspace
from crf.cpu.workspace import FreshMemory, Workspace, borrowed_workspace


@pytest.fixture(autouse=True)
def no_idle_workspaces(monkeypatch):
    monkeypatch.setattr(workspace, "_idle", [])


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
@pytest.mark.parametrize("size", [0, 1, 1000])
@pytest.mark.parametrize("memory", [Workspace(), FreshMemory])
def test_arrays_are_as_asked_for(memory, size, dtype):
    array = memory.array("table", size, dtype)
    assert array.shape == (size,) and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned


def test_one_name_has_one_memory_and_others_have_others():
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


def test_fresh_memory_is_never_the_same():
    arrays = [FreshMemory.array("table", 10, np.float32) for _ in range(2)]
    assert not np.shares_memory(*arrays)


def test_a_workspace_is_lent_again_but_never_to_two_at_once():
    with borrowed_workspace() as first, borrowed_workspace() as second:
        assert second is not first
    with borrowed_workspace() as third:
        assert third in (first, second)


def test_threads_have_workspaces_of_their_own():
    borrowed, together = [], threading.Barrier(3, timeout=30)

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


def test_no_more_are_kept_than_there_are_processors(monkeypatch):
    monkeypatch.setattr(workspace, "available_threads", lambda: 1)
    with borrowed_workspace(), borrowed_workspace():
        pass
    assert len(workspace._idle) == 1


def test_a_very_large_one_is_given_back(monkeypatch):
    monkeypatch.setattr(workspace, "KEPT_BYTES", 100)
    with borrowed_workspace() as memory:
        memory.array("table", 101, np.uint8)
    assert workspace._idle == []


def test_one_that_met_an_error_is_not_lent_again():
    with pytest.raises(RuntimeError), borrowed_workspace():
        raise RuntimeError
    assert workspace._idle == []
