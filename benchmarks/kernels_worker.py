"""Runs pydensecrf on any features for benchmarks/crf_kernels.py, in its own environment.

Reads one job per line of JSON from standard input: the `.npz` file of a case and a file for the
result; writes one line of JSON for each: seconds, and processor seconds. Needs only numpy and
pydensecrf.
"""

import json
import sys
from functools import partial

import numpy as np
import pydensecrf.densecrf as binding
from timing import timed


def main():
    """Answer jobs until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        with np.load(job["case"]) as case:
            # Its order of arguments is (labels, points); their making is not part of its time.
            unary = np.ascontiguousarray(case["unary"].T)
            features = [np.ascontiguousarray(case[f"features{k}"].T) for k in range(len(case) - 2)]
            weights = case["weights"].tolist()
        result, spent = timed(partial(infer, unary, features, weights, job["iterations"]))
        np.save(job["result"], result.T)
        print(json.dumps(spent), flush=True)


def infer(unary, features, weights, iterations):
    """The marginals, (C, N), of a case in the binding's order."""
    model = binding.DenseCRF(unary.shape[1], len(unary))
    model.setUnaryEnergy(unary)
    for columns, weight in zip(features, weights, strict=True):
        model.addPairwiseEnergy(columns, weight)
    return np.array(model.inference(iterations))


if __name__ == "__main__":
    main()
