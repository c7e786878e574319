"""Shared by train_step.py, inference.py and depthwise.py: processes that take turns, and the table.

For each case there are two workers, which are processes with the same protocol: one runs this
checkout, the other its peer, which is PyTorch or another checkout.
"""

import functools
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from benchmarks.network_worker import NETWORKS, PUBLISHED, build, count_parameters
from benchmarks.worker import Worker

FLAGS = flags.FLAGS

flags.DEFINE_string("torch_python", None, "Python of an environment with torch.")
flags.DEFINE_string("baseline", None, "Another checkout of this project to compare with instead.")
flags.DEFINE_integer("rounds", 5, "Turns of each; the median counts.", lower_bound=1)
flags.DEFINE_float("seconds", 5.0, "Minimum length of a turn.", lower_bound=0)
flags.DEFINE_multi_enum("network", list(PUBLISHED), list(NETWORKS), "Networks to measure.")
PRECISIONS = ["float32", "bfloat16"]
flags.DEFINE_multi_enum("precision", PRECISIONS, PRECISIONS, "Precisions to measure.")
flags.DEFINE_multi_integer("batch_size", [1, 4], "Batch sizes to measure.", lower_bound=1)
flags.DEFINE_integer(
    "size", None, "Side of the images in pixels; smaller is quicker.", lower_bound=33
)

SETTLE_SECONDS = 0.5
MATRIX_SIDE = 4096

# Column -> width; PEER becomes the peer's name.
COLUMNS = {
    "case": 38,
    "ours ms": 10,
    "PEER ms": 13,
    "PEER/ours": 15,
    "smallest": 10,
    "ours of matmul": 16,
    "PEER of matmul": 20,
    "ours MB": 10,
    "PEER MB": 13,
    "PEER layout": 17,
}


@dataclass(frozen=True)
class Job:
    """What a worker should run.

    Args:
      network: a name of `NETWORKS`.
      task: "inference" or "train".
      size: height and width of the images in pixels.
      batch_size: images in a batch.
      precision: "float32" or "bfloat16".
      processor_time: whether to compute on one thread and count the processor's seconds.
    """

    network: str
    task: str
    size: int
    batch_size: int
    precision: str
    processor_time: bool = False


class Repetition(Worker):
    """A process that repeats a job.

    Args:
      python, script: as for `Worker`.
      job: `Job`.
    """

    def __init__(self, python, script, job):
        super().__init__(python, script, script)
        self.about = self.ask(asdict(job))

    def seconds(self):
        """Mean seconds of one repetition, over a turn."""
        spent, repetitions = self.ask(FLAGS.seconds)
        return spent / repetitions

    def megabytes(self):
        """Peak memory of the process in megabytes; ends its input."""
        self.end_input()
        return self.answer()["megabytes"]


@functools.cache
def matrices():
    """Two float32 matrices, (2, n, n), multiplied once as a warm-up."""
    shape = (2, MATRIX_SIDE, MATRIX_SIDE)
    found = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found[0] @ found[1]
    return found


def multiplications_rate():
    """Floating-point operations per second of NumPy's float32 matrix product on all cores."""
    a, b = matrices()
    start = time.perf_counter()
    a @ b
    return 2 * MATRIX_SIDE**3 / (time.perf_counter() - start)


def count(network, size):
    """Parameters of a network, and operations of its convolutions for one image."""
    model = build(network, (size, size, 3))
    operations = 0
    for layer in model.layers:
        if len(getattr(layer, "kernel", np.zeros(0)).shape) == 4:
            operations += 2 * np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
    return count_parameters(model), float(operations)


