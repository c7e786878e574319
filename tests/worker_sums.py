"""Run as each of several workers: prints who it is and sums over all of them, as JSON."""

import json

import numpy as np

from deeplab_tf.distribution import (
    is_chief,
    make_strategy,
    sum_over_workers,
    wait_for_workers,
    worker,
)

strategy = make_strategy("multi_worker", wait_seconds=60)
index, count = worker(strategy)
confusion = np.array([[index, 1], [2**40, -index]], np.int64)
total = sum_over_workers(strategy, confusion)
fraction = sum_over_workers(strategy, np.float64(0.1))
wait_for_workers(strategy)
print(
    json.dumps(
        {
            "worker": [index, count],
            "chief": is_chief(strategy),
            "total": total.tolist(),
            "dtypes": [str(total.dtype), str(fraction.dtype)],
            "fraction": float(fraction),
        }
    )
)
