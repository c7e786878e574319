"""crf.pydensecrf against pydensecrf: agreement of results, and ratio of times in the same run.

    python benchmarks/crf_drop_in.py --binding_python=PATH [--binding_source=CHECKOUT]

PATH is the Python of an environment with numpy and pydensecrf; with scipy and opencv-python for
the examples. Prints four tables: random small cases of every kind (see drop_in_cases.py); the
errors of both on these cases, compared with exact inference over all pairs of points, where
`crf.infer` is the package's own interface; with --binding_source, pydensecrf's published tests and
examples, run with the import lines changed; and times of both on the same features, where this
package uses all processors. Other programs on the machine disturb processor time less.
"""

import statistics
import sys
import tempfile
from pathlib import Path

# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags
from tqdm import tqdm

import crf.pydensecrf.densecrf as densecrf
import crf.pydensecrf.utils as utils
from benchmarks.drop_in_cases import KINDS, infer, measure, random_case
from benchmarks.drop_in_exact import marginals
from benchmarks.drop_in_examples import examples_of, run_example, run_tests
from benchmarks.worker import Worker

FLAGS = flags.FLAGS

flags.DEFINE_string("binding_python", None, "Python with pydensecrf.", required=True)
flags.DEFINE_string("binding_source", None, "pydensecrf's sources, for the examples.")
flags.DEFINE_integer("cases", 20, "Random cases of each kind.", lower_bound=1)
flags.DEFINE_integer("iterations", 5, "Mean field iterations.", lower_bound=0)
flags.DEFINE_integer("size", 321, "Side of an image that is timed; 0 times nothing.")
flags.DEFINE_integer("labels", 21, "Labels of the cases that are timed.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Times each case is timed; the best one counts.", lower_bound=1)
flags.DEFINE_string("golden_dir", None, "Write small cases with the binding's results there.")

GOLDEN_CASES = 4


def ask(binding, folder, **job):
    """The arrays that pydensecrf computes for a job."""
    result = str(Path(folder) / "result.npz")
    binding.ask({**job, "result": result})
    with np.load(result) as arrays:
        return dict(arrays)


def infer_both(binding, folder, kind, seed, size):
    """A random case, and the arrays that pydensecrf and this package compute."""
    case, path = random_case(kind, seed, size), str(Path(folder) / "case.npz")
    np.savez(path, **case)
    theirs = ask(binding, folder, case=path, iterations=FLAGS.iterations)
    return case, theirs, infer(case, densecrf, utils, FLAGS.iterations)


def compare(ours, theirs):
    """The share of points with equal labels, and mean and largest |dQ|."""
    error = np.abs(ours - theirs)
    return (ours.argmax(axis=0) == theirs.argmax(axis=0)).mean(), error.mean(), error.max()


def compare_cases(binding, folder):
    """Print the worst agreement of each kind of random case."""
    heads = f"{'cases':>6}{'equal labels':>14}{'mean |dQ|':>11}{'max |dQ|':>11}{'|dKL| / |KL|':>14}"
    print(f"{'random':13}{heads}   (the worst of each kind)")
    for kind in KINDS:
        rows = []
        for seed in tqdm(range(FLAGS.cases), desc=kind, unit="case", leave=False):
            _, theirs, ours = infer_both(binding, folder, kind, seed, 12)
            divergence = np.abs(ours["divergence"] / theirs["divergence"] - 1).max()
            for name in ("inference", "stepped"):
                rows.append((*compare(ours[name], theirs[name]), divergence))
        equal, mean, largest, divergence = zip(*rows, strict=True)
        numbers = f"{max(mean):11.1e}{max(largest):11.1e}{max(divergence):14.1e}"
        print(f"{kind:13}{FLAGS.cases:6}{min(equal):14.4f}{numbers}", flush=True)


def compare_with_exact(binding, folder):
    """Print the errors of both, and in how many cases this package's is at most the other's."""
    rows = {}
    for kind in KINDS:
        for seed in tqdm(range(FLAGS.cases), desc=kind, unit="case", leave=False):
            case, theirs, ours = infer_both(binding, folder, kind, seed, 12)
            own = marginals(case, FLAGS.iterations, "lattice")
            exact = marginals(case, FLAGS.iterations, "exact").astype(np.float64)
            found = theirs["inference"], ours["inference"], own
            # Without normalization, lattices differ much more from exact inference.
            row = "some kernel not normalized" if "NO_NORMALIZATION" in str(case["calls"]) else kind
            rows.setdefault(row, []).append([compare(each, exact)[:2] for each in found])
    names = "pydensecrf", "crf.pydensecrf", "crf.infer"
    print(f"\n{'to exact':27}{'cases':>6}" + "".join(f"{name:>26}" for name in names))
    print(f"{'':33}" + 3 * f"{'mean |dQ|':>13}{'equal labels':>13}")
    for row in sorted(rows, key=[*KINDS, *rows].index):
        cells = (f"{mean:13.2e}{equal:13.4f}" for equal, mean in np.mean(rows[row], axis=0))
        print(f"{row:27}{len(rows[row]):6}" + "".join(cells))
    errors = np.concatenate(list(rows.values()))[..., 1].T
    for name, excess in zip(names[1:], errors[1:] - errors[0], strict=True):
        print(
            f"the error of {name} is at most that of pydensecrf in {(excess <= 0).sum()} of "
            f"{len(excess)} cases, and at most {max(excess.max(), 0):.1e} larger in the others",
            flush=True,
        )


