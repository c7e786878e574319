"""What a call takes; needs only the standard library, so that every worker can import it."""

import time


def timed(run):
    """The result, and {"seconds", "processor"}, of a call."""
    start, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
    }
