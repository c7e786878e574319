import os
import threading

import numpy as np
import pytest
from numba import njit

from crf.threads import Crew, available_threads

THREADS = [1, 2, 3, 7]


@njit(nogil=True)
def fill_squares(low, high, squares):
    for place in range(low, high):
        squares[place] += place * place
    return high - low


@njit(nogil=True)
def fail_from(low, high, limit):
    if high > limit:
        raise ValueError("beyond the limit")
    return low


def sizes(bounds):
    return np.diff(bounds).tolist()


@pytest.mark.parametrize(
    ("threads", "size", "expected"),
    [(1, 10, [0, 10]), (2, 10, [0, 5, 10]), (3, 10, [0, 3, 6, 10]), (4, 2, [0, 0, 1, 1, 2])],
)
def test_shares_by_hand(threads, size, expected):
    with Crew(threads) as crew:
        assert crew.shares(size) == expected


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("size", [0, 1, 2, 20, 1001])
def test_shares_are_equal_but_for_one(threads, size):
    with Crew(threads) as crew:
        bounds = crew.shares(size)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, size, threads + 1)
    assert max(sizes(bounds)) - min(sizes(bounds)) <= 1


def test_balanced_by_hand():
    # Tasks of 1, 1, 1, 1 and 4: the first four are half of the work.
    with Crew(2) as crew:
        assert crew.balanced(np.array([0, 1, 2, 3, 4, 8])) == [0, 4, 5]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("work", [[], [5], [0, 0, 0], [100, 1, 1, 1], list(range(50))])
def test_balanced_parts_hold_every_task_once_and_about_as_much_work(threads, work):
    starts = np.concatenate([[0], np.cumsum(work)]).astype(np.int64)
    with Crew(threads) as crew:
        bounds = crew.balanced(starts)
        parts = crew.parts(bounds)
    assert len(parts) == threads and all(low <= high for low, high in parts)
    assert bounds[0] == 0
    # What lies behind the last bound is no work.
    assert starts[bounds[-1]] == starts[-1]
    loads = starts[bounds[1:]] - starts[bounds[:-1]]
    assert loads.max() <= sum(work) / threads + max(work, default=0) + 1


def test_parts_are_neighboring_bounds():
    assert Crew.parts([0, 3, 3, 8]) == [(0, 3), (3, 3), (3, 8)]
    assert Crew.parts([0]) == []


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_run_does_every_part_once_and_gives_results_in_their_order(threads, size):
    squares = np.zeros(size, np.int64)
    with Crew(threads) as crew:
        bounds = crew.shares(size)
        results = crew.run(fill_squares, bounds, squares)
    np.testing.assert_array_equal(squares, np.arange(size) ** 2)
    assert results == sizes(bounds)


@pytest.mark.parametrize("threads", THREADS)
def test_run_each_takes_more_and_fewer_calls_than_threads(threads):
    for count in (0, 1, 2, 40):
        with Crew(threads) as crew:
            results = crew.run_each(lambda place: place**2, [(place,) for place in range(count)])
        assert results == [place**2 for place in range(count)]


@pytest.mark.parametrize("threads", [2, 3])
def test_the_parts_run_at_once(threads):
    # Each part waits for all others: one after another they would wait for ever.
    meeting = threading.Barrier(threads, timeout=30)
    with Crew(threads) as crew:
        workers = crew.run_each(lambda: (meeting.wait(), threading.get_ident())[1], [()] * threads)
    assert len(set(workers)) == threads
    assert threading.get_ident() in workers


def test_one_thread_is_the_calling_one():
    with Crew(1) as crew:
        workers = crew.run_each(threading.get_ident, [()] * 5)
    assert set(workers) == {threading.get_ident()}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("limit", [0, 50, 99])
def test_exceptions_of_a_kernel_reach_the_caller(threads, limit):
    with Crew(threads) as crew:
        with pytest.raises(ValueError, match="beyond the limit"):
            crew.run(fail_from, crew.shares(100), limit)
        # The crew works on.
        assert crew.run(fail_from, crew.shares(100), 100) == crew.shares(100)[:-1]


def test_an_exception_leaves_no_thread_at_work():
    # The calling thread fails at once, while the other is still writing: nobody may use the
    # arrays again before that is over.
    started, at_work = threading.Event(), threading.Event()

    def kernel(fails):
        if fails:
            started.wait(30)
            raise ValueError("failed")
        at_work.set()
        started.set()
        threading.Event().wait(0.2)
        at_work.clear()

    caller = threading.get_ident()

    def by_thread(_):
        kernel(fails=threading.get_ident() == caller)

    with pytest.raises(ValueError, match="failed"), Crew(2) as crew:
        crew.run_each(by_thread, [(0,), (1,)])
    assert started.is_set() and not at_work.is_set()


def test_threads_end_with_the_context():
    before = threading.active_count()
    with Crew(4) as crew:
        crew.run_each(threading.get_ident, [()] * 8)
    assert threading.active_count() == before


def test_all_processors_are_taken_unless_told_otherwise():
    with Crew() as crew:
        assert crew.num_threads == available_threads()
    assert 1 <= available_threads() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_only_the_processors_of_this_process_count():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)
