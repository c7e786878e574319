"""How the CRF's time and memory grow with the pixels, the labels and the threads.

    python benchmarks/crf_scaling.py [--rounds=3] [--memory_limit=11] [--short]

Each row is a process of its own, which refines a drawn image with network-like scores by
`crf.refine`, without pruning: the wall-clock time and the processor time of the best round, the
peak memory that refining adds to the arguments, and the estimate of it. Images whose arguments,
result and estimate together need more than --memory_limit gigabytes are refined in overlapping
strips that fit it; their rows say "strips". A case that fails, or that the system kills for its
memory, is reported in its row, and the others go on. The last lines are the exponents of growth,
of the images that are refined whole: time is about proportional to (pixels or labels) to that
power.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags

from benchmarks.binding_worker import peak_megabytes
from benchmarks.crf_scenes import drawn_image, network_scores
from benchmarks.timing import timed
from benchmarks.worker import run_alone
from crf import CRFParams, refine, warm_up
from crf.memory import inference_bytes

FLAGS = flags.FLAGS

flags.DEFINE_integer("rounds", 3, "Times each case is run; the best one counts.", lower_bound=1)
flags.DEFINE_float("memory_limit", 11.0, "Gigabytes that a case may take.", lower_bound=0)
flags.DEFINE_list("threads", ["1", "2"], "Numbers of threads.")
flags.DEFINE_bool("short", False, "Small images and few labels, to try the script.")
flags.DEFINE_string("case", None, "Used by the script itself: a case as JSON.")

MEGAPIXELS = [0.1, 0.33, 1, 3.3, 10, 33]
LABELS = [2, 4, 8, 16, 32, 64, 128, 256]
COMMON_LABELS = 21
COMMON_MEGAPIXELS = 0.33
# After this many seconds, no further round of a case begins.
ENOUGH_SECONDS = 20


class Case(NamedTuple):
    """A process's work.

    Args:
      megapixels: size of the image, whose sides are as 4 to 3.
      labels: number of labels.
      threads: number of threads.
    """

    megapixels: float
    labels: int
    threads: int

    @property
    def size(self):
        """(height, width)."""
        height = round((self.megapixels * 1e6 * 3 / 4) ** 0.5)
        return height, round(self.megapixels * 1e6 / height)

    @property
    def max_memory(self):
        """What `refine` may use in strips, in bytes; None if the whole image fits the limit."""
        height, width = self.size
        left = FLAGS.memory_limit * 1e9 - height * width * (3 + 8 * self.labels)
        return left if inference_bytes(height, width, self.labels) > left else None


def cases():
    """The cases of each sweep, {name of what grows: list of `Case`}."""
    pixels, labels, common = MEGAPIXELS, LABELS, (COMMON_MEGAPIXELS, COMMON_LABELS)
    if FLAGS.short:
        pixels, labels, common = [0.001, 0.004], [2, 9], (0.002, 5)
    found = {}
    for threads in map(int, FLAGS.threads):
        plural = "thread" if threads == 1 else "threads"
        found[f"pixels, {threads} {plural}"] = [Case(n, common[1], threads) for n in pixels]
        found[f"labels, {threads} {plural}"] = [Case(common[0], n, threads) for n in labels]
    return found


def run_case(case):
    """In a process of its own: {"seconds", "processor", "megabytes"} of a case."""
    warm_up()
    image, probabilities = drawn_image(*case.size, grain=2), network_scores(*case.size, case.labels)
    options = {"num_threads": case.threads, "max_memory": case.max_memory}
    before = peak_megabytes(reset=True)
    rounds = []
    while len(rounds) < FLAGS.rounds and sum(r["seconds"] for r in rounds) < ENOUGH_SECONDS:
        rounds.append(timed(lambda: refine(probabilities, image, CRFParams(), **options))[1])
    best = {name: min(spent[name] for spent in rounds) for name in rounds[0]}
    return best | {"megabytes": peak_megabytes() - before}


def measure(case):
    """`run_case` in a new process; a text instead that says why, if it fails."""
    given = {name: FLAGS[name].value for name in ("rounds", "memory_limit")}
    return run_alone(__file__, {**given, "case": json.dumps(case)})


def exponent(sizes, values):
    """The slope of a line through the logarithms."""
    return np.polyfit(np.log(sizes), np.log(values), 1)[0]


def print_row(case):
    """Measure and print a case; returns what was measured, or None if it failed or had strips."""
    print(f"{case.megapixels:10g}{case.labels:8}{case.threads:9}", end="", flush=True)
    spent, in_strips = measure(case), case.max_memory is not None
    if isinstance(spent, str):
        print(f"   failed: {spent}", flush=True)
        return None
    # `inference_bytes` leaves the result out, which is allocated while the peak is measured.
    whole = inference_bytes(*case.size, case.labels)
    estimate = (case.max_memory if in_strips else whole) / 2**20
    print(
        f"{spent['seconds']:10.3f}{spent['processor']:13.3f}{spent['megabytes']:10.0f}"
        f"{estimate:10.0f}{'   strips' if in_strips else ''}",
        flush=True,
    )
    return None if in_strips else spent


def main(_):
    """Print the table and the exponents."""
    if FLAGS.case:
        print(json.dumps(run_case(Case(*json.loads(FLAGS.case)))))
        return
    print(
        f"{'megapixels':>10}{'labels':>8}{'threads':>9}{'seconds':>10}{'processor s':>13}"
        f"{'peak MB':>10}{'estimate':>10}"
    )
    lines = []
    for name, sweep in cases().items():
        measured = {case: spent for case in sweep if (spent := print_row(case))}
        if len(measured) > 1:
            sizes = [case.megapixels * case.labels for case in measured]  # one of them is fixed
            powers = (
                f"{what} {exponent(sizes, [spent[what] for spent in measured.values()]):.2f}"
                for what in ("seconds", "processor", "megabytes")
            )
            lines.append(f"growth with the {name}: {', '.join(powers)}")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    app.run(main)
