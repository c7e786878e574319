"""A stream whose elements threads make in advance."""

import collections
from concurrent.futures import ThreadPoolExecutor

from crf.cpu.crew import available_threads

# More share one interpreter to little avail.
MOST_WORKERS = 8


def made_ahead(make, start, ready=2):
    """Yield make(start), make(start + 1), ... without end, each made by a thread in advance.

    The threads are Python's own, and not tf.data's: one of those that runs Python code may find
    itself to be what collects the data set it belongs to, which then waits for itself for ever.

    Args:
      make: function from a number to an element, which may be called by several threads at once;
        what it raises is raised in its element's place.
      start: the first number.
      ready: how many elements are held beside those that are being made.

    Yields:
      The elements in order.

    Example:
      >>> itertools.islice(made_ahead(slow_square, 3), 2)  # 9, 16
    """
    workers = min(available_threads(), MOST_WORKERS)
    pool, coming, number = ThreadPoolExecutor(workers), collections.deque(), start
    try:
        while True:
            while len(coming) < workers + ready:
                coming.append(pool.submit(make, number))
                number += 1
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
