"""What depth is worth to a network where only depth tells the classes apart.

    python benchmarks/depth_inputs.py --folder=RUNS [--inputs=rgb,rgbd,hha,rgb_hha] [--steps=240]

trains a small network for each of --inputs on the synthetic scenes of color and depth, and prints a
table of pixel accuracy and mean IoU on their validation images, and of the mean IoU of the three
classes of objects. A network for color can tell objects from the background, but can only guess
their class. RUNS receives the data and the trainings; a training that is there is only scored.
"""

import json
import subprocess
import sys
from pathlib import Path

# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags

from deeplab_tf.data.inputs import CHANNELS
from deeplab_tf.data.synthetic_depth import CLASSES, write_synthetic_depth

FLAGS = flags.FLAGS
flags.DEFINE_string("folder", None, "Folder for data and trainings.", required=True)
flags.DEFINE_list("inputs", list(CHANNELS), "Values of --input.")
flags.DEFINE_integer("images", 100, "Training images.", lower_bound=1)
flags.DEFINE_integer("steps", 240, "Training steps.", lower_bound=1)
flags.DEFINE_integer("batch_size", 4, "Images of a step.", lower_bound=1)

TRAINING = (
    "--flagfile=demo",
    "--dataset=synthetic_depth",
    "--crop_size=97",
    "--eval_images=0",
    "--log_every=20",
)


def run(*words):
    """Run a command of the package; its output is shown only if it fails."""
    command = [sys.executable, "-m", "deeplab_tf.commands", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=sys.path[0])
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def train_and_score(name, folder, data):
    """Scores of a network of one --input, as evaluate writes them."""
    model, scores = folder / name, folder / f"{name}.json"
    if not (model / "last.keras").is_file():
        sizes = f"--steps={FLAGS.steps}", f"--batch_size={FLAGS.batch_size}"
        run("train", *TRAINING, *sizes, f"--input={name}", data, f"--model_dir={model}")
    run("evaluate", f"--model={model}", data, f"--json_out={scores}")
    return json.loads(scores.read_text())


def objects_iou(scores):
    """Mean IoU of the classes that are not the background."""
    return sum(scores["per_class_iou"][name] for name in CLASSES[1:]) / len(CLASSES[1:])


def main(_):
    """Train and print the table."""
    folder = Path(FLAGS.folder).resolve()
    data = folder / "data"
    if not data.is_dir():
        write_synthetic_depth(data, FLAGS.images, num_val=20)
    print("| input | pixel accuracy | mean IoU | mean IoU of the objects |")
    print("|---|---|---|---|")
    for name in FLAGS.inputs:
        found = train_and_score(name, folder, f"--data_dir={data}")
        figures = found["pixel_accuracy"], found["miou"], objects_iou(found)
        row = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    app.run(main)