def compare_examples(binding, folder):
    """Print how the published examples agree."""
    report = run_tests(FLAGS.binding_source, folder, "crf.pydensecrf")
    print(f"\n{'published tests':30}{report}")
    print(f"{'published examples':30}variables")
    for name, example in examples_of(FLAGS.binding_source, folder).items():
        theirs = ask(binding, folder, example=example)
        ours = run_example(*example, "crf.pydensecrf")
        if set(ours) != set(theirs):
            sys.exit(f"error: {name} gives {sorted(ours)} and not {sorted(theirs)}")
        print(f"{name:30}{', '.join(_describe(key, ours, theirs) for key in sorted(ours))}")


def _describe(key, ours, theirs):
    """How one variable of an example agrees."""
    mine, other = ours[key], theirs[key]
    if mine.dtype.kind == "U":
        return f"{key}: {mine} and {other}"
    if key.startswith("Q"):
        equal, mean, _ = compare(mine, other)
        return f"{key}: equal labels {equal:.5f}, mean |dQ| {mean:.1e}"
    if mine.ndim:
        return f"{key}: equal {(mine == other).mean():.5f}"
    return f"{key}: {mine:.6g} and {other:.6g}"


def compare_times(binding, folder):
    """Print the times of both on the same features."""
    heads = f"{'points':>9}{'labels':>8}{'pydensecrf':>12}{'this':>10}{'ratio':>8}"
    print(f"\n{'seconds':13}{heads}{'pydensecrf':>14}{'this':>10}{'ratio':>8}   (processor time)")
    ratios = []
    for kind in KINDS:
        case = random_case(kind, 0, FLAGS.size, FLAGS.labels)
        path = str(Path(folder) / "case.npz")
        np.savez(path, **case)
        theirs, ours = [], []
        measure(case, densecrf, utils, 1)  # compiles
        for _ in range(FLAGS.rounds):
            theirs.append(binding.ask({"case": path, "iterations": FLAGS.iterations})["seconds"])
            ours.append(measure(case, densecrf, utils, FLAGS.iterations))
        labels, points = case["unary"].shape
        (their_wall, their_work), (wall, work) = np.min(theirs, axis=0), np.min(ours, axis=0)
        ratios.append(their_wall / wall)
        elapsed = f"{their_wall:12.3f}{wall:10.3f}{their_wall / wall:8.2f}"
        processor = f"{their_work:14.3f}{work:10.3f}{their_work / work:8.2f}"
        print(f"{kind:13}{points:9}{labels:8}{elapsed}{processor}", flush=True)
    print(f"ratio: median {statistics.median(ratios):.2f}, minimum {min(ratios):.2f}")


def write_golden(binding, folder):
    """Write small cases with pydensecrf's results, for tests/crf/pydensecrf."""
    for kind in KINDS:
        for seed in range(GOLDEN_CASES):
            case, theirs, _ = infer_both(binding, folder, kind, seed, 8)
            del theirs["stepped"]  # equal to the other one
            results = {f"their_{name}": value for name, value in theirs.items()}
            path = Path(FLAGS.golden_dir) / f"{kind}{seed}.npz"
            np.savez_compressed(path, **case, **results, iterations=FLAGS.iterations)


def main(_):
    """Print the tables, or write the golden files."""
    binding = Worker(FLAGS.binding_python, "drop_in_worker.py", "pydensecrf")
    with tempfile.TemporaryDirectory() as folder:
        if FLAGS.golden_dir:
            Path(FLAGS.golden_dir).mkdir(parents=True, exist_ok=True)
            write_golden(binding, folder)
            return
        compare_cases(binding, folder)
        compare_with_exact(binding, folder)
        if FLAGS.binding_source:
            compare_examples(binding, folder)
        if FLAGS.size:
            compare_times(binding, folder)


if __name__ == "__main__":
    app.run(main)
