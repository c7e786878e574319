"""How much faster LargeFOV trains than the networks with 4,096 filters that it made smaller.

    python benchmarks/large_fov.py [--size=321] [--batch_size=1] [--rounds=5] [--seconds=5]

The paper gives 3.36: the network with 1,024 filters of 3x3 pixels in fc6 against DeepLab's first
one, with 4,096 filters of 7x7. Between them is LargeFOV with 4,096 filters. Each network is trained
by a process of its own; they take turns, and a ratio is that of two turns of one round.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folder of this script has a crf.py, which would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from absl import app, flags
from tqdm import tqdm

from benchmarks import networks
from benchmarks.network_worker import WIDE

FLAGS = flags.FLAGS
FLAGS.set_default("batch_size", [1])
FIRST = "vgg16_large_fov"
SIZE = 321
COLUMNS = {"training": 24, "parameters": 14, "ms a step": 12, "times LargeFOV": 17, "smallest": 11}


def main(_):
    """Print the table."""
    size, batch_size = FLAGS.size or SIZE, FLAGS.batch_size[0]
    jobs = {
        name: networks.Job(name, "train", size, batch_size, "float32") for name in (FIRST, *WIDE)
    }
    workers = {
        name: networks.Repetition(sys.executable, "network_worker.py", job)
        for name, job in jobs.items()
    }
    seconds = {name: [] for name in workers}
    for _ in tqdm(range(FLAGS.rounds), unit="round", leave=False):
        for name, worker in workers.items():
            time.sleep(networks.SETTLE_SECONDS)
            seconds[name].append(worker.seconds())
    print(f"crops of {size}x{size} pixels, batch {batch_size}, float32\n")
    networks.print_row(COLUMNS, COLUMNS)
    for name, worker in workers.items():
        ratios = [a / b for a, b in zip(seconds[name], seconds[FIRST], strict=True)]
        cells = [
            name,
            f"{worker.about['parameters']:,}",
            f"{1000 * statistics.median(seconds[name]):.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}",
        ]
        networks.print_row(cells, COLUMNS)
        worker.close()


if __name__ == "__main__":
    app.run(main)
