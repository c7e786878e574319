"""Measures as one worker of benchmarks/distributed_scaling.py; the chief prints JSON.

    python -m benchmarks.distributed_scaling_worker BACKBONE CROP_SIZE BATCH_SIZE STEPS STRATEGY

STRATEGY: none, or multi_worker with TF_CONFIG.
"""

import json
import os
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from deeplab_tf import build_deeplab
from deeplab_tf.distribute.cluster import read_cluster
from deeplab_tf.distribute.strategy import make_strategy, sum_over_workers, worker
from deeplab_tf.training.freezing import synchronize_bn
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep

FLOATS = 1_000, 100_000, 1_000_000, 4_000_000  # of the vectors that are added up
REPEATS, WARM_UP = 9, 3
CLASSES = 21


def step_seconds(strategy, backbone, side, batch, steps):
    """Seconds of each training step, and the bytes of the gradients."""
    with strategy.scope():
        model = build_deeplab(backbone, "large_fov", CLASSES, weights=None)
        optimizer = LayerwiseSGD(1e-3)
        optimizer.build(model.trainable_variables)
        if strategy.num_replicas_in_sync > 1:
            synchronize_bn(model)
        update = TrainStep(model, optimizer, ScoreMapObjective(), strategy)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (batch, side, side, 3)), tf.float32)
    labels = tf.constant(rng.integers(0, CLASSES, (batch, side, side)), tf.uint8)
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        float(update(images, labels)[0])
        seconds.append(time.perf_counter() - start)
    size = sum(4 * int(np.prod(variable.shape)) for variable in model.trainable_variables)
    return seconds[WARM_UP:], size


def reduction_seconds(strategy, floats):
    """The median time of an all-reduce of a vector."""
    values, seconds = np.ones(floats, np.float32), []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        sum_over_workers(strategy, values)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def main(backbone, side, batch, steps, name):
    """Measure as one of the workers."""
    index = read_cluster().index if name == "multi_worker" else 0
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})  # before TensorFlow starts its threads
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = make_strategy(name)
    count = worker(strategy)[1]
    steps, size = step_seconds(strategy, backbone, int(side), int(batch), int(steps))
    found = {"steps": steps, "gradient_bytes": size}
    if count > 1:
        found["reductions"] = {4 * n: reduction_seconds(strategy, n) for n in FLOATS}
    if index == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
