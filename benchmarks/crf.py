"""The CRF's engines against pydensecrf: time, including lattice construction, and peak memory.

    python benchmarks/crf.py --binding_python=PATH [--data_dir=CAMVID] [--rounds=3] [--table=all]

PATH is the Python of an environment with numpy and pydensecrf. All engines take turns on every
case, `rounds` times; the table gives the binding's best time divided by each engine's best.
Without --binding_python only the engines' own times are printed.

The table of peak memory has the estimate (`inference_bytes`) and the numba engine, pydensecrf, and
the lattice engine in a graph for images of any size: the whole image, and with half of what that
takes by the estimate as `max_memory`, with an overlap of sigma_alpha. Peaks include the result.

Images: a smooth and a textured one, both synthetic, and with --data_dir a photograph. Scores:
random, and like those of a network at output stride 8 that finds 4 of 21 classes (2 of 11).
"""

import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# This script has the name of the package and would be imported in its place.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
import tensorflow as tf
from absl import app, flags
from tqdm import tqdm

from benchmarks.binding_worker import peak_megabytes
from benchmarks.crf_scenes import drawn_image, network_scores, random_scores
from benchmarks.worker import Worker, run_alone
from crf import CRFParams, dense_crf, warm_up
from crf.memory import GRAPH_FACTOR, inference_bytes
from crf.strips import strip_bytes
from deeplab_tf.data.image_files import load_image
from deeplab_tf.data.voc import read_split

FLAGS = flags.FLAGS

flags.DEFINE_string("binding_python", None, "Python of an environment with pydensecrf.")
flags.DEFINE_string("data_dir", None, "Data set in VOC layout, for a photograph.")
flags.DEFINE_integer("rounds", 3, "Times each case is run; the best one counts.", lower_bound=1)
flags.DEFINE_enum("table", "all", ["all", "times", "pruning", "memory"], "What to print.")
flags.DEFINE_bool("large_only", False, "Skip 480x360 with 11 labels.")
flags.DEFINE_string("memory_of", None, "Used by the script itself: the file of a case.")
flags.DEFINE_string("memory_options", "{}", "Used by the script itself: options as JSON.")

SIZES = [(375, 500, 21), (360, 480, 11)]
SIGMAS = [(67, 3), (80, 13)]
PRUNE_BELOW = 0.05
ENGINES = {
    "numba, 2 threads": {"engine": "numba", "num_threads": 2},
    "numba, 1 thread": {"engine": "numba", "num_threads": 1},
    "numba, 2 threads, pruned": {
        "engine": "numba",
        "num_threads": 2,
        "prune_below": PRUNE_BELOW,
    },
    "lattice": {"engine": "lattice"},
    "lattice, pruned": {"engine": "lattice", "prune_below": PRUNE_BELOW},
}


def images(height, width):
    """Images by name."""
    found = {
        "smooth": drawn_image(height, width, grain=0),
        "textured": drawn_image(height, width, grain=8),
    }
    if FLAGS.data_dir:
        photo = load_image(read_split(FLAGS.data_dir, "val", need_labels=False)[0].image)
        found["photograph"] = cv2.resize(photo, (width, height))
    return found


def write_cases(folder):
    """Write a `.npz` file for every case; returns the names of the cases."""
    names = []
    for height, width, num_classes in SIZES[: 1 if FLAGS.large_only else 2]:
        scores = {"random": random_scores, "network": network_scores}
        for (image_name, image), (kind, make) in product(
            images(height, width).items(), scores.items()
        ):
            name = f"{width}x{height}x{num_classes} {image_name} {kind}"
            probabilities = make(height, width, num_classes)
            np.savez(folder / f"{name}.npz", image=image, probabilities=probabilities)
            names.append(name)
    return names


class Binding(Worker):
    """pydensecrf in its own process."""

    def __init__(self, python):
        super().__init__(python, "binding_worker.py", "pydensecrf")

    def run(self, case, params):
        """Run one inference; returns {"seconds", "megabytes"}, its time and peak memory."""
        return self.ask({"case": str(case), **{name: getattr(params, name) for name in PARAMETERS}})


PARAMETERS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma", "iterations")


def load_case(path):
    """Probabilities and image of a case, as a batch of one."""
    with np.load(path) as case:
        return case["probabilities"][None], case["image"][None]


def as_served(run, num_classes):
    """A graph for images of any size, as in an exported model; nothing of it is a constant."""
    any_size = [None, None, None]
    signature = [
        tf.TensorSpec([*any_size, num_classes], tf.float32),
        tf.TensorSpec([*any_size, 3], tf.uint8),
    ]
    return tf.function(lambda p, i: run(p, i), input_signature=signature, autograph=False)


def make_runs(case, params):
    """Functions to time, by name; each has run once, so tracing and compilation are done."""
    probabilities, image = load_case(case)
    runs = {}
    for name, options in ENGINES.items():
        if "prune_below" in options and "random" in case.stem:
            continue

        run = partial(dense_crf, params=params, **options)
        if options["engine"] == "lattice":
            run = as_served(run, probabilities.shape[3])
        runs[name] = partial(run, probabilities, image)
        runs[name]()
    return runs


