"""The time of a training step with the CRF: on the lattice, with the exact filter, and without.

    python benchmarks/crf_training.py [--crops=61,121,241] [--exact_up_to=121] [--short]

The network of configs/camvid_small.flags and 11 classes, on square crops, with five unrolled mean
field iterations as in configs/camvid_small_crf.flags. Each step is a forward pass, a backward pass
and an update of the network's and the CRF's variables. The exact filter sums over all pairs of
pixels, forwards and backwards, so it runs on crops of up to --exact_up_to pixels. The steps take
turns, --rounds times; the best counts. Wall-clock time, and in brackets processor time. Each crop
size has a process of its own; one that fails, or that the system kills, is reported in its row.
"""

import json
import os
import sys
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
from deeplab_tf.models.with_crf import with_crf
from deeplab_tf.training.losses import ProbabilityObjective, ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.step import TrainStep

FLAGS = flags.FLAGS

flags.DEFINE_list("crops", ["61", "121", "241"], "Sides of the crops in pixels.")
flags.DEFINE_integer("exact_up_to", 121, "Largest crop for the exact filter.")
flags.DEFINE_integer("batch_size", 1, "Crops in a batch.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Turns of each step; the best one counts.", lower_bound=1)
flags.DEFINE_bool("short", False, "One small crop, to try the script.")
flags.DEFINE_integer("case", None, "Used by the script itself: the crop to measure.")

NUM_CLASSES, STRIDE = 11, 8
ENGINES = (None, "lattice", "exact")  # None: the network alone
PARAMS = CRFParams(sigma_alpha=30, sigma_beta=10, iterations=5)


def training_step(engine):
    """A `TrainStep` of the network alone, if the engine is None, or with the CRF."""
    model = build_deeplab("mobilenetv3small", "large_fov", NUM_CLASSES, STRIDE, weights=None)
    objective = ScoreMapObjective(STRIDE)
    if engine:
        model, objective = with_crf(model, PARAMS, trainable=True), ProbabilityObjective()
        model.get_layer("crf").engine = engine
    optimizer = LayerwiseSGD(1e-4)
    optimizer.build(model.trainable_variables)
    return TrainStep(model, optimizer, objective, tf.distribute.get_strategy())


def batch_of(crop):
    """Images (B, crop, crop, 3) float32 and labels (B, crop, crop) uint8."""
    image = drawn_image(crop, crop, grain=2).astype(np.float32)
    labels = np.random.default_rng(0).integers(NUM_CLASSES, size=(FLAGS.batch_size, crop, crop))
    return tf.constant(np.stack([image] * FLAGS.batch_size)), tf.constant(labels, tf.uint8)


def measure(crop, engines):
    """The best {"seconds", "processor"} of a step on crops of this size, {engine: spent}."""
    batch = batch_of(crop)
    steps = {engine: training_step(engine) for engine in engines}
    runs = {
        engine: lambda step=step: timed(lambda: float(step(*batch)[0]))
        for engine, step in steps.items()
    }
    for run in runs.values():
        run()  # traces and compiles
    return take_turns(runs, FLAGS.rounds)[0]


def measure_alone(crop):
    """`measure` in a new process; a text instead that says why, if it fails."""
    given = {name: FLAGS[name].value for name in ("exact_up_to", "batch_size", "rounds")}
    return run_alone(__file__, {**given, "case": crop})


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
