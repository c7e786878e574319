"""Threads that share the work of one kernel after another."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np

_limit = []  # of `limit_threads`: one number, or none


class ThreadTeam:
    """A fixed number of threads, including the calling one; a context manager.

    A kernel is a function `kernel(low, high, *arguments)` that releases the GIL and works on one
    part of its task. The threads are Python's own and not those of numba's parallel loops: any
    number of callers may start theirs at the same time, also after a fork.

    Args:
      num_threads: number of threads; None takes as many as this process may use.

    Example:
      >>> with ThreadTeam(2) as team:
      ...     team.run(fill_squares, team.split(len(squares)), squares)
    """

    def __init__(self, num_threads=None):
        self.num_threads = available_threads() if num_threads is None else num_threads
        self._others = ThreadPoolExecutor(max(1, self.num_threads - 1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._others.shutdown()

    def split(self, size, per_thread=1):
        """Equal parts of `range(size)`.

        Args:
          size: number of items.
          per_thread: parts for each thread; if there are several, a delayed thread leaves its
            parts to the others.

        Returns:
          List of (low, high), `num_threads * per_thread` of them; some may be empty.
        """
        return list(pairwise(self._bounds(size, per_thread)))

    def split_evenly(self, starts, per_thread=1):
        """Parts of a list of items that hold about equal amounts of work.

        Args:
          starts: (n + 1,) array, cumulative: the work before each of n items, and the total.
          per_thread: as for `split`.

        Returns:
          List of (low, high), ranges of items.
        """
        bounds = np.searchsorted(starts, self._bounds(int(starts[-1]), per_thread))
        # The last items may have no work, but belong to a part.
        bounds[-1] = len(starts) - 1
        return list(pairwise(bounds.tolist()))

    def _bounds(self, size, per_thread):
        count = self.num_threads * per_thread
        return [size * part // count for part in range(count + 1)]

    def run(self, kernel, parts, *arguments):
        """Run the kernel on every part.

        Args:
          kernel: function of (low, high, *arguments) that releases the GIL.
          parts: list of (low, high), as `split` gives it.
          arguments: the kernel's other arguments.

        Returns:
          List of the results, in the order of the parts.
        """
        return self.run_calls(kernel, [(*part, *arguments) for part in parts])

    def run_calls(self, kernel, calls):
        """Run the kernel once with each tuple of arguments; list of the results in order.

        After an exception no further call begins.
        """
        results = [None] * len(calls)
        waiting = iter(enumerate(calls))

        def work():
            # All threads take calls from this one iterator, which the GIL makes safe.
            for index, call in waiting:
                try:
                    results[index] = kernel(*call)
                except BaseException:
                    deque(waiting, maxlen=0)  # takes the calls that no thread need begin any more
                    raise

        helpers = min(len(calls), self.num_threads) - 1
        pending = [self._others.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            # Even after an error, because the other threads still write to the arrays.
            wait(pending)
        for future in pending:
            future.result()  # raises the thread's exception, if any
        return results


def limit_threads(count):
    """Let this process use at most `count` processors, wherever it would take all; None: all."""
    _limit[:] = [] if count is None else [count]


def available_threads():
    """Number of processors that this process may run on, at most that of `limit_threads`."""
    return min([_processors(), *_limit])


def processor_share():
    """The part of the machine's processors that `limit_threads` leaves to this process, up to 1."""
    return available_threads() / _processors()


def _processors():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
