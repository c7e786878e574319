"""A whole evaluation, network and CRF, against how PyTorch ports of DeepLab do it.

    python benchmarks/evaluation.py --torch_python=PATH --binding_python=PATH [--data_dir=CAMVID]

ResNet-101 ASPP-L scores images of 500x375 pixels at the scales 1, 0.75 and 0.5, and the CRF refines
them in 10 iterations (w1 4, sigma_alpha 67, sigma_beta 3, w2 3, sigma_gamma 1).
This package reads, scores and refines in parallel, as tools/evaluate.py does. The peer does what
well-known ports do: the network in PyTorch, one image after another, then pydensecrf. Its CRF is
timed twice: one image after another, and in as many processes as there are processors. Such
ports also store the scores in files in between; that time does not count.

The first PATH is the Python of an environment with torch, numpy and OpenCV, the second that of one
with pydensecrf; both must have the same version of Python. The two sides take turns; the first
round is not counted. The images are the first of CAMVID, a data set in VOC layout, resized; without
it they are synthetic.

--precision=int8 exports the network to OpenVINO in 8 bits, with these images for calibration, and
runs that; --model=FILE runs an exported or trained network of yours, whose architecture and scales
should be those of --network and --scale. The port always has float32.

--baseline=CHECKOUT compares with another checkout of this project, which runs in float32 against
an exported network.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags
from tqdm import tqdm

from benchmarks.photographs import find_examples, write_jpeg
from benchmarks.worker import Worker
from crf import CRFParams
from crf.threads import available_threads
from deeplab_tf.data.label_png import encode_label

FLAGS = flags.FLAGS

flags.DEFINE_string("torch_python", None, "Python of an environment with torch.")
flags.DEFINE_string("binding_python", None, "Python of an environment with pydensecrf.")
flags.DEFINE_string("baseline", None, "Another checkout of this project to compare with.")
flags.DEFINE_string("data_dir", None, "Data set in VOC layout, for photographs.")
flags.DEFINE_enum(
    "network", "resnet101_aspp_l", ["resnet101_aspp_l", "vgg16_large_fov"], "Network to measure."
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16", "int8"],
    "Precision of this package's network; the port always has float32.",
)
flags.DEFINE_string("model", None, "Network that this package runs instead, any that it can open.")
flags.DEFINE_multi_float("scale", [1, 0.75, 0.5], "Scales that the network sees.")
flags.DEFINE_integer("images", 8, "Images in each turn.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Turns of each; the median counts.", lower_bound=1)

NUM_CLASSES = 21
PARAMS = CRFParams(w1=4, sigma_alpha=67, sigma_beta=3, w2=3, sigma_gamma=1, iterations=10)
PARAMETERS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma", "iterations")
FIND_FOLDER = "import pydensecrf; print(list(pydensecrf.__path__)[0])"


def write_files(folder):
    """Write the images and labels; returns (image paths, label paths)."""
    paths = []
    found, num_classes = find_examples(FLAGS.data_dir, folder, FLAGS.images)
    for index, example in enumerate(found):
        paths.append([str(folder / f"{index}.{ending}") for ending in ("jpg", "png")])
        label = write_jpeg(paths[-1][0], example, num_classes)
        Path(paths[-1][1]).write_bytes(encode_label(label))
    return tuple(map(list, zip(*paths, strict=True)))


def make_job(folder):
    """The job that every worker gets."""
    images, labels = write_files(folder)
    params = {name: value for name, value in asdict(PARAMS).items() if name in PARAMETERS}
    return {
        "network": FLAGS.network,
        "scales": FLAGS.scale,
        "precision": FLAGS.precision,
        "model": FLAGS.model or (export(folder, images) if FLAGS.precision == "int8" else None),
        "num_classes": NUM_CLASSES,
        "images": images,
        "labels": labels,
        "params": params,
        "processes": available_threads(),
    }


def export(folder, images):
    """Export the network in 8 bits; returns the file's path."""
    path = str(folder / "network.xml")
    job = {"network": FLAGS.network, "path": path, "scales": FLAGS.scale, "calibration": images}
    worker = Worker(sys.executable, "export_worker.py", "export_worker.py")
    found = worker.ask(job)
    worker.close()
    if "not_measured" in found:
        sys.exit(f"error: {found['not_measured']}")
    return path


def binding_folder():
    """The folder in which pydensecrf is installed."""
    command = [FLAGS.binding_python, "-c", FIND_FOLDER]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        sys.exit(f"error: {FLAGS.binding_python} has no pydensecrf; see above")
    return str(Path(found.stdout.strip()).parent)


class Evaluation(Worker):
    """A process that evaluates the images of a job whenever it is asked."""

    def __init__(self, python, script, job):
        super().__init__(python, script, script)
        self.say(job)

    def seconds(self):
        """Evaluate all images; returns the seconds of its parts by name."""
        return self.ask("again")


def measure(workers):
    """Seconds of every round except the first: worker -> list of dicts."""
    turns = {name: [] for name in workers}
    for round_ in tqdm(range(FLAGS.rounds + 1), unit="round", leave=False):
        for name, worker in workers.items():
            found = worker.seconds()
            if round_:
                turns[name].append(found)
    return turns


def print_rates(turns):
    """Print images per second, and the ratios of this package's rate to the others'."""
    ours = [turn["whole"] for turn in turns["ours"]]
    alone = {f"{name}, network alone": [turn["network"] for turn in turns[name]] for name in turns}
    peers = {}
    if "baseline" in turns:
        peers["baseline"] = [turn["whole"] for turn in turns["baseline"]]
    if "port" in turns:
        for name, part in (("one by one", "one_by_one"), ("in all processes", "together")):
            seconds = [turn["network"] + turn[part] for turn in turns["port"]]
            peers[f"port, CRF {name}"] = seconds
    print(f"{'':30}{'images/s':>12}{'our rate/its rate':>20}{'smallest':>10}")
    for name, seconds in {"ours": ours, **alone, **peers}.items():
        line = f"{name:30}{FLAGS.images / statistics.median(seconds):12.3f}"
        if name in peers:
            ratio = statistics.median(seconds) / statistics.median(ours)
            smallest = min(theirs / our for theirs, our in zip(seconds, ours, strict=True))
            line += f"{ratio:20.2f}{smallest:10.2f}"
        print(line)
    if not peers:
        print("no ratios: give --baseline, or both --torch_python and --binding_python")


def main(_):
    """Print the table."""
    if FLAGS.model and FLAGS["precision"].present:
        sys.exit("error: --model has a precision of its own; leave out --precision")
    with tempfile.TemporaryDirectory() as name:
        job = make_job(Path(name))
        workers = {"ours": Evaluation(sys.executable, "evaluation_worker.py", job)}
        if FLAGS.baseline:
            script = Path(FLAGS.baseline).resolve() / "benchmarks" / "evaluation_worker.py"
            precision = "float32" if FLAGS.precision == "int8" else FLAGS.precision
            other = {**job, "model": None, "precision": precision}
            workers["baseline"] = Evaluation(sys.executable, script, other)
        if FLAGS.torch_python and FLAGS.binding_python:
            job = {**job, "binding_folder": binding_folder()}
            workers["port"] = Evaluation(FLAGS.torch_python, "port_worker.py", job)
        print_rates(measure(workers))
        for worker in workers.values():
            worker.close()


if __name__ == "__main__":
    app.run(main)
