"""What several workers gain: measured on this machine, and simulated for 8 to 256 of them.

    make distributed

Measured: the step of a small network, with a batch of --batch_size for each worker, by one process
and by two and four that are connected by TF_CONFIG. Every process computes with one thread on a
core of its own, as far as there are cores. Efficiency is the time of a step by one process, divided
by that of several. And the time of an all-reduce, which adds up the gradients of all workers, for
vectors of several sizes.

The model of a ring all-reduce of S bytes among n workers is

    T(n, S) = 2 (n - 1) (latency + S / (n bandwidth)),

because in 2 (n - 1) rounds each worker sends one part of n to its neighbor. Latency and bandwidth
are those of two workers here: T of the smallest vector, and what the largest takes beyond it. The
last column of the second table is what the model says for four.

Simulated: a step takes as long as the slowest of n workers computes, drawn from the step times of
one process that were measured, and then the all-reduce of the gradients; nothing overlaps. Also for
networks of other bandwidths, --gigabits, at the latency measured. Cost is the time of all machines
for an image, relative to one machine.
"""

import json
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests" / "support"))  # starts workers

import numpy as np
from absl import app, flags
from worker_processes import ended, running, start

FLAGS = flags.FLAGS

flags.DEFINE_string("scaling_backbone", "mobilenetv2", "Backbone of the network.")
flags.DEFINE_integer("crop_size", 129, "Height and width of the images.", lower_bound=1)
flags.DEFINE_integer("batch_size", 2, "Images of each worker.", lower_bound=1)
flags.DEFINE_integer("steps", 30, "Steps that are timed.", lower_bound=2)
flags.DEFINE_list("measured_workers", ["1", "2", "4"], "Numbers of workers to measure; 1 is first.")
flags.DEFINE_list("gigabits", ["1", "10", "100"], "Networks to simulate, in gigabits per second.")

SIMULATED = 8, 16, 32, 64, 128, 256
DRAWS = 2000


def measure(count):
    """Step times and all-reduce times of `count` workers, as the chief prints them."""
    command = ["-m", "benchmarks.distributed_scaling_worker"]
    command += [FLAGS.scaling_backbone, FLAGS.crop_size, FLAGS.batch_size, FLAGS.steps]
    if count == 1:
        results = [ended(start([*command, "none"]), 600)]
    else:
        with running([*command, "multi_worker"], count) as processes:
            results = [ended(process, 600) for process in processes]
    for result in results:
        if result.status:
            sys.exit(f"error: a worker ended with status {result.status}: {result.err[-2000:]}")
    return json.loads(results[0].out.splitlines()[-1])


def ring_seconds(workers, size, latency, bandwidth):
    """Seconds of a ring all-reduce of `size` bytes; latency in seconds, bandwidth in bytes/s."""
    return 2 * (workers - 1) * (latency + size / (workers * bandwidth))


def fit_ring(times):
    """Latency in seconds and bandwidth in bytes/s of two workers' times, {bytes: seconds}."""
    small, large = min(times), max(times)
    return times[small] / 2, (large - small) / (times[large] - times[small])


def simulate(workers, steps, size, latency, bandwidth):
    """Milliseconds of the slowest of the workers, and of the all-reduce."""
    draws = np.random.default_rng(0).choice(steps, (DRAWS, workers))
    return 1e3 * draws.max(1).mean(), 1e3 * ring_seconds(workers, size, latency, bandwidth)


def print_steps(measured, cores):
    """Print the table of measured steps."""
    print(f"{'workers':>7}{'step ms':>10}{'images/s':>10}{'efficiency':>12}")
    alone = statistics.median(measured[1]["steps"])
    for count, found in measured.items():
        step = statistics.median(found["steps"])
        note = "" if count <= cores else f"  (more workers than the {cores} cores)"
        print(
            f"{count:7}{1e3 * step:10.1f}{count * FLAGS.batch_size / step:10.1f}"
            f"{alone / step:12.2f}{note}"
        )


def print_reductions(measured, latency, bandwidth):
    """Print the table of measured all-reduces, and what the model says for four workers."""
    several = [count for count in measured if count > 1]
    heads = "".join(f"{f'{count} workers ms':>14}" for count in several)
    print(f"\n{'bytes':>12}{heads}" + ("" if 4 not in several else f"{'model of 4 ms':>15}"))
    for size in measured[2]["reductions"]:
        row = "".join(f"{1e3 * measured[count]['reductions'][size]:14.2f}" for count in several)
        model = 1e3 * ring_seconds(4, int(size), latency, bandwidth)
        print(f"{int(size):12,}{row}" + ("" if 4 not in several else f"{model:15.2f}"))


def print_simulation(steps, size, latency, networks):
    """Print the simulated steps of many workers, for each network {name: bytes/s}."""
    print(f"\n{'network':>14}{'workers':>9}{'slowest ms':>12}{'all-reduce ms':>15}{'step ms':>9}"
          f"{'images/s':>10}{'efficiency':>12}{'cost':>7}")  # fmt: skip
    alone = 1e3 * statistics.mean(steps)
    for name, bandwidth in networks.items():
        for count in SIMULATED:
            slowest, reduction = simulate(count, steps, size, latency, bandwidth)
            step = slowest + reduction
            print(
                f"{name:>14}{count:9}{slowest:12.1f}{reduction:15.1f}{step:9.1f}"
                f"{1e3 * count * FLAGS.batch_size / step:10.1f}{alone / step:12.2f}"
                f"{step / alone:7.2f}"
            )


def main(_):
    """Measure, and print the tables."""
    measured = {count: measure(count) for count in map(int, FLAGS.measured_workers)}
    if not {1, 2} <= set(measured):
        sys.exit("error: --measured_workers needs 1 and 2, from which the others are simulated")
    print_steps(measured, len(os.sched_getaffinity(0)))
    times = {int(size): seconds for size, seconds in measured[2]["reductions"].items()}
    latency, bandwidth = fit_ring(times)
    print_reductions(measured, latency, bandwidth)
    size = measured[1]["gradient_bytes"]
    print(
        f"\nring: latency {1e3 * latency:.2f} ms, bandwidth {bandwidth / 1e6:.0f} MB/s; gradients "
        f"of {FLAGS.scaling_backbone}: {size / 1e6:.1f} MB"
    )
    others = {f"{gigabits} Gbit/s": float(gigabits) / 8 * 1e9 for gigabits in FLAGS.gigabits}
    print_simulation(measured[1]["steps"], size, latency, {"this machine": bandwidth, **others})


if __name__ == "__main__":
    app.run(main)
