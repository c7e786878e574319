"""Run as one worker of several, or alone: trains a tiny network by `Trainer`.

    python worker_train.py STRATEGY MODEL_DIR STEPS WEIGHTS_FILE

Environment: CPU_DEVICES=2 makes the processor two devices, for "mirrored"; PAUSE=seconds delays
every batch; FAIL_ON_WORKER=1 makes worker 1 find a bad label.
"""

import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.distribute.strategy import make_strategy, sum_over_workers, worker
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.schedules import Poly
from deeplab_tf.training.settings import LoopSettings

SIZE, BATCH = 17, 8


def tiny():
    """17x17 images to 3x3 scores; no dropout, since its masks differ between devices."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=8, padding="same", activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, synchronized=True, name="bn")(x)
    x = keras.layers.Conv2D(2, 1, name="fc8")(x)
    return keras.Model(inputs, x)


def batches_of(shard):
    """The function from a start to this worker's rows of the batches."""
    index, count = shard
    rows = range(index * BATCH // count, (index + 1) * BATCH // count)

    def batch(step):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        if step == 3 and os.environ.get("FAIL_ON_WORKER") == str(index):
            raise InputError("label 7 of b.png is no class")
        rng = np.random.default_rng(step)
        image = rng.uniform(0, 255, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
        label = (image.mean(-1) > 127).astype(np.uint8)
        for row in range(BATCH):  # different numbers of labeled pixels: a mean of means is wrong
            label[row, :, : 2 * row] = VOID
        name = np.array([f"{step}/{row}".encode() for row in rows], object)
        return {"image": image[rows], "label": label[rows], "name": name}

    def make_batches(start):
        def generate():
            step = start
            while True:
                yield batch(step)
                step += 1

        signature = {
            "image": tf.TensorSpec((len(rows), SIZE, SIZE, 3), tf.float32),
            "label": tf.TensorSpec((len(rows), SIZE, SIZE), tf.uint8),
            "name": tf.TensorSpec((len(rows),), tf.string),
        }
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    return make_batches


def train(strategy, model_dir, steps):
    """Train under a strategy; return the final variables, a dict of arrays."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model, optimizer = tiny(), LayerwiseSGD(Poly(0.05, 40), l2=1e-3, name="sgd")
    settings = LoopSettings(model_dir, steps, BATCH, checkpoint_every=4, eval_every=4, log_every=1)
    Trainer(
        model,
        optimizer,
        ScoreMapObjective(),
        batches_of(worker(strategy)),
        settings,
        validate=lambda model: (float(model.get_layer("fc8").bias[0]), []),
        float32_model=tiny(),
        strategy=strategy,
    ).run()
    return {v.path: v.numpy() for v in [*model.variables, *optimizer.variables]}


def main(name, model_dir, steps, weights_file):
    """Train as the arguments say; save all variables, and a sum over the workers."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * int(os.environ.get("CPU_DEVICES", "1"))
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = make_strategy(name, wait_seconds=300)
    values = train(strategy, model_dir, int(steps))
    index = worker(strategy)[0]
    sums = {
        "integers": sum_over_workers(strategy, np.array([[index, 1], [2**40, -index]])),
        "fraction": sum_over_workers(strategy, 0.1),
    }
    np.savez(f"{weights_file}-{index}.npz", **values)
    np.savez(f"{weights_file}-sums-{index}.npz", **sums)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
