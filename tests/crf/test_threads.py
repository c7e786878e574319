import os
import threading
from itertools import pairwise

import numpy as np
import pytest
from numba import njit

from crf import dense_crf, refine
from crf.threads import ThreadTeam, available_threads, limit_threads, processor_share

THREADS = [1, 2, 3, 7]


@njit(nogil=True)
def fill_squares(low, high, squares):
    for i in range(low, high):
        squares[i] += i * i
    return high - low


@njit(nogil=True)
def fail_from(low, high, limit):
    if high > limit:
        raise ValueError("beyond the limit")
    return low


def sizes(parts):
    return [high - low for low, high in parts]


def assert_covers(parts, size):
    assert parts[0][0] == 0 and parts[-1][1] == size
    assert all(before[1] == after[0] for before, after in pairwise(parts))


@pytest.mark.parametrize(
    ("threads", "size", "expected"),
    [
        (1, 10, [(0, 10)]),
        (2, 10, [(0, 5), (5, 10)]),
        (3, 10, [(0, 3), (3, 6), (6, 10)]),
        (4, 2, [(0, 0), (0, 1), (1, 1), (1, 2)]),
    ],
)
def test_split_by_hand(threads, size, expected):
    with ThreadTeam(threads) as team:
        assert team.split(size) == expected


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("size", [0, 1, 2, 20, 1001])
def test_split_gives_equal_sizes_up_to_one(threads, size):
    with ThreadTeam(threads) as team:
        parts = team.split(size)
    assert len(parts) == threads
    assert_covers(parts, size)
    assert max(sizes(parts)) - min(sizes(parts)) <= 1


def test_several_parts_per_thread():
    with ThreadTeam(2) as team:
        assert team.split(8, per_thread=2) == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_split_evenly_by_hand():
    # Items of work 1, 1, 1, 1 and 4: the first four are half of the total.
    with ThreadTeam(2) as team:
        assert team.split_evenly(np.array([0, 1, 2, 3, 4, 8])) == [(0, 4), (4, 5)]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("work", [[], [5], [0] * 3, [3, 0, 0], [100, 1, 1, 1], list(range(50))])
def test_split_evenly_covers_every_item_with_about_equal_work(threads, work):
    starts = np.concatenate([[0], np.cumsum(work)]).astype(np.int64)
    with ThreadTeam(threads) as team:
        parts = team.split_evenly(starts)
    assert len(parts) == threads and min(sizes(parts)) >= 0
    assert_covers(parts, len(work))
    loads = [starts[high] - starts[low] for low, high in parts]
    assert max(loads) <= sum(work) / threads + max(work, default=0) + 1


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_run_executes_every_part_once_and_returns_results_in_order(threads, size):
    squares = np.zeros(size, np.int64)
    with ThreadTeam(threads) as team:
        parts = team.split(size)
        results = team.run(fill_squares, parts, squares)
    np.testing.assert_array_equal(squares, np.arange(size) ** 2)
    assert results == sizes(parts)


@pytest.mark.parametrize("threads", THREADS)
def test_run_calls_takes_more_or_fewer_calls_than_threads(threads):
    for count in (0, 1, 2, 40):
        with ThreadTeam(threads) as team:
            results = team.run_calls(lambda i: i**2, [(i,) for i in range(count)])
        assert results == [i**2 for i in range(count)]


@pytest.mark.parametrize("threads", [2, 3])
def test_calls_run_in_parallel(threads):
    # Each call waits for all the others; one after the other they would wait until the timeout.
    meeting = threading.Barrier(threads, timeout=120)
    with ThreadTeam(threads) as team:
        workers = team.run_calls(lambda: (meeting.wait(), threading.get_ident())[1], [()] * threads)
    assert len(set(workers)) == threads
    assert threading.get_ident() in workers


def test_a_team_of_one_uses_the_calling_thread():
    with ThreadTeam(1) as team:
        workers = team.run_calls(threading.get_ident, [()] * 5)
    assert set(workers) == {threading.get_ident()}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("limit", [0, 50, 99])
def test_exceptions_of_a_kernel_reach_the_caller(threads, limit):
    with ThreadTeam(threads) as team:
        with pytest.raises(ValueError, match="beyond the limit"):
            team.run(fail_from, team.split(100), limit)
        # The team still works.
        lows = [low for low, _ in team.split(100)]
        assert team.run(fail_from, team.split(100), 100) == lows


def test_an_exception_waits_for_the_other_threads():
    # The calling thread fails while the other still writes to its arrays; the exception must not
    # be raised before that is over.
    caller, writing, failing = threading.get_ident(), threading.Event(), threading.Event()
    finished = []

    def kernel(_):
        if threading.get_ident() == caller:
            assert writing.wait(120)
            failing.set()
            raise ValueError("failed")
        writing.set()
        assert failing.wait(120)
        threading.Event().wait(0.2)
        finished.append(True)

    with ThreadTeam(2) as team:
        with pytest.raises(ValueError, match="failed"):
            team.run_calls(kernel, [(0,), (1,)])
        assert finished == [True]


def test_after_an_exception_no_other_call_begins():
    begun, drained, both = [], threading.Event(), threading.Barrier(2)

    class Remaining:
        """Iterates over the calls, and tells when none is left."""

        def __init__(self, calls):
            self._calls = iter(calls)

        def __iter__(self):
            return self

        def __next__(self):
            try:
                return next(self._calls)
            except StopIteration:
                drained.set()
                raise

    class Calls(list):
        def __iter__(self):
            return Remaining(super().__iter__())

    def kernel(number):
        begun.append(number)
        both.wait(20)
        if number == 0:
            raise ValueError("failed")
        assert drained.wait(20)

    with ThreadTeam(2) as team, pytest.raises(ValueError, match="failed"):
        team.run_calls(kernel, Calls((number,) for number in range(9)))
    assert sorted(begun) == [0, 1]


def test_threads_end_with_the_context():
    before = set(threading.enumerate())
    with ThreadTeam(4) as team:
        team.run_calls(threading.get_ident, [()] * 8)
    assert set(threading.enumerate()) <= before


def test_a_team_uses_all_processors_by_default():
    with ThreadTeam() as team:
        assert team.num_threads == available_threads()
    assert 1 <= available_threads() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_only_processors_that_this_process_may_use_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    "run", [refine, lambda p, i, **options: dense_crf(p[None], i[None], engine="numba", **options)]
)
def test_one_thread_means_that_no_other_is_started(run, monkeypatch):
    given = np.full((4, 5, 2), 0.5, np.float32), np.full((4, 5, 3), 9, np.uint8)
    run(*given, num_threads=1)  # TensorFlow starts threads of its own when it is first used
    monkeypatch.setattr("crf.threads.available_threads", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    run(*given, num_threads=1)


def test_a_process_may_be_limited_to_a_part_of_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    try:
        assert (available_threads(), processor_share()) == (8, 1)
        limit_threads(2)
        assert (available_threads(), processor_share()) == (2, 0.25)
        assert ThreadTeam().num_threads == 2
        limit_threads(20)
        assert (available_threads(), processor_share()) == (8, 1)
    finally:
        limit_threads(None)
    assert available_threads() == 8
