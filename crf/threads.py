"""Threads that share the work of one kernel after another."""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np


class Crew:
    """A number of threads, the calling one among them; a context manager.

    Kernels are nogil functions `kernel(low, high, *arguments)`, which work on one part of their
    task. Threads of Python's own rather than those of numba's parallel loops: they may be
    started by any number of callers at once, and after a fork.

    Args:
      num_threads: number of threads; None takes as many as this process may use.

    Example:
      >>> with Crew(2) as crew:
      ...     crew.run(fill_squares, crew.shares(len(squares)), squares)
    """

    def __init__(self, num_threads=None):
        self.num_threads = available_threads() if num_threads is None else num_threads
        self._others = ThreadPoolExecutor(max(1, self.num_threads - 1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._others.shutdown()

    def shares(self, size, each=1):
        """Bounds of equal parts of `range(size)`.

        Args:
          size: number of tasks.
          each: parts for each thread; with more than one, a thread that is held up leaves
            parts to the others.
        """
        count = self.num_threads * each
        return [size * part // count for part in range(count + 1)]

    def balanced(self, starts, each=1):
        """Bounds of parts of a task list that hold about as much work each.

        Args:
          starts: (n + 1,) how much work lies before each of n tasks, and in all.
          each: as for `shares`.
        """
        return np.searchsorted(starts, self.shares(int(starts[-1]), each)).tolist()

    @staticmethod
    def parts(bounds):
        """Pairs (low, high) of neighboring bounds."""
        return list(pairwise(bounds))

    def run(self, kernel, bounds, *arguments):
        """Run the kernel on every part at once; its results, part after part.

        Args:
          kernel: nogil function of (low, high, *arguments).
          bounds: where the parts begin, and the end of the last.
          arguments: what the kernel takes besides.
        """
        return self.run_each(kernel, [(*part, *arguments) for part in self.parts(bounds)])

    def run_each(self, kernel, calls):
        """Run the kernel once with each tuple of arguments; the results in their order."""
        results = [None] * len(calls)
        waiting = iter(enumerate(calls))

        def work():
            for place, call in waiting:
                results[place] = kernel(*call)

        helpers = min(len(calls), self.num_threads) - 1
        pending = [self._others.submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            wait(pending)
        for future in pending:
            future.result()
        return results


def available_threads():
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
