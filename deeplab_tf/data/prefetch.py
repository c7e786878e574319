"""A stream of results that threads compute in advance."""

import collections
from concurrent.futures import ThreadPoolExecutor

from crf.threads import available_threads


def computed_ahead(function, items, workers=None, ready=2, weigh=None):
    """Yield function(item) for each item, in their order, computed by threads in advance.

    The threads are Python's own, and not tf.data's: one of those that runs Python code may find
    itself to be what collects the data set it belongs to, which then waits for itself for ever.

    Args:
      function: may be called by several threads at once; what it raises is raised in its
        result's place.
      items: iterable, which may be endless; it is read as results are asked for.
      workers: number of threads; None takes as many as there are processors.
      ready: how many results are held beside those that are being computed.
      weigh: function from an item to how many of the threads it stands for, where some items
        take more memory or start threads of their own; None: one each.

    Yields:
      The results.

    Example:
      >>> squares = computed_ahead(slow_square, itertools.count(3))
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