def seconds(run):
    """Seconds that one call takes."""
    start = time.perf_counter()
    np.asarray(run())
    return time.perf_counter() - start


def measure(case, params, binding):
    """Best seconds of every engine and of the binding; in each round all take turns."""
    runs = make_runs(case, params)
    if binding:
        runs["pydensecrf"] = None
    best = dict.fromkeys(runs, np.inf)
    for _ in range(FLAGS.rounds):
        for name, run in runs.items():
            spent = seconds(run) if run else binding.run(case, params)["seconds"]
            best[name] = min(best[name], spent)
    return best


def report_memory(case, options):
    """In a new process: print the megabytes that one inference adds to the peak."""
    probabilities, image = load_case(case)
    run = partial(dense_crf, params=CRFParams(), **options)
    if options["engine"] == "lattice":
        run = as_served(run, probabilities.shape[3])
    run(probabilities[:, :8, :8], image[:, :8, :8])  # compiles or traces
    before = peak_megabytes(reset=True)
    run(probabilities, image)
    print(peak_megabytes() - before)


def memory_of(case, **options):
    """The megabytes that one inference adds to the peak of a new process; ends if it fails."""
    found = run_alone(__file__, {"memory_of": case, "memory_options": json.dumps(options)})
    if isinstance(found, str):
        sys.exit(f"error: {case.stem}, {options}: {found}")
    return found


def print_memory(cases):
    """Print estimates and peak memory, each case and engine in its own process."""
    heads = "estimate", "numba", "pydensecrf", "lattice", "max_memory", "lattice in strips"
    print(f"\n{'peak memory, MB, 67/3':42}" + "".join(f"{head:>19}" for head in heads))
    for case in cases:
        shape = load_case(case)[0].shape[1:]
        most = strip_bytes(*shape, GRAPH_FACTOR) / 2
        found = [inference_bytes(*shape) / 2**20, memory_of(case, engine="numba", num_threads=2)]
        binding = Binding(FLAGS.binding_python) if FLAGS.binding_python else None
        found.append(binding.run(case, CRFParams())["megabytes"] if binding else np.nan)
        found += [memory_of(case, engine="lattice"), most / 2**20]
        strips = {"max_memory": most, "overlap": round(CRFParams().sigma_alpha)}
        found.append(memory_of(case, engine="lattice", **strips))
        print(f"{case.stem:42}" + "".join(f"{each:19.0f}" for each in found), flush=True)


def print_pruning(cases):
    """Print how much pruning changes the results for network-like scores."""
    print(f"\n{f'pruned below {PRUNE_BELOW}, against unpruned':44}{'mean |dQ|':>12}{'labels':>10}")
    for case, (alpha, beta) in product(cases, SIGMAS):
        if "network" in case.stem:
            params = CRFParams(sigma_alpha=alpha, sigma_beta=beta)
            inputs = (*load_case(case), params, "numba")
            full = dense_crf(*inputs).numpy()
            pruned = dense_crf(*inputs, prune_below=PRUNE_BELOW).numpy()
            changed = (full.argmax(axis=-1) != pruned.argmax(axis=-1)).mean()
            error = np.abs(full - pruned).mean()
            print(f"{case.stem + f' {alpha}/{beta}':44}{error:12.1e}{changed:10.2%}")


def print_times(cases):
    """Print the milliseconds of every case, and the ratios of pydensecrf's time to the engines'."""
    warm_up()
    binding = Binding(FLAGS.binding_python) if FLAGS.binding_python else None
    results = {}
    for case, (alpha, beta) in tqdm(list(product(cases, SIGMAS)), unit="case"):
        params = CRFParams(sigma_alpha=alpha, sigma_beta=beta)
        results[f"{case.stem} {alpha}/{beta}"] = measure(case, params, binding)
    names = list(dict.fromkeys(name for best in results.values() for name in best))
    print(f"\n{'milliseconds':44}" + "".join(f"{name:>26}" for name in names))
    for key, best in results.items():
        cells = (f"{1000 * best[name]:.0f}" if name in best else "" for name in names)
        print(f"{key:44}" + "".join(f"{cell:>26}" for cell in cells))
    if "pydensecrf" not in names:
        print("\nno --binding_python given: no ratios")
        return
    print("\npydensecrf's time / ours                median     min")
    for size, name in product(sorted({key.split()[0] for key in results}), names[:]):
        ratios = [
            best["pydensecrf"] / best[name]
            for key, best in results.items()
            if key.startswith(size) and name in best
        ]
        if name != "pydensecrf":
            print(f"{size:12}{name:26}{statistics.median(ratios):8.2f}{min(ratios):8.2f}")


TABLES = {"times": print_times, "pruning": print_pruning, "memory": print_memory}


def main(_):
    """Print the tables."""
    if FLAGS.memory_of:
        report_memory(Path(FLAGS.memory_of), json.loads(FLAGS.memory_options))
        return
    with tempfile.TemporaryDirectory() as folder:
        cases = [Path(folder) / f"{name}.npz" for name in write_cases(Path(folder))]
        for name, table in TABLES.items():
            if FLAGS.table in ("all", name):
                table(cases)


if __name__ == "__main__":
    app.run(main)
