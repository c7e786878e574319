"""Runs pydensecrf for benchmarks/crf.py and benchmarks/crf_accuracy.py, in its own environment.

Reads one job per line of JSON from standard input: the `.npz` file of a case, its parameters, and
optionally a file for the result; writes one line of JSON for each: seconds and peak memory. Needs
only numpy and pydensecrf.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def peak_megabytes(reset=False):
    """Peak memory of this process on Linux, in MB; with reset, from now on."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def run(binding, unary, image, job):
    """Run the binding once; returns its result (C, N)."""
    height, width = image.shape[:2]
    model = binding.DenseCRF2D(width, height, len(unary))
    model.setUnaryEnergy(unary)
    model.addPairwiseGaussian(sxy=job["sigma_gamma"], compat=job["w2"])
    model.addPairwiseBilateral(
        sxy=job["sigma_alpha"], srgb=job["sigma_beta"], rgbim=image, compat=job["w1"]
    )
    return np.array(model.inference(job["iterations"]))


def main():
    """Answer jobs until the input ends."""
    # Not at the top, because benchmarks/crf.py imports this file without having pydensecrf.
    import pydensecrf.densecrf as binding

    for line in sys.stdin:
        job = json.loads(line)
        with np.load(job["case"]) as case:
            image, probabilities = case["image"], case["probabilities"]
        height, width, num_classes = probabilities.shape
        # The unary energy is not part of the binding's time, which favors the binding.
        unary = -np.log(np.maximum(probabilities, 1e-5))
        unary = np.ascontiguousarray(unary.reshape(-1, num_classes).T)
        del probabilities
        before = peak_megabytes(reset=True)
        start = time.perf_counter()
        result = run(binding, unary, image, job)
        seconds = time.perf_counter() - start
        megabytes = peak_megabytes() - before
        if job.get("result"):
            np.save(job["result"], result.T.reshape(height, width, num_classes))
        print(json.dumps({"seconds": seconds, "megabytes": megabytes}), flush=True)


if __name__ == "__main__":
    main()
