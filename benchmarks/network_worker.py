"""Runs one of this package's networks for the benchmarks; jobs and answers as torch_worker.py's.

What is run is what the tools run: the network as they call it, and the training loop's own step.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Looked for beside this script, the package would not be found.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import tensorflow as tf

from deeplab_tf import build_deeplab
from deeplab_tf.models.fast.fuse import fused_call
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.batch_norm import freeze_bn
from deeplab_tf.training.objectives import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep

NUM_CLASSES, OUTPUT_STRIDE = 21, 8
NETWORKS = {
    "vgg16_large_fov": ("vgg16", "large_fov"),
    "resnet101_aspp_l": ("resnet101", "aspp_l"),
}


def build(name, input_shape=(None, None, 3)):
    """A network of `NETWORKS` with random weights."""
    return build_deeplab(
        *NETWORKS[name], NUM_CLASSES, OUTPUT_STRIDE, weights=None, input_shape=input_shape
    )


def build_to_train(job):
    """The network, in the precision of the job."""
    precision = {"bfloat16": "mixed_bfloat16"}.get(job["precision"], job["precision"])
    return build_with_precision(lambda: build(job["network"]), precision)[0]


def inference(job):
    """The network, and a function that scores the same batch."""
    network = build_to_train(job)
    images = tf.constant(random_images(job))

    @tf.function
    def score():
        return fused_call(network, images)

    return network, lambda: score().numpy()


def training(job):
    """The network, and a function that makes one step from the same batch."""
    network = build_to_train(job)
    freeze_bn(network)
    optimizer = LayerwiseSGD(1e-3)
    optimizer.build(network.trainable_variables)
    objective = ScoreMapObjective(OUTPUT_STRIDE)
    step = TrainStep(network, optimizer, objective, tf.distribute.get_strategy())
    images = tf.constant(random_images(job))
    labels = np.random.default_rng(1).integers(NUM_CLASSES, size=images.shape[:3])
    labels = tf.constant(labels, tf.uint8)
    return network, lambda: float(step(images, labels)[0])


def random_images(job):
    """Images of noise, (B, size, size, 3) float32, 0 to 255."""
    shape = (job["batch_size"], job["size"], job["size"], 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def say(message):
    """Write a line of JSON."""
    print(json.dumps(message), flush=True)


def main():
    """Answer until the input ends."""
    job = json.loads(sys.stdin.readline())
    network, run = {"inference": inference, "train": training}[job["task"]](job)
    run()
    run()
    say({"parameters": network.count_params(), "layout": "channels_last"})
    for line in sys.stdin:
        start, done = time.perf_counter(), 0
        while not done or time.perf_counter() - start < json.loads(line):
            run()
            done += 1
        say((time.perf_counter() - start, done))
    say({"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


if __name__ == "__main__":
    main()
