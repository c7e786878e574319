"""Whether a network learns to tell the depth from color, where color tells it and where not.

    python benchmarks/depth_from_color.py [--sets=synthetic_rooms,synthetic_depth] [--steps=800]

trains a network of six convolutions with the scale-invariant loss on the color images of each of
--sets, and prints the errors of its depth on their validation images, beside those of the one depth
for all pixels that suits the training images best, their geometric mean. In synthetic_rooms,
perspective, texture and light tell how far away things are; in synthetic_depth nothing does, and a
network can only tell objects from the background.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import keras
import numpy as np
from absl import app, flags

from benchmarks.depth_networks import STRIDE, small_network
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.depth_targets import depth_targets, load_depth_pair
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.data.synthetic_depth import write_synthetic_depth
from deeplab_tf.data.synthetic_rooms import write_synthetic_rooms
from deeplab_tf.evaluation.depth import predict_depths
from deeplab_tf.evaluation.depth_errors import DepthErrors
from deeplab_tf.training.depth_loss import DepthLoss

WRITERS = {"synthetic_rooms": write_synthetic_rooms, "synthetic_depth": write_synthetic_depth}
COLUMNS = ("delta1", "delta2", "rmse", "rmse_log", "abs_rel", "scale_invariant_log")

FLAGS = flags.FLAGS
flags.DEFINE_list("sets", list(WRITERS), "Data sets, see the first lines of this file.")
flags.DEFINE_integer("images", 200, "Training images.", lower_bound=1)
flags.DEFINE_integer("steps", 800, "Training steps.", lower_bound=1)


def main(_):
    """Train and print the table."""
    print(f"| data set | prediction | {' | '.join(COLUMNS)} |")
    print("|---" * (2 + len(COLUMNS)) + "|", flush=True)
    for name in FLAGS.sets:
        with tempfile.TemporaryDirectory() as folder:
            data_dir = Path(folder, "data")
            WRITERS[name](data_dir, FLAGS.images, num_val=40)
            found = {
                "one depth": constant_errors(name, data_dir),
                "network": network_errors(train(name, data_dir, FLAGS.steps), name, data_dir),
            }
            for prediction, errors in found.items():
                row = " | ".join(f"{getattr(errors, column):.3f}" for column in COLUMNS)
                print(f"| {name} | {prediction} | {row} |", flush=True)


def examples(name, data_dir, split):
    """The examples of a list with their depth maps."""
    return depth_targets(open_dataset(name, data_dir, split)[0], name, data_dir)


def train(name, data_dir, steps, seed=0):
    """Train the network on the images of a data set."""
    keras.utils.set_random_seed(seed)
    batches = training_batches(
        examples(name, data_dir, "train"),
        num_classes=None,
        batch_size=8,
        crop_size=161,
        scale_range=(1, 1.25),
        depth=True,
    )
    model = small_network(3, outputs=1)
    schedule = keras.optimizers.schedules.PolynomialDecay(3e-3, steps, 1e-5)
    model.compile(keras.optimizers.Adam(schedule), DepthLoss(STRIDE))
    pairs = batches.map(lambda batch: (batch["image"], batch["label"]))
    model.fit(pairs, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def network_errors(model, name, data_dir):
    """The `DepthErrors` of a network on the validation images."""
    errors = DepthErrors()
    for found in predict_depths(model, examples(name, data_dir, "val")):
        errors.add(found.truth, found.depth)
    return errors


def constant_errors(name, data_dir):
    """The `DepthErrors` of the training images' geometric mean on the validation images."""
    maps = {
        split: [load_depth_pair(example)[1] for example in examples(name, data_dir, split)]
        for split in ("train", "val")
    }
    mean = np.exp(np.mean([np.log(depth[depth > 0]).mean() for depth in maps["train"]]))
    errors = DepthErrors()
    for depth in maps["val"]:
        errors.add(depth, np.full_like(depth, mean))
    return errors


if __name__ == "__main__":
    app.run(main)
