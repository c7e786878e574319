"""Evaluates images with this package for benchmarks/evaluation.py, as port_worker.py does.

The answer to each line after the job is the seconds of a whole evaluation, as tools/evaluate.py
runs it, and of one without the CRF.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.network_worker import build
from crf import CRFParams
from deeplab_tf import open_model
from deeplab_tf.data.examples import Example
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.export import load_description
from deeplab_tf.models.files import export_format
from deeplab_tf.models.precision import with_precision


def load(job):
    """The network of a job, and the settings with which it runs."""
    settings = {"scales": job["scales"]}
    if not job.get("model"):
        return with_precision(build(job["network"]), job["precision"]), settings
    path = job["model"]
    try:
        model = open_model(path)
        if not export_format(path):
            return model.network, settings
        found = load_description(path).settings.get("scales")
    except InputError as error:
        sys.exit(f"error: --model: {error}")
    if found != job["scales"]:
        wanted = " ".join(f"--scale={scale}" for scale in found or ())
        sys.exit(f"error: {path} has the scales {found}; give {wanted}")
    return model, {}


def evaluate(network, settings, job, params):
    """Seconds that an evaluation takes."""
    examples = [
        Example(*row) for row in zip(job["images"], job["images"], job["labels"], strict=True)
    ]
    confusions = [ConfusionMatrix(job["num_classes"]) for _ in range(2)]
    start = time.perf_counter()
    for found in predict_examples(network, examples, params, **settings):
        for confusion, label in zip(confusions, found.labels, strict=False):
            confusion.add(found.truth, label)
    return time.perf_counter() - start


def main():
    """Read the job, then answer requests until the input ends."""
    job = json.loads(sys.stdin.readline())
    network, settings = load(job)
    params = CRFParams(**job["params"])
    for _ in sys.stdin:
        parts = {"whole": params, "network": None}
        found = {part: evaluate(network, settings, job, crf) for part, crf in parts.items()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
