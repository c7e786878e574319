"""The classifiers that the FCN paper compares as FCN-32s (Long et al., CVPR 2015, table 1).

    python benchmarks/fcn_classifiers.py [--size=500] [--rounds=5] [--backbone=resnet50]

Parameters, without those of the upsampling, receptive field, stride and number of convolutions on
the longest path come from the networks themselves, by arithmetic over their graphs. The times are
medians of one forward pass; the networks take turns. In brackets are the paper's figures, whose
times are those of its GPU. The paper's receptive field of GoogLeNet is that of the classifier, with
the average pooling of 7x7 cells that its FCN loses: it is the last row.
"""

import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from tqdm import tqdm

from benchmarks.fcn_arithmetic import arithmetic
from benchmarks.timing import timed
from deeplab_tf import build_fcn
from deeplab_tf.models.caffe_backbones import GoogLeNet
from deeplab_tf.models.receptive_field import receptive_field

FLAGS = flags.FLAGS
flags.DEFINE_integer("size", 500, "Side of the images in pixels.", lower_bound=33)
flags.DEFINE_integer("rounds", 5, "Forward passes of each network.", lower_bound=1)
flags.DEFINE_multi_string("backbone", [], "Further networks to compare; see build_fcn.")

COLUMNS = ("FCN-32s", "mean IU", "ms", "convolutions", "parameters", "receptive field", "stride")
WIDTHS = (14, 10, 16, 16, 24, 20, 8)
PUBLISHED = {  # mean IU, ms, convolutions, parameters and receptive field
    "alexnet": ("39.8", 50, 8, "57M", 355),
    "vgg16": ("56.0", 210, 16, "134M", 404),
    "googlenet": ("42.5", 59, 22, "6M", 907),
}


def forward(model, images):
    """A function that times one forward pass; it was called once before."""
    run = tf.function(lambda x: model(x, training=False))
    run(images)
    return lambda: timed(lambda: run(images).numpy())[1]["seconds"]


def print_row(cells):
    """Print one line of the table."""
    pairs = zip(cells, WIDTHS, strict=True)
    print("".join(str(cell).ljust(width) for cell, width in pairs).rstrip(), flush=True)


def main(_):
    """Print the table."""
    models = {name: build_fcn(name, 32, weights=None) for name in (*PUBLISHED, *FLAGS.backbone)}
    shape = (1, FLAGS.size, FLAGS.size, 3)
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), tf.float32)
    runs = {name: forward(model, images) for name, model in models.items()}
    seconds = {name: [] for name in models}
    for _ in tqdm(range(FLAGS.rounds), unit="round", leave=False):
        for name, run in runs.items():
            seconds[name].append(run())
    print(f"images of {FLAGS.size}x{FLAGS.size} pixels, one at a time\n")
    print_row(COLUMNS)
    for name, model in models.items():
        score, *paper = PUBLISHED.get(name, ("", "", "", "", ""))
        found = [f"{1000 * statistics.median(seconds[name]):.0f}", *arithmetic(model)]
        cells = [f"{a} ({b})" if b else a for a, b in zip(found, [*paper, ""], strict=True)]
        print_row([name, f"({score})" if score else "", *cells])
    classifier = GoogLeNet(include_top=False)
    pooled = keras.layers.AveragePooling2D(7, strides=1)(classifier.output)
    field = receptive_field(classifier, pooled).size
    print_row(["with pooling", "", "", "", "", f"{field} ({PUBLISHED['googlenet'][-1]})", 32])


if __name__ == "__main__":
    app.run(main)
