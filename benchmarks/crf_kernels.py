"""The CRF with kernels of any kind: against pydensecrf on the same features, and against exact.

    python benchmarks/crf_kernels.py [--binding_python=PATH] [--rounds=3] [--table=both]

PATH is the Python of an environment with numpy and pydensecrf. The first table gives the time of
ten iterations, with the construction of the lattices, and the processor time, which other programs
on the machine disturb less. Both sides take turns on every case, `rounds` times; the best counts.
Its last line is the median over the cases of pydensecrf's time divided by that with two threads.
The second table compares small cases with exact inference over all pairs of points: with each
point's message to itself, as in the published code, and without it, as in the paper's sum.

All cases are synthetic: regions around random points, values with noise, and energies with noise.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags

from benchmarks.timing import take_turns, timed
from benchmarks.worker import Worker
from crf import Kernel, grid_features, image_features, infer

FLAGS = flags.FLAGS

flags.DEFINE_string("binding_python", None, "Python of an environment with pydensecrf.")
flags.DEFINE_integer("rounds", 3, "Times each case is run; the best one counts.", lower_bound=1)
flags.DEFINE_enum("table", "both", ["both", "times", "accuracy"], "What to print.")
flags.DEFINE_bool("small", False, "Sixteenths of the sizes, to try the script.")

ITERATIONS = 10


class Case(NamedTuple):
    """Points on a grid.

    Args:
      shape: sizes of the grid.
      channels: number of values at each point.
      labels: number of labels.
      spacing: distance of neighbors along each axis.
      sigma_space, sigma_values: standard deviations of the kernel that compares values.
    """

    shape: tuple
    channels: int
    labels: int
    spacing: tuple
    sigma_space: float
    sigma_values: float


CASES = {
    "RGB image": Case((375, 500), 3, 21, (1, 1), 67, 10),
    "gray image": Case((375, 500), 1, 21, (1, 1), 67, 10),
    "8 bands": Case((256, 256), 8, 10, (1, 1), 40, 20),
    "volume": Case((40, 128, 128), 1, 4, (2.5, 1, 1), 10, 10),
    "RGB video": Case((8, 180, 320), 3, 5, (5, 1, 1), 40, 10),
}
SMALL_CASES = {
    "RGB image": Case((50, 60), 3, 5, (1, 1), 20, 10),
    "8 bands": Case((50, 60), 8, 5, (1, 1), 20, 20),
    "volume": Case((10, 16, 18), 1, 4, (2.5, 1, 1), 5, 10),
}


def make(case):
    """Unary energies (N, C) and [(features, weight)] of a case."""
    rng = np.random.default_rng(0)
    positions = grid_features(case.shape, 1, case.spacing)
    best = np.full(len(positions), np.inf, np.float32)
    label = np.zeros(len(positions), int)
    for number in range(3 * case.labels):
        center = positions[rng.integers(len(positions))]
        distance = ((positions - center) ** 2).sum(axis=1) * rng.uniform(0.5, 2)
        closer = distance < best
        best[closer], label[closer] = distance[closer], number % case.labels
    colors = rng.uniform(0, 255, (case.labels, case.channels))
    values = (colors[label] + rng.normal(0, 8, (len(label), case.channels))).astype(np.float32)
    unary = rng.normal(0, 1, (len(label), case.labels)).astype(np.float32)
    unary[np.arange(len(label)), label] -= 1
    image = values.reshape(*case.shape, case.channels)
    return unary, [
        (image_features(image, case.sigma_space, case.sigma_values, case.spacing), 4.0),
        (grid_features(case.shape, 3, case.spacing), 3.0),
    ]


def run_ours(unary, pairs, **options):
    """The marginals of our engine."""
    kernels = [Kernel(features, weight) for features, weight in pairs]
    return infer(unary, kernels, ITERATIONS, **options).marginals


def run_binding(process, folder, unary, pairs):
    """The marginals of pydensecrf, and what it spent."""
    arrays = {f"features{k}": features for k, (features, _) in enumerate(pairs)}
    np.savez(folder / "case.npz", unary=unary, weights=[weight for _, weight in pairs], **arrays)
    files = {"case": str(folder / "case.npz"), "result": str(folder / "result.npy")}
    spent = process.ask({"iterations": ITERATIONS, **files})
    return np.load(files["result"]), spent


def measure(unary, pairs, process, folder):
    """{name: {"seconds", "processor"}} of the best rounds, and the mean |dQ| to pydensecrf."""
    runs = {
        f"{threads} threads": lambda threads=threads: timed(
            lambda: run_ours(unary, pairs, num_threads=threads)
        )
        for threads in (2, 1)
    }
    if process:
        runs["pydensecrf"] = lambda: run_binding(process, folder, unary, pairs)
    runs["2 threads"]()  # compiles
    best, results = take_turns(runs, FLAGS.rounds)
    error = np.nan
    if process:
        error = np.abs(results["2 threads"] - results["pydensecrf"]).mean()
    return best, error


def print_times(process, folder):
    """The first table."""
    print(f"{'':14}{'points':>8}{'labels':>7}{'features':>9}", end="")
    print(
        "   ms: 2 threads   1 thread  pydensecrf   speedup: 2 threads  1 thread, processor", end=""
    )
    print("   mean |dQ|")
    ratios = []
    for name, case in CASES.items():
        if FLAGS.small:
            case = case._replace(shape=tuple(max(4, size // 4) for size in case.shape))
        unary, pairs = make(case)
        best, error = measure(unary, pairs, process, folder)
        two, one = best["2 threads"], best["1 threads"]
        other = best.get("pydensecrf", {"seconds": np.nan, "processor": np.nan})
        ratios.append(other["seconds"] / two["seconds"])
        print(
            f"{name:14}{len(unary):8}{case.labels:7}{pairs[0][0].shape[1]:9}"
            f"{1000 * two['seconds']:16.0f}{1000 * one['seconds']:11.0f}"
            f"{1000 * other['seconds']:12.0f}{ratios[-1]:21.2f}"
            f"{other['processor'] / one['processor']:21.2f}{error:12.1e}",
            flush=True,
        )
    if process:
        middle, least = statistics.median(ratios), min(ratios)
        print(f"pydensecrf's time / 2 threads: median {middle:.2f}, minimum {least:.2f}")


def print_accuracy(process, folder):
    """The second table: mean |dQ| and equal labels, compared with exact inference."""
    print(f"\n{'':14}{'compared with exact inference':42}{'equal labels':>14}{'mean |dQ|':>12}")
    for name, case in SMALL_CASES.items():
        unary, pairs = make(case)
        kept = run_ours(unary, pairs, engine="exact")
        left_out = run_ours(unary, pairs, engine="exact", self_messages=False)
        rows = {
            "messages to itself kept": (run_ours(unary, pairs), kept),
            "left out": (run_ours(unary, pairs, self_messages=False), left_out),
            "kept, to exact with them left out": (run_ours(unary, pairs), left_out),
            "exact kept, to exact left out": (kept, left_out),
        }
        if process:
            rows["pydensecrf"] = run_binding(process, folder, unary, pairs)[0], kept
        for what, (found, wanted) in rows.items():
            same = (found.argmax(axis=1) == wanted.argmax(axis=1)).mean()
            error = np.abs(found - wanted).mean()
            print(f"{name:14}{what:42}{same:14.4f}{error:12.2e}", flush=True)


def main(_):
    """Print both tables."""
    process = None
    if FLAGS.binding_python:
        process = Worker(FLAGS.binding_python, "kernels_worker.py", "pydensecrf")
    with tempfile.TemporaryDirectory() as folder:
        if FLAGS.table != "accuracy":
            print_times(process, Path(folder))
        if FLAGS.table != "times":
            print_accuracy(process, Path(folder))


if __name__ == "__main__":
    app.run(main)
