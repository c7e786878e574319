"""The dilated convolution of `AtrousConv2D` against Keras's own, forward and with gradients.

    python benchmarks/dilated_convolution.py

Prints the median time of each and the ratio of Keras's to ours; the two take turns in one run.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import keras
import tensorflow as tf

from deeplab_tf.models.atrous_layers import AtrousConv2D, native_dilation_works

# (map side, channels in, channels out, rate): conv5, fc6 of LargeFOV, a branch of ASPP-L.
CASES = [(41, 512, 512, 2), (41, 512, 1024, 12), (41, 2048, 21, 24)]
ROUNDS = 7


def make_runs(layer, x):
    """Compile the layer's forward pass, and the same with the gradients of a training step."""

    @tf.function
    def forward():
        return layer(x)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, [x, layer.kernel.value])

    return {"forward": forward, "with gradients": train}


def seconds(run):
    """Seconds that one call takes."""
    start = time.perf_counter()
    tf.nest.map_structure(lambda y: y.numpy(), run())
    return time.perf_counter() - start


def main():
    """Print the table."""
    print(f"native dilation has gradients here: {native_dilation_works()}")
    print(f"{'case':28}{'pass':16}{'Keras ms':>10}{'ours ms':>10}{'ratio':>8}")
    for side, channels, filters, rate in CASES:
        x = tf.random.normal((2, side, side, channels))
        arguments = {"kernel_size": 3, "dilation_rate": rate, "padding": "same"}
        layers = [kind(filters, **arguments) for kind in (keras.layers.Conv2D, AtrousConv2D)]
        theirs, ours = (make_runs(layer, x) for layer in layers)
        name = f"{side}x{side} {channels}-{filters} rate {rate}"
        for kind in theirs:
            pairs = [(seconds(theirs[kind]), seconds(ours[kind])) for _ in range(ROUNDS)][2:]
            a, b = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(p / q for p, q in pairs)
            print(f"{name:28}{kind:16}{a:10.1f}{b:10.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
