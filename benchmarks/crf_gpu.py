"""The CRF on a GPU: checks that it is right there, and its speed against pydensecrf's.

    python benchmarks/crf_gpu.py [--binding_python=PATH] [--rounds=3] [--check_on_cpu]

The layer `DenseCRF` in graphs, with and without pruning, XLA and mixed precision, in one piece and
in strips, must give the marginals of the numba engine; and the numba engine those of exact
inference, on a small image, as well as a lattice can. PATH is the Python of an environment with
numpy and pydensecrf; with it, the table has pydensecrf's time divided by each run's, of the best
of `rounds` turns. Without a GPU the script ends with an error; --check_on_cpu only runs the
checks, on a small image.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a file with the name of the package crf.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks.crf import PARAMETERS
from benchmarks.crf_scenes import drawn_image, network_scores
from benchmarks.worker import Worker
from crf import CRFParams, DenseCRF, dense_crf, refine
from crf.memory import GRAPH_FACTOR
from crf.strips import strip_bytes

FLAGS = flags.FLAGS
flags.DEFINE_bool("check_on_cpu", False, "Only check, on the CPU.")

PRUNED = {"prune_below": 0.05}
# Name -> (options of the layer, whether XLA compiles it, policy of mixed precision).
RUNS = {
    "lattice": ({}, False, "float32"),
    "lattice, mixed precision": ({}, False, "mixed_float16"),
    "lattice, pruned": (PRUNED, False, "float32"),
    "lattice, pruned, strips": ({**PRUNED, "overlap": 20}, False, "float32"),
    "xla, not compiled": ({"engine": "xla"}, False, "float32"),
    "xla": ({"engine": "xla"}, True, "float32"),
    "xla, mixed precision": ({"engine": "xla"}, True, "mixed_float16"),
    "xla, pruned": ({"engine": "xla", **PRUNED}, True, "float32"),
}
# Sums in another order change the last bits, which iterations can enlarge at single pixels.
LARGEST_MEAN_ERROR = 1e-6
LEAST_EQUAL_LABELS = 0.999
# A lattice approximates exact inference; on the small image its mean error is below 1e-5.
LARGEST_MEAN_ERROR_TO_EXACT = 1e-4


def make_run(name, options, params):
    """A function from probabilities (1, H, W, C) and images to marginals, as a graph."""
    _, compiled, policy = RUNS[name]
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    layer = DenseCRF(params, **options)
    keras.mixed_precision.set_dtype_policy(before)

    @tf.function(jit_compile=compiled, autograph=False)
    def run(probabilities, images):
        return layer([probabilities, images])

    return run


def options_for(name, shape, factor):
    """The options of a run for an image of this shape; strips see three quarters of it.

    Args:
      name: of `RUNS`.
      shape: (H, W, C) of the probabilities.
      factor: as for `strip_bytes`; each engine needs its own to have the same strips.
    """
    options = dict(RUNS[name][0])
    if "overlap" in options:
        longer, shorter = max(shape[:2]), min(shape[:2])
        options["overlap"] = min(options["overlap"], longer // 8)
        options["max_memory"] = strip_bytes(3 * longer // 4, shorter, shape[2], factor)
    return options


def check(name, result, wanted, largest=LARGEST_MEAN_ERROR):
    """Compare marginals (H, W, C) with those that are right; returns a problem or None."""
    error = np.abs(result - wanted).mean()
    equal = (result.argmax(axis=-1) == wanted.argmax(axis=-1)).mean()
    print(f"{name:28}{error:12.1e}{equal:10.2%}", flush=True)
    # NaN fails too.
    least = LEAST_EQUAL_LABELS if largest == LARGEST_MEAN_ERROR else 0
    if error <= largest and equal >= least:
        return None
    return f"{name}: mean |dQ| {error:.1e}, equal labels {equal:.2%}"


def check_numba(params):
    """Compare the numba engine with exact inference on a small image; returns a problem or None."""
    # Four labels are probable.
    probabilities, image = network_scores(48, 64, 21), drawn_image(48, 64, grain=8)
    exact = dense_crf(probabilities[None], image[None], params, "exact")[0].numpy()
    found = refine(probabilities, image, params)
    return check("numba, to exact", found, exact, LARGEST_MEAN_ERROR_TO_EXACT)


def seconds(run, inputs):
    """Best time of the rounds in seconds, with the copy of the result to the host."""
    best = np.inf
    for _ in range(FLAGS.rounds):
        start = time.perf_counter()
        run(*inputs).numpy()
        best = min(best, time.perf_counter() - start)
    return best


def binding_seconds(probabilities, image, params):
    """Best time of pydensecrf in seconds."""
    binding = Worker(FLAGS.binding_python, "binding_worker.py", "pydensecrf")
    with tempfile.TemporaryDirectory() as folder:
        case = str(Path(folder) / "case.npz")
        np.savez(case, image=image, probabilities=probabilities)
        job = {"case": case, **{name: getattr(params, name) for name in PARAMETERS}}
        return min(binding.ask(job)["seconds"] for _ in range(FLAGS.rounds))


def print_times(runs, inputs, binding):
    """Print the milliseconds of every run, and the ratio to `binding`, seconds or None."""
    print(f"\n{'':28}{'milliseconds':>14}{'pydensecrf / ours':>20}")
    for name, run in runs.items():
        spent = seconds(run, inputs)
        ratio = f"{binding / spent:20.1f}" if binding else ""
        print(f"{name:28}{1000 * spent:14.1f}{ratio}", flush=True)


def main(_):
    """Print the checks, and on a GPU the times."""
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    if not (on_gpu or FLAGS.check_on_cpu):
        sys.exit("error: TensorFlow sees no GPU; --check_on_cpu only checks, on the CPU")
    shape = (360, 480, 21) if on_gpu else (48, 64, 9)
    image, probabilities = drawn_image(*shape[:2], grain=8), network_scores(*shape)
    params = CRFParams(sigma_alpha=67 if on_gpu else 10)
    inputs = tf.constant(probabilities[None]), tf.constant(image[None])
    print(f"{'against numba':28}{'mean |dQ|':>12}{'labels':>10}")
    problems, runs = [check_numba(params)], {}
    for name in RUNS:
        runs[name] = make_run(name, options_for(name, shape, GRAPH_FACTOR), params)
        options = options_for(name, shape, factor=1)
        options.pop("engine", None)
        wanted = refine(probabilities, image, params, **options)
        problems.append(check(name, runs[name](*inputs)[0].numpy(), wanted))
    problems = [problem for problem in problems if problem]
    if problems:
        sys.exit("error: wrong results: " + "; ".join(problems))
    if on_gpu:
        python = FLAGS.binding_python
        binding = binding_seconds(probabilities, image, params) if python else None
        print_times(runs, inputs, binding)


if __name__ == "__main__":
    app.run(main)
