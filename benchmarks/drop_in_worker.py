"""Runs pydensecrf for benchmarks/crf_drop_in.py, in its own environment.

Reads one job per line of JSON from standard input and writes one line of JSON for each. A job is
an example to run, or the `.npz` file of a case: with a file for the result, or to be timed. Needs
numpy and pydensecrf, and for the examples scipy and opencv-python.
"""

import json
import sys

import numpy as np
import pydensecrf.densecrf as densecrf
import pydensecrf.utils as utils
from drop_in_cases import infer, measure
from drop_in_examples import run_example


def answer(job):
    """Do one job.

    Args:
      job: with "example", the arguments of `run_example`, and "result", the file for its
        variables; or with "case" and "iterations", and for the marginals again "result".

    Returns:
      Dictionary: the seconds of a case without result; else empty.
    """
    if "example" in job:
        np.savez(job["result"], **run_example(*job["example"], "pydensecrf"))
        return {}
    case = dict(np.load(job["case"]))
    if "result" not in job:
        return {"seconds": measure(case, densecrf, utils, job["iterations"])}
    np.savez(job["result"], **infer(case, densecrf, utils, job["iterations"]))
    return {}


def main():
    """Answer jobs until the input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
