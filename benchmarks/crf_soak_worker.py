"""Refines random scenes with the CRF in several threads, for benchmarks/soak.py.

    python -m benchmarks.crf_soak_worker CALLS THREADS

The sizes change with every call. Most calls are of `crf.refine`, the others of `crf.dense_crf` with
each engine. It prints lines "done CALLS", and one line for every result that is wrong.
"""

import itertools
import os
import random
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from crf import CRFParams, dense_crf, refine

SIDES = 24, 128  # pixels
EXACT_SIDE = 32  # the exact engine needs memory for every pair of pixels


def refined(call):
    """One call; returns what was asked and the (H, W, C) result."""
    draw, rng = random.Random(call), np.random.default_rng(call)
    engine = draw.choice(["refine", "refine", "refine", "numba", "lattice", "exact"])
    most = EXACT_SIDE if engine == "exact" else SIDES[1]
    height, width = draw.randint(SIDES[0], most), draw.randint(SIDES[0], most)
    probabilities = rng.dirichlet(np.ones(draw.randint(2, 21)), (height, width)).astype(np.float32)
    image = rng.integers(0, 256, (height, width, 3), np.uint8) // 4 + 40 * (call % 4)
    image = image.astype(np.uint8)
    params = CRFParams(sigma_alpha=draw.choice([20, 67]), iterations=5)
    if engine == "refine":
        return f"refine of {image.shape}", refine(probabilities, image, params)
    result = dense_crf(probabilities[None], image[None], params, engine=engine)[0].numpy()
    return f"{engine} of {image.shape}", result


def is_right(result):
    """Whether a result holds probabilities."""
    return np.isfinite(result).all() and np.abs(result.sum(-1) - 1).max() < 1e-3


def work(calls, finished):
    """Take the next call until none is left."""
    for call in calls:
        try:
            what, result = refined(call)
            problem = None if is_right(result) else "no probabilities"
        except Exception as error:
            what, problem = "a call", f"{type(error).__name__}: {error}"
        if problem:
            print(f"call {call}, {what}: {problem}", flush=True)
        finished.append(call)


def main(count, workers):
    """Start the threads, and print how far they are."""
    # Under the global lock, `next` of this iterator is safe in several threads.
    calls, finished = itertools.chain(range(count)), []
    threads = [threading.Thread(target=work, args=(calls, finished)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        print(f"done {len(finished)}", flush=True)
        time.sleep(0.1)
    print(f"done {len(finished)}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
