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
from deeplab_tf.data.examples import Example
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.models.precision import with_precision


def evaluate(network, job, params):
    """Seconds that an evaluation takes."""
    examples = [
        Example(*row) for row in zip(job["images"], job["images"], job["labels"], strict=True)
    ]
    confusions = [ConfusionMatrix(job["num_classes"]) for _ in range(2)]
    start = time.perf_counter()
    for found in predict_examples(network, examples, params, scales=job["scales"]):
        for confusion, label in zip(confusions, found.labels, strict=False):
            confusion.add(found.truth, label)
    return time.perf_counter() - start


def main():
    """Read the job, then answer requests until the input ends."""
    job = json.loads(sys.stdin.readline())
    network = with_precision(build(job["network"]), job["precision"])
    params = CRFParams(**job["params"])
    for _ in sys.stdin:
        found = {"whole": evaluate(network, job, params), "network": evaluate(network, job, None)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
