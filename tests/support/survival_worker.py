"""Trains the tiny network in the given folder, and prints each step that it begins."""

import sys
from pathlib import Path

import keras
import tensorflow as tf
from tiny_training import make_batches, trainer, validate

folder = Path(sys.argv[1])
keras.utils.set_random_seed(3)
tf.config.experimental.enable_op_determinism()


def printed(start):
    for step, batch in enumerate(make_batches(start), start + 1):
        print(f"step {step}", flush=True)
        yield batch


STEPS = 40
often = {"checkpoint_every": 3, "eval_every": 5, "log_every": 2}
trainer(folder, STEPS, printed, rate=0.01, settings=often, validate=validate)[1].run()
