"""Networks ready for use on a processor, in every format and precision, and in PyTorch: one table.

    python benchmarks/deploy.py --torch_python=PATH [--trained=vgg16_large_fov=MODEL]
        [--data=vgg16_large_fov=CAMVID] [--data=msrc21=MSRC21]

Each row labels images of 513x513 pixels, one after another, in a process of its own: from the image
(for PyTorch, from its preprocessed values) to the class of every pixel. The columns are images per
second, the median and the 99th percentile of the time for an image, how many times the rate of
PyTorch's usual "eager" way that is, the peak memory of the process with all its libraries, the size
of the exported files (else of the weights in float32), and mean IoU on the validation images of
--data.

Networks have random weights unless --trained names a file; those that come with the package are
trained. 8 bits are calibrated as by `export --int8`, with images of the list train of --data, or
else with synthetic ones. A row of a format whose package is not installed says what is missing.
PATH is the Python of an environment with torch, which may also have openvino, and onnx, onnxscript
and onnxruntime. PyTorch's networks have the same architecture and number of classes, but random
weights; below each table are the numbers of parameters.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags
from tqdm import tqdm

from benchmarks.deploy_networks import (
    SHIPPED,
    about_parameters,
    count_classes,
    find_images,
    torch_network,
)
from benchmarks.network_worker import NUM_CLASSES, PUBLISHED
from benchmarks.worker import Worker

FLAGS = flags.FLAGS
NETWORKS = [*PUBLISHED, *SHIPPED]
# Row -> ending of the exported file, None for Keras; precision; whether 8 bits.
OURS = {
    "Keras float32": (None, "float32"),
    "Keras bfloat16": (None, "mixed_bfloat16"),
    "SavedModel float32": ("", "float32"),
    "ONNX Runtime float32": (".onnx", "float32"),
    "OpenVINO float32": (".xml", "float32"),
    "OpenVINO int8": (".xml", "int8"),
    "LiteRT float32": (".tflite", "float32"),
    "LiteRT int8": (".tflite", "int8"),
}
TORCH = {
    "PyTorch eager": "eager",
    "PyTorch torch.compile": "compile",
    "PyTorch OpenVINO": "openvino",
    "PyTorch ONNX Runtime": "onnxruntime",
}
EAGER = "PyTorch eager"  # the first row, with which the others are compared

flags.DEFINE_string("torch_python", None, "Python of an environment with torch.")
flags.DEFINE_multi_enum("network", NETWORKS, NETWORKS, "Networks to measure.")
flags.DEFINE_multi_enum("row", [*TORCH, *OURS], [*TORCH, *OURS], "Rows to measure.")
flags.DEFINE_multi_string("trained", [], "NETWORK=FILE: a trained network to run under that name.")
flags.DEFINE_multi_string("data", [], "NETWORK=FOLDER: data set in VOC layout of that network.")
flags.DEFINE_integer("limit", None, "Validation images to score; all by default.", lower_bound=1)
flags.DEFINE_integer("calibration_images", 100, "Images to calibrate 8 bits with.", lower_bound=1)
flags.DEFINE_integer("images", 100, "Images to time in each row.", lower_bound=2)
flags.DEFINE_integer("size", 513, "Side of the images in pixels.", lower_bound=33)

WARM_UP = 3  # images before those that count
COLUMNS = {"images/s": 10, "median ms": 11, "99 % ms": 10, "times eager": 13, "memory MB": 11}
COLUMNS |= {"model MB": 10, "mean IoU %": 12}


def pairs(name):
    """The values NETWORK=PATH of a flag as a dict."""
    found = dict(value.partition("=")[::2] for value in FLAGS[name].value)
    for network, path in found.items():
        if network not in NETWORKS or not Path(path).exists():
            sys.exit(f"error: --{name}={network}={path}: give NETWORK=PATH of {NETWORKS}, existing")
    return found


def measure(python, script, job, about, images=None):
    """Run a row in a process; returns the cells by column, or {"not_measured": the reason}.

    Args:
      python, script: of the process.
      job: what it should run.
      about: name of the row, for the progress bar.
      images: {"images", "labels"}, lists of files to score; None: no mean IoU.
    """
    worker = Worker(python, script, about)
    answer = worker.ask(job)
    if "not_measured" in answer:
        worker.close()
        return answer
    for _ in range(WARM_UP):
        worker.ask(0)
    bar = tqdm(range(FLAGS.images), desc=about, unit="image", leave=False)
    seconds = [worker.ask(0)[0] for _ in bar]
    iou = {"mean IoU %": 100 * worker.ask(images)} if images else {}
    worker.end_input()
    memory = worker.answer()["megabytes"]
    worker.close()
    return {
        "images/s": len(seconds) / sum(seconds),
        "median ms": 1000 * statistics.median(seconds),
        "99 % ms": 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[98],
        "memory MB": memory,
        "model MB": 4e-6 * answer["parameters"],
        "parameters": answer["parameters"],
        **iou,
    }


def torch_row(name, runtime, classes):
    """A row of PyTorch; `classes` is the number of the network's classes."""
    if not FLAGS.torch_python:
        return {"not_measured": "give --torch_python"}
    job = {"network": torch_network(name), "task": "labels", "runtime": runtime, "batch_size": 1}
    job |= {"size": FLAGS.size, "precision": "float32", "processor_time": False}
    job["classes"] = classes
    return measure(FLAGS.torch_python, "torch_worker.py", job, f"{name} {runtime}")


