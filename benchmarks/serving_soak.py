"""An exported model with the CRF under load: are results right, and does memory stop growing?

    python benchmarks/serving_soak.py --model=msrc21 [--minutes=10] [--threads=4]

The network is exported with its CRF, and a process that has only TensorFlow and NumPy serves it
(benchmarks/serving_soak_worker.py): threads send requests to all signatures, for images of mixed
sizes from 64 to 1600 pixels, and among them what a server must refuse: garbage, files that are cut
off, empty batches, NaN, and images that are too large. Most sizes are drawn at random, since what
TensorFlow keeps for every size is one way in which memory grows. Labels of some images are compared
with those of `deeplab_tf.segment`.

Printed are requests, refusals, pixels that differ, and for each minute the median and the peak of
the memory of the process. The exit status is 1 if a result is wrong, or if the peak of the last
minute is above that of the first by more than --growth. The variables of the environment are those
of docs/serving.md unless they are set before; --plain leaves them out.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags

from crf import CRFParams
from deeplab_tf import segment
from deeplab_tf.data.synthetic import draw_scene
from deeplab_tf.export import export_saved_model
from deeplab_tf.labels import LabelSet
from deeplab_tf.models import is_packed, load_card, load_model

MODEL = flags.DEFINE_string("model", None, "Name or file of a network.", required=True)
MINUTES = flags.DEFINE_float("minutes", 10, "How long requests are sent.", lower_bound=0)
THREADS = flags.DEFINE_integer("threads", 4, "Threads that send them.", lower_bound=1)
GROWTH = flags.DEFINE_float("growth", 0.1, "Share by which memory may grow after a minute.")
PLAIN = flags.DEFINE_bool("plain", False, "Leave the environment as it is.")

# Height and width of the images whose labels are compared.
SIZES = (64, 64), (97, 131), (360, 480), (375, 500), (513, 513), (64, 1600), (1600, 200)
MAX_PIXELS = 600_000

# The remedies of docs/serving.md.
ENVIRONMENT = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1", "MALLOC_ARENA_MAX": "2"}


def prepare(folder):
    """Export the network, and write images with the labels that are expected."""
    network = load_model(MODEL.value)
    params = (load_card(MODEL.value).crf_params if is_packed(MODEL.value) else None) or CRFParams()
    label_set = LabelSet.generic(network.output_shape[-1])
    export_saved_model(network, folder / "served", label_set, params, max_pixels=MAX_PIXELS)
    arrays = {}
    for number, size in enumerate(SIZES):
        scene, _ = draw_scene(np.random.default_rng(number), (400, 400))
        image = np.tile(scene, (4, 4, 1))[: size[0], : size[1]]
        arrays[f"image{number}"], arrays[f"labels{number}"] = image, segment(network, image, params)
    np.savez(folder / "images.npz", **arrays)


def print_table(found):
    """Print what the worker measured; returns the growth of memory after the first minute."""
    print(f"\n{'minute':>6}  {'requests':>8}  {'median MB':>9}  {'peak MB':>8}")
    for number, row in enumerate(found["minutes"], 1):
        print(f"{number:6}  {row['requests']:8}  {row['median']:9.0f}  {row['peak']:8.0f}")
    first, last = found["minutes"][0], found["minutes"][-1]
    growth = last["peak"] / first["peak"] - 1
    print(
        f"\nserved {found['served']}, refused {found['refused']} of {found['bad']} bad requests\n"
        f"equal labels: {found['equal']:.4%} of the pixels of the worst image\n"
        f"memory: peak {last['peak']:.0f} MB in the last minute, {first['peak']:.0f} MB in the "
        f"first ({growth:+.1%})"
    )
    return growth


def main(_):
    """Run the worker and print the table."""
    remedies = {} if PLAIN.value else ENVIRONMENT
    settings = {"minutes": MINUTES.value, "threads": THREADS.value, "max_pixels": MAX_PIXELS}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        # -I: nothing of this project is on the path, and no variable adds it.
        worker = Path(__file__).with_name("serving_soak_worker.py").resolve()
        command = [sys.executable, "-I", str(worker), json.dumps(settings)]
        environment = {**remedies, **os.environ}
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    found = json.loads(done.stdout)
    growth = print_table(found)
    for problem in found["problems"]:
        print(f"wrong: {problem}")
    if found["problems"] or growth > GROWTH.value:
        sys.exit("error: see above" if found["problems"] else "error: memory grows")


if __name__ == "__main__":
    app.run(main)
