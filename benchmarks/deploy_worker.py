"""Labels images with one of this package's networks for deploy.py; the protocol of torch_worker.py.

The job in JSON: `model` (what `deeplab_tf.open_model` opens, or a name of network_worker.py),
`precision` of Keras networks, and `size` of the images. A line with {"images", "labels"}, lists of
files, asks for the mean IoU instead.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.export_worker import load
from benchmarks.network_worker import count_parameters
from deeplab_tf import open_model
from deeplab_tf.data.examples import Example
from deeplab_tf.errors import InputError, one_line
from deeplab_tf.evaluation import ConfusionMatrix
from deeplab_tf.evaluation.compiled import FixedNetwork
from deeplab_tf.evaluation.inference import predict_labels
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.models.files import export_format
from deeplab_tf.models.precision import with_precision


def mean_iou(model, images, labels):
    """Mean IoU on images with labels."""
    confusion = ConfusionMatrix(model.output_shape[-1])
    examples = [Example(*row) for row in zip(images, images, labels, strict=True)]
    for found in predict_examples(model, examples):
        confusion.add(found.truth, found.labels[0])
    return confusion.miou


def peak_memory():
    """Megabytes that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(message):
    """Write a line of JSON."""
    print(json.dumps(message), flush=True)


def main():
    """Read the job, then answer requests until the input ends."""
    job = json.loads(sys.stdin.readline())
    try:
        is_exported = bool(export_format(job["model"]))
        model = open_model(job["model"]) if is_exported else load(job["model"])
    except InputError as error:
        write({"not_measured": one_line(error, 200)})
        return
    if not is_exported:
        model = with_precision(model, job["precision"])
    network = model if is_exported else FixedNetwork(model)
    shape = job["size"], job["size"], 3
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    predict_labels(network, image)
    write({"parameters": 0 if is_exported else count_parameters(model)})
    memory = None
    for request in map(json.loads, sys.stdin):
        if isinstance(request, dict):
            memory = peak_memory()
            write(mean_iou(model, **request))
            continue
        start, done = time.perf_counter(), 0
        while not done or time.perf_counter() - start < request:
            predict_labels(network, image)
            done += 1
        write((time.perf_counter() - start, done))
    write({"megabytes": memory or peak_memory()})


if __name__ == "__main__":
    main()
