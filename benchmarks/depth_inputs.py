"""What depth is worth to a network where only depth tells the classes apart.

    python benchmarks/depth_inputs.py [--inputs=rgb,rgbd,hha,rgb_hha] [--steps=400]

trains a network of six convolutions for each of --inputs on the synthetic scenes of color and
depth, and prints a table of pixel accuracy and mean IoU on their validation images, and of the mean
IoU of the three classes of objects. A network for color can tell objects from the background, but
can only guess their class. With rgb_hha two such networks are trained together.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags

from benchmarks.depth_networks import score, train
from deeplab_tf.data.inputs import CHANNELS
from deeplab_tf.data.synthetic_depth import write_synthetic_depth

FLAGS = flags.FLAGS
flags.DEFINE_list("inputs", list(CHANNELS), "Values of --input.")
flags.DEFINE_integer("images", 100, "Training images.", lower_bound=1)
flags.DEFINE_integer("steps", 400, "Training steps.", lower_bound=1)


def main(_):
    """Train and print the table."""
    print("| input | pixel accuracy | mean IoU | mean IoU of the objects |")
    print("|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "data")
        write_synthetic_depth(data_dir, FLAGS.images, num_val=20)
        for name in FLAGS.inputs:
            matrix = score(train(name, data_dir, FLAGS.steps), name, data_dir)
            figures = matrix.pixel_accuracy, matrix.miou, matrix.per_class_iou[1:].mean()
            row = " | ".join(f"{figure:.3f}" for figure in figures)
            print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    app.run(main)
