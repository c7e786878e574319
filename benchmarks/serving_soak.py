"""An exported model with the CRF under load: are results right, and does memory stop growing?

    python benchmarks/serving_soak.py --model=msrc21 [--minutes=10] [--threads=4]

The network is exported with its CRF, and a process that has only TensorFlow and NumPy serves it
(benchmarks/serving_soak_worker.py): threads send requests to all signatures, for images of mixed
sizes from 64 to 1600 pixels a side, and among them what a server must refuse: garbage, files that
are cut off, empty batches, NaN, and images that are too large. Most sizes are drawn at random,
since what TensorFlow keeps for every size is one way in which memory grows. Most images have the
area of a usual photograph, and a small share up to 1600x1200 pixels; large ones are refined in
strips (`export --crf_max_memory=1.2`). All threads begin with the largest image at once, so that
the peak of the first minute does not depend on chance. Of some images of fixed sizes, at least
99.9 % of the labels must be those of `deeplab_tf.segment`.

Printed are requests, refusals, pixels that differ, and for each minute the median and the peak of
the memory of the process. The exit status is 1 if a result is wrong, or if the peak of the last
minute is above that of the first by more than --growth. The variables of the environment are those
of docs/serving.md unless they are set before; --plain leaves them out.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags

from benchmarks.process_samples import Printed, watch
from benchmarks.serving_load import ENVIRONMENT, prepare, start_worker

MODEL = flags.DEFINE_string("model", None, "Name or file of a network.", required=True)
MINUTES = flags.DEFINE_float("minutes", 10, "How long requests are sent.", lower_bound=0)
THREADS = flags.DEFINE_integer("threads", 4, "Threads that send them.", lower_bound=1)
GROWTH = flags.DEFINE_float("growth", 0.1, "Share by which memory may grow after a minute.")
PLAIN = flags.DEFINE_bool("plain", False, "Leave the environment as it is.")


def rows_of_minutes(samples):
    """Requests, median and peak of the memory of each minute since the first sample."""
    # What is still running when the time is over belongs to the last minute.
    last, rows = max(0, -(-MINUTES.value // 1) - 1), {}
    for sample in samples:
        minute = min(int((sample.seconds - samples[0].seconds) // 60), int(last))
        rows.setdefault(minute, []).append(sample)
    counts = [0, *(row[-1].done for row in rows.values())]
    return [
        {
            "requests": count - before,
            "median": statistics.median(sample.megabytes for sample in row),
            "peak": max(sample.megabytes for sample in row),
        }
        for row, before, count in zip(rows.values(), counts, counts[1:], strict=False)
    ]


def print_table(found, minutes):
    """Print what was measured; returns the growth of memory after the first minute."""
    print(f"\n{'minute':>6}  {'requests':>8}  {'median MB':>9}  {'peak MB':>8}")
    for number, row in enumerate(minutes, 1):
        print(f"{number:6}  {row['requests']:8}  {row['median']:9.0f}  {row['peak']:8.0f}")
    first, last = minutes[0], minutes[-1]
    growth = last["peak"] / first["peak"] - 1
    print(
        f"\nserved {found['served']}, refused {found['refused']} of {found['bad']} bad requests\n"
        f"equal labels: {found['equal']:.4%} of the pixels of the worst image\n"
        f"memory: peak {last['peak']:.0f} MB in the last minute, {first['peak']:.0f} MB in the "
        f"first ({growth:+.1%})"
    )
    return growth


def main(_):
    """Run the worker and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), MODEL.value)
        remedies = {} if PLAIN.value else ENVIRONMENT
        process = start_worker(folder, MINUTES.value, THREADS.value, remedies)
        printed = Printed(process.stdout)
        samples = watch(process, lambda: printed.done, every=0.1)
        printed.join()
    if process.returncode:
        sys.exit(f"error: the worker ended with status {process.returncode}")
    found = json.loads(printed.lines[-1])
    growth = print_table(found, rows_of_minutes(samples))
    for problem in found["problems"]:
        print(f"wrong: {problem}")
    if found["problems"] or growth > GROWTH.value:
        sys.exit("error: see above" if found["problems"] else "error: memory grows")


if __name__ == "__main__":
    app.run(main)