def measure(job, with_rate=True):
    """Seconds of every round, memory and layout by worker; and the rate of matrix products."""
    workers = {"ours": Repetition(sys.executable, "network_worker.py", job)}
    if FLAGS.baseline:
        script = Path(FLAGS.baseline).resolve() / "benchmarks" / "network_worker.py"
        workers["baseline"] = Repetition(sys.executable, script, job)
    elif FLAGS.torch_python:
        workers["torch"] = Repetition(FLAGS.torch_python, "torch_worker.py", job)
    found = {name: {"seconds": [], **worker.about} for name, worker in workers.items()}
    rates = []
    for _ in tqdm(range(FLAGS.rounds), unit="round", desc=str(job.network), leave=False):
        for name, worker in workers.items():
            time.sleep(SETTLE_SECONDS)
            found[name]["seconds"].append(worker.seconds())
        if with_rate:
            rates.append(multiplications_rate())
    for name, worker in workers.items():
        found[name]["megabytes"] = worker.megabytes()
        worker.close()
    return found, statistics.median(rates) if with_rate else None


def check_parameters(job, parameters, found):
    """Check that all workers run the same network."""
    counts = {name: result["parameters"] for name, result in found.items()}
    if set(counts.values()) != {parameters}:
        sys.exit(f"error: {job.network} has {parameters} parameters, but the workers have {counts}")


def row(job, found, operations, rate):
    """The cells of a case's row in the table."""
    # The backward pass computes the gradients of the inputs and of the weights.
    passes = 3 if job.task == "train" else 1
    work = passes * job.batch_size * operations / rate
    medians = {name: statistics.median(result["seconds"]) for name, result in found.items()}
    shares = {name: f"{work / seconds:.2f}" for name, seconds in medians.items()}
    milliseconds = {name: f"{1000 * seconds:.0f}" for name, seconds in medians.items()}
    megabytes = {name: f"{result['megabytes']:.0f}" for name, result in found.items()}
    cells = [f"{job.network} {job.precision} batch {job.batch_size}", milliseconds["ours"]]
    peer = peer_name()
    if peer is None:
        return [*cells, "", "", "", shares["ours"], "", megabytes["ours"], "", ""]
    turns = zip(found[peer]["seconds"], found["ours"]["seconds"], strict=True)
    ratios = f"{medians[peer] / medians['ours']:.2f}", f"{min(a / b for a, b in turns):.2f}"
    return [
        *cells,
        milliseconds[peer],
        *ratios,
        *shares.values(),
        *megabytes.values(),
        found[peer]["layout"],
    ]


def peer_name():
    """The peer that the flags select: "baseline", "torch" or None."""
    if FLAGS.baseline:
        return "baseline"
    return "torch" if FLAGS.torch_python else None


def print_row(cells, columns=COLUMNS):
    """Print one line of the table."""
    first, *others = zip(cells, columns.values(), strict=True)
    line = first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in others)
    print(line, flush=True)


def run(task, size):
    """Measure every case of the flags and print the table.

    Args:
      task: "inference" or "train".
      size: height and width of the images in pixels, unless --size gives another.
    """
    size = FLAGS.size or size
    about = {network: count(network, size) for network in FLAGS.network}
    for network, (parameters, operations) in about.items():
        print(f"{network}: {parameters:,} parameters, {operations / 1e9:.1f} GFLOP per image")
    print(f"{task}, {size}x{size}; of matmul: rate of the convolutions relative to NumPy's in a")
    print(f"float32 product of two {MATRIX_SIDE}x{MATRIX_SIDE} matrices on all cores\n")
    print_row([column.replace("PEER", peer_name() or "peer") for column in COLUMNS])
    rates = []
    for network, precision, batch_size in product(FLAGS.network, FLAGS.precision, FLAGS.batch_size):
        job = Job(network, task, size, batch_size, precision)
        found, rate = measure(job)
        check_parameters(job, about[network][0], found)
        print_row(row(job, found, about[network][1], rate))
        rates.append(rate)
    print(f"\nmatrix product: {statistics.median(rates) / 1e9:.0f} GFLOP/s (median)")
    print("numbers of parameters agree" if peer_name() else "no --torch_python or --baseline given")
