"""Runs one of this package's networks for the benchmarks; torch_worker.py describes its protocol.

It runs what the commands run: the fused network, with weights that are prepared once, and the step
of the training loop.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf import build_deeplab, fuse
from deeplab_tf.models.fast.prepared import PreparedWeights
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.freezing import freeze_bn
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep

NUM_CLASSES = 21
# Backbone, head, and output stride.
PUBLISHED = {
    "vgg16_large_fov": ("vgg16", "large_fov", 8),
    "resnet101_aspp_l": ("resnet101", "aspp_l", 8),
}
DEPTHWISE = {
    f"{backbone}_{stride}": (backbone, "large_fov", stride)
    for backbone in ("mobilenetv2", "mobilenetv3small", "efficientnetlite0")
    for stride in (8, 16)
}
# What LargeFOV made smaller, and its head with as many filters as before.
WIDE = {
    "vgg16_7x7": ("vgg16", "7x7", 8),
    "vgg16_large_fov_4096": ("vgg16", "large_fov", 8),
}
FILTERS = {"vgg16_large_fov_4096": 4096}
NETWORKS = {**PUBLISHED, **DEPTHWISE, **WIDE}


def build(name, input_shape=(None, None, 3)):
    """Build a network of `NETWORKS` with random weights."""
    backbone, head, stride = NETWORKS[name]
    return build_deeplab(
        backbone, head, NUM_CLASSES, stride, weights=None, input_shape=input_shape,
        fc_channels=FILTERS.get(name),
    )  # fmt: skip


def count_parameters(network):
    """Number of parameters, without those of the images' normalization, which peers lack."""
    normalizations = [x for x in network.layers if isinstance(x, keras.layers.Normalization)]
    return network.count_params() - sum(layer.count_params() for layer in normalizations)


def build_for(job):
    """Build the network of a job, in its precision."""
    precision = {"bfloat16": "mixed_bfloat16"}.get(job["precision"], job["precision"])
    return build_with_precision(lambda: build(job["network"]), precision)[0]


def inference(job):
    """The network of a job, and a function that always scores the same batch."""
    network = build_for(job)
    images = tf.constant(random_images(job))
    fused = fuse(network)
    prepared = PreparedWeights(fused)
    weights = prepared.compute()

    @tf.function
    def score():
        with prepared.used(weights):
            return fused(images, training=False)

    return network, lambda: score().numpy()


def training(job):
    """The network of a job, and a function that makes a training step, always on one batch."""
    network = build_for(job)
    if job["network"] in PUBLISHED:
        freeze_bn(network)
    optimizer = LayerwiseSGD(1e-3)
    optimizer.build(network.trainable_variables)
    objective = ScoreMapObjective(NETWORKS[job["network"]][2])
    step = TrainStep(network, optimizer, objective, tf.distribute.get_strategy())
    images = tf.constant(random_images(job))
    labels = np.random.default_rng(1).integers(NUM_CLASSES, size=images.shape[:3])
    labels = tf.constant(labels, tf.uint8)
    return network, lambda: float(step(images, labels)[0])


def random_images(job):
    """Noise images, (B, size, size, 3) float32, 0..255."""
    shape = (job["batch_size"], job["size"], job["size"], 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def write(message):
    """Write a line of JSON."""
    print(json.dumps(message), flush=True)


def main():
    """Read the job, then answer requests until the input ends."""
    job = json.loads(sys.stdin.readline())
    clock = time.process_time if job["processor_time"] else time.perf_counter
    if job["processor_time"]:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    network, run = {"inference": inference, "train": training}[job["task"]](job)
    run()
    run()
    write({"parameters": count_parameters(network), "layout": "channels_last"})
    for line in sys.stdin:
        start, done = clock(), 0
        while not done or clock() - start < json.loads(line):
            run()
            done += 1
        write((clock() - start, done))
    write({"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


if __name__ == "__main__":
    main()
