"""Networks of depthwise convolutions against PyTorch: inference and training steps.

    python benchmarks/depthwise.py --torch_python=PATH [--rounds=5] [--seconds=5]

MobileNetV2, MobileNetV3Small and EfficientNet-Lite0 with the head of LargeFOV, at output stride 8
and 16 (the number at the end of a network's name), on images of 241x241 pixels. At these strides
many depthwise convolutions are dilated. A training step learns all weights and the statistics of
batch normalization. Flags and turns are those of benchmarks/inference.py, --baseline included; the
ratio is the peer's time divided by ours, so above 1 this package is faster. Multiplications are
those of all convolutions, three times as many for a training step, in billions per second.

On a machine that is busy with other work, --processor_time compares the seconds that the processor
spends on one thread, whoever else has the processor in between.
"""

import os
import statistics
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags

from benchmarks import networks
from benchmarks.network_worker import DEPTHWISE

FLAGS = flags.FLAGS
FLAGS.set_default("network", list(DEPTHWISE))
FLAGS.set_default("batch_size", [4])
FLAGS.set_default("precision", ["float32"])
flags.DEFINE_multi_enum("task", ["inference", "train"], ["inference", "train"], "What to measure.")

flags.DEFINE_bool("processor_time", False, "Count processor seconds of one thread.")

SIZE = 241
# Column -> width; PEER becomes the peer's name.
COLUMNS = {
    "case": 44,
    "ours ms": 10,
    "PEER ms": 13,
    "PEER/ours": 15,
    "smallest": 10,
    "ours G/s": 10,
    "PEER G/s": 13,
    "PEER layout": 17,
}


def row(job, found, operations):
    """The cells of a case's row in the table."""
    work = (3 if job.task == "train" else 1) * job.batch_size * operations / 2
    medians = {name: statistics.median(result["seconds"]) for name, result in found.items()}
    rates = {name: f"{work / seconds / 1e9:.1f}" for name, seconds in medians.items()}
    case = f"{job.network} {job.task} {job.precision} batch {job.batch_size}"
    cells = [case, f"{1000 * medians['ours']:.0f}"]
    peer = networks.peer_name()
    if peer is None:
        return [*cells, "", "", "", rates["ours"], "", ""]
    turns = zip(found[peer]["seconds"], found["ours"]["seconds"], strict=True)
    return [
        *cells,
        f"{1000 * medians[peer]:.0f}",
        f"{medians[peer] / medians['ours']:.2f}",
        f"{min(a / b for a, b in turns):.2f}",
        *rates.values(),
        found[peer]["layout"],
    ]


def main(_):
    """Print the table."""
    size = FLAGS.size or SIZE
    peer = networks.peer_name()
    clock = "processor time of one thread" if FLAGS.processor_time else "time"
    print(f"{clock}, {size}x{size} pixels; G/s: billions of multiplications per second\n")
    networks.print_row([column.replace("PEER", peer or "peer") for column in COLUMNS], COLUMNS)
    for network in FLAGS.network:
        parameters, operations = networks.count(network, size)
        for task, precision, batch_size in product(FLAGS.task, FLAGS.precision, FLAGS.batch_size):
            job = networks.Job(network, task, size, batch_size, precision, FLAGS.processor_time)
            found, _ = networks.measure(job, with_rate=False)
            networks.check_parameters(job, parameters, found)
            networks.print_row(row(job, found, operations), COLUMNS)
    print("\nnumbers of parameters agree" if peer else "\nno --torch_python or --baseline given")


if __name__ == "__main__":
    app.run(main)
