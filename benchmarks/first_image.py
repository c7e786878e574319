"""How long until a photograph is labeled: from the start of the process, and each further one.

    python benchmarks/first_image.py --model=msrc21 [--rounds=5] [--images=10]

`deeplab-tf predict` labels photographs of 480x360 pixels in a process of its own on two cores. The
first column is the time from the start of the process until the first labels are on disk, the
second the time between two labels after that; both are medians over the rounds. The network runs as
it is, in float32, and exported to OpenVINO and LiteRT in float32 and in 8 bits where the packages
are installed. 8 bits are calibrated with the images themselves, which changes labels, not times.
--crf measures predict --crf.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = ROOT = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from absl import app, flags

from deeplab_tf.data.synthetic import draw_scene

MODEL = flags.DEFINE_string("model", None, "Name or file of a network.", required=True)
ROUNDS = flags.DEFINE_integer("rounds", 5, "Processes of each kind.", lower_bound=1)
IMAGES = flags.DEFINE_integer("images", 10, "Images in each.", lower_bound=2)
CORES = flags.DEFINE_integer("cores", 2, "Processor cores of each.", lower_bound=1)
CRF = flags.DEFINE_bool("crf", False, "Refine with the CRF.")

EXPORTS = {  # what is measured besides the network: the name of its file, and flags of export
    "OpenVINO, float32": ("f32.xml", []),
    "OpenVINO, 8 bits": ("i8.xml", ["--int8"]),
    "LiteRT, float32": ("f32.tflite", []),
    "LiteRT, 8 bits": ("i8.tflite", ["--int8"]),
}


def run_tool(name, *arguments):
    """Run a command on the chosen cores; returns when it started, in seconds."""
    cores = sorted(os.sched_getaffinity(0))[: CORES.value]
    command = [sys.executable, f"{ROOT}/tools/{name}.py", *map(str, arguments)]
    start = time.time()
    subprocess.run(
        command,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return start


def measure(model, images, folder):
    """Seconds until the first labels are on disk, and the median between two labels after that."""
    crf = ["--crf"] if CRF.value else []
    start = run_tool("predict", f"--model={model}", f"--out_dir={folder}", *crf, *images)
    done = sorted((folder / f"{image.stem}.png").stat().st_mtime for image in images)
    gaps = [after - before for before, after in itertools.pairwise(done)]
    return done[0] - start, statistics.median(gaps)


def write_images(folder):
    """Draw the photographs; returns their paths."""
    folder.mkdir()
    paths = [folder / f"{number:03}.jpg" for number in range(IMAGES.value)]
    for number, path in enumerate(paths):
        image, _ = draw_scene(np.random.default_rng(number), (360, 480))
        cv2.imwrite(str(path), image[..., ::-1])
    return paths


def export_all(folder, photos):
    """The networks to measure, {name: path}."""
    models = {"TensorFlow, float32": MODEL.value}
    for name, (file, more) in EXPORTS.items():
        calibration = [f"--calibration_data={photos}"] if more else []
        try:
            run_tool(
                "export", f"--model={MODEL.value}", f"--out={folder / file}", *more, *calibration
            )
        except subprocess.CalledProcessError:
            print(f"left out: {name}; see above")
            continue
        models[name] = folder / file
    return models


def main(_):
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = write_images(folder / "photos")
        models = export_all(folder, folder / "photos")
        times = {name: [] for name in models}
        for number in range(ROUNDS.value + 1):
            for name, model in models.items():
                out = folder / f"{number} {name}"
                found = measure(model, images, out)
                times[name] += [found] if number else []  # the first reads the disk
    print(f"\n{'':22}{'first labels, s':>16}{'each further, s':>17}")
    for name, found in times.items():
        first, further = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:22}{first:16.2f}{further:17.3f}")


if __name__ == "__main__":
    app.run(main)
