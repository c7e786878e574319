"""The time of a training step with the CRF: on the lattice, with the exact filter, and without.

    python benchmarks/crf_training.py [--data_dir=CAMVID] [--exact_up_to=121] [--short]

The network of configs/camvid_small.flags, on square crops of the sizes --crops, with five unrolled
mean field iterations as in configs/camvid_small_crf.flags. The crops are random parts of --batches
times --batch_size training images of --data_dir, spread over its list, with their labels; without
a data set, a drawn image with random labels of 11 classes. Each step is a forward pass, a backward
pass and an update of the network's and the CRF's variables. The exact filter sums over all pairs of
pixels, forwards and backwards, so it runs on crops of up to --exact_up_to pixels.

The steps take turns, each on all batches, --rounds times; the best round counts, and the table has
its time for one step: wall-clock time, and in brackets processor time. Each crop size has a process
of its own; one that fails, or that the system kills, is reported in its row.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks.crf_scenes import drawn_image
from benchmarks.timing import take_turns, timed
from benchmarks.worker import run_alone
from crf import CRFParams
from deeplab_tf import build_deeplab
from deeplab_tf.data.augment import Change
from deeplab_tf.data.crops import Cropper
from deeplab_tf.data.voc import read_encoding, read_label_set, read_split
from deeplab_tf.models.with_crf import with_crf
from deeplab_tf.training.losses import ProbabilityObjective, ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep

FLAGS = flags.FLAGS

flags.DEFINE_string("data_dir", None, "Data set in VOC layout, whose training images are used.")
flags.DEFINE_list("crops", ["61", "121", "241"], "Sides of the crops in pixels.")
flags.DEFINE_integer("exact_up_to", 121, "Largest crop for the exact filter.")
flags.DEFINE_integer("batch_size", 1, "Crops in a batch.", lower_bound=1)
flags.DEFINE_integer("batches", 4, "Batches of crops of a data set.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Turns of each step; the best one counts.", lower_bound=1)
flags.DEFINE_bool("short", False, "One small crop, to try the script.")
flags.DEFINE_integer("case", None, "Used by the script itself: the crop to measure.")

STRIDE = 8
NUM_CLASSES = 11  # of the random labels
ENGINES = (None, "lattice", "exact")  # None: the network alone
PARAMS = CRFParams(sigma_alpha=30, sigma_beta=10, iterations=5)


def training_step(engine, num_classes):
    """A `TrainStep` of the network alone, if the engine is None, or with the CRF."""
    model = build_deeplab("mobilenetv3small", "large_fov", num_classes, STRIDE, weights=None)
    objective = ScoreMapObjective(STRIDE)
    if engine:
        model, objective = with_crf(model, PARAMS, trainable=True), ProbabilityObjective()
        model.get_layer("crf").engine = engine
    optimizer = LayerwiseSGD(1e-4)
    optimizer.build(model.trainable_variables)
    return TrainStep(model, optimizer, objective, tf.distribute.get_strategy())


def drawn_batch(crop):
    """Images (B, crop, crop, 3) float32 and labels (B, crop, crop) uint8, a list of one batch."""
    image = drawn_image(crop, crop, grain=2).astype(np.float32)
    labels = np.random.default_rng(0).integers(NUM_CLASSES, size=(FLAGS.batch_size, crop, crop))
    return [(tf.constant(np.stack([image] * FLAGS.batch_size)), tf.constant(labels, tf.uint8))]


def batches_of(data_dir, crop):
    """The batches of a data set, a list of pairs as those of `drawn_batch`."""
    cropper = Cropper(read_label_set(data_dir).num_classes, read_encoding(data_dir))
    examples, rng = read_split(data_dir, "train"), np.random.default_rng(0)
    count = FLAGS.batches * FLAGS.batch_size
    images = np.empty((count, crop, crop, 3), np.float32)
    labels = np.empty((count, crop, crop), np.uint8)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        change = Change(np.float32(1), rng.random(2, np.float32), mirrored=False)
        cropper.write(examples[number * len(examples) // count], None, change, image, label)
    parts = zip(np.split(images, FLAGS.batches), np.split(labels, FLAGS.batches), strict=True)
    return [(tf.constant(image), tf.constant(label)) for image, label in parts]


def measure(crop, engines):
    """The {"seconds", "processor"} of a step on crops of this size, {engine: spent}."""
    data_dir = FLAGS.data_dir
    batches = batches_of(data_dir, crop) if data_dir else drawn_batch(crop)
    num_classes = read_label_set(data_dir).num_classes if data_dir else NUM_CLASSES

    def run(step):
        return [float(step(*batch)[0]) for batch in batches]

    steps = {engine: training_step(engine, num_classes) for engine in engines}
    for step in steps.values():
        run(step)  # traces and compiles
    runs = {engine: partial(timed, partial(run, step)) for engine, step in steps.items()}
    best = take_turns(runs, FLAGS.rounds)[0]
    return {
        engine: {name: value / len(batches) for name, value in spent.items()}
        for engine, spent in best.items()
    }


def measure_alone(crop):
    """`measure` in a new process; a text instead that says why, if it fails."""
    names = "exact_up_to", "batch_size", "batches", "rounds"
    given = {name: FLAGS[name].value for name in names} | {"case": crop}
    if FLAGS.data_dir:
        given["data_dir"] = FLAGS.data_dir
    return run_alone(__file__, given)


def main(_):
    """Print the table."""
    if FLAGS.case:
        best = measure(FLAGS.case, ENGINES if FLAGS.case <= FLAGS.exact_up_to else ENGINES[:-1])
        print(json.dumps([best.get(engine) for engine in ENGINES]))
        return
    columns = "network alone, ms", "with the CRF, ms", "exact filter, ms"
    columns = *columns, "CRF / alone", "exact / CRF"
    print(f"{'crop':>6}" + "".join(f"{column:>20}" for column in columns))
    for crop in [33] if FLAGS.short else map(int, FLAGS.crops):
        found = measure_alone(crop)
        if isinstance(found, str):
            print(f"{crop:6}   failed: {found}", flush=True)
            continue
        alone, lattice, exact = found
        cells = [cell(spent, {"seconds": 1e-3, "processor": 1e-3}, 0) for spent in found]
        cells += [cell(lattice, alone, 2), cell(exact, lattice, 2)]
        print(f"{crop:6}" + "".join(f"{text:>20}" for text in cells), flush=True)


def cell(spent, unit, digits):
    """What was spent, in a unit, as text: wall-clock time, and in brackets processor time."""
    if spent is None:
        return "skipped"
    wall, processor = (spent[name] / unit[name] for name in ("seconds", "processor"))
    return f"{wall:.{digits}f} ({processor:.{digits}f})"


if __name__ == "__main__":
    app.run(main)
