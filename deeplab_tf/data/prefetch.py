"""A stream of results that threads compute in advance."""

import collections
from concurrent.futures import ThreadPoolExecutor

from crf.threads import available_threads


def prefetch_map(function, items, workers=None, ready=2, weigh=None):
    """Yield function(item) for each item, in order, computed in advance by threads.

    The threads are Python's, not tf.data's: if Python's garbage collector runs in a tf.data thread
    and deletes the thread's own data set, the thread deadlocks.

    Args:
      function: may be called by several threads at once; an exception is raised in place of the
        result.
      items: iterable, which may be endless; it is read as results are taken.
      workers: number of threads; None: one per processor.
      ready: number of results that are held in addition to those being computed.
      weigh: function from an item to the number of threads that it counts as, for items that
        need more memory or start threads themselves; None: each counts as one.

    Yields:
      The results.

    Example:
      >>> squares = prefetch_map(slow_square, itertools.count(3))
      >>> next(squares), next(squares)
      (9, 16)
    """
    workers = workers or available_threads()
    pool, coming, held = ThreadPoolExecutor(workers), collections.deque(), 0
    try:
        for item in items:
            weight = weigh(item) if weigh else 1
            while coming and held + weight > workers + ready:
                result, freed = coming.popleft()
                yield result.result()
                held -= freed
            coming.append((pool.submit(function, item), weight))
            held += weight
        while coming:
            yield coming.popleft()[0].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