def our_row(name, row, source, files, folder):
    """A row of this package.

    Args:
      name, row: of the network and the row.
      source: file or name of the network.
      files: of `find_images`.
      folder: where to export to.
    """
    ending, precision = OURS[row]
    job = {"model": source, "precision": precision, "size": FLAGS.size}
    exported = {}
    if ending is not None:
        job["model"] = str(folder / f"{name}_{precision}{ending}")
        images = files["calibration"] if precision == "int8" else None
        export = {"network": source, "path": job["model"], "scales": [1], "calibration": images}
        worker = Worker(sys.executable, "export_worker.py", f"the export of {name}")
        answer = worker.ask(export)
        worker.close()
        if "not_measured" in answer:
            return answer
        exported["model MB"] = answer["megabytes"]
    found = measure(sys.executable, "deploy_worker.py", job, f"{name} {row}", files["score"])
    return {**found, **exported}


def print_row(row, found, eager):
    """Print a line of the table; `eager` is the rate of PyTorch, or None."""
    if "not_measured" in found:
        print(f"{row:24}not measured: {found['not_measured']}", flush=True)
        return
    if eager:
        found = {**found, "times eager": found["images/s"] / eager}
    cells = [f"{found[name]:.2f}" if name in found else "" for name in COLUMNS]
    widths = COLUMNS.values()
    print(
        f"{row:24}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)), flush=True
    )


def main(_):
    """Print the table."""
    trained, data = pairs("trained"), pairs("data")
    print(f"images of {FLAGS.size}x{FLAGS.size} pixels, {FLAGS.images} of them, one by one")
    print(f"{'':24}" + "".join(f"{name:>{width}}" for name, width in COLUMNS.items()))
    for name in FLAGS.network:
        print(f"{name}, {'trained' if name in (*trained, *SHIPPED) else 'random weights'}")
        classes = count_classes(name, trained.get(name)) or NUM_CLASSES
        eager, parameters = None, {}
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            counts = FLAGS.calibration_images, FLAGS.limit
            files = find_images(data.get(name), folder, *counts)
            for row in (row for row in (*TORCH, *OURS) if row in FLAGS.row):
                if row in TORCH:
                    found = torch_row(name, TORCH[row], classes)
                else:
                    found = our_row(name, row, trained.get(name, name), files, folder)
                eager = found.get("images/s") if row == EAGER else eager
                parameters |= {row: found["parameters"]} if found.get("parameters") else {}
                print_row(row, found, eager)
        if parameters:
            print(about_parameters(parameters), flush=True)


if __name__ == "__main__":
    app.run(main)
