"""Images per second of the input pipeline, compared with PyTorch's DataLoader.

    python benchmarks/input.py --torch_python=PATH [--data_dir=CAMVID] [--rounds=7]

500x375 JPEGs and label PNGs become batches of 10 crops of 321x321, scaled by 0.5 to 1.5 and
mirrored, as float32 and uint8. This package reads them from files (labels with a palette, as in
VOC) and from one TFRecord file (gray labels, as tools/prepare_data.py writes them). PATH is the
Python of an environment with torch, numpy and opencv-python-headless; its DataLoader does the same
with OpenCV in 2 worker processes, from files with gray labels, because OpenCV turns palettes into
colors. All take turns, `rounds` times; start-up, and batches that are ready when a turn begins, are
not counted. Without --torch_python only the package's own rates are printed.

The images are the first of CAMVID, a data set in VOC layout, resized; without it, synthetic ones.
"""

import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Python looks next to this script, where the package is not.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import tensorflow as tf
from absl import app, flags
from tqdm import tqdm

from benchmarks.photographs import find_examples, write_jpeg
from benchmarks.worker import Worker
from deeplab_tf.commands.memory import keep_freed_memory
from deeplab_tf.data.examples import RECORD_FOOTER, RECORD_HEADER, Example, RecordExample
from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.labels import voc_colors

FLAGS = flags.FLAGS

flags.DEFINE_string("torch_python", None, "Python of an environment with torch and OpenCV.")
flags.DEFINE_string("data_dir", None, "Data set in VOC layout, for photographs.")
flags.DEFINE_integer("images", 200, "Number of images.", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "Turns of each; the median is printed.", lower_bound=1)
flags.DEFINE_integer("batches", 60, "Batches timed per turn.", lower_bound=1)

CROP_SIZE, BATCH_SIZE, WORKERS = 321, 10, 2
# Batches that are consumed before the timed ones: more than any pipeline prepares in advance.
UNTIMED = 16
SETTLE_SECONDS = 1.0
PEER = "DataLoader"


def write_files(folder):
    """Write images and both kinds of labels; return examples of each, and the number of classes."""
    palette, gray = [], []
    found, num_classes = find_examples(FLAGS.data_dir, folder, FLAGS.images)
    for index, example in enumerate(tqdm(found, unit="image", desc="writing", leave=False)):
        paths = [str(folder / f"{index}{end}") for end in (".jpg", "_palette.png", "_gray.png")]
        label = write_jpeg(paths[0], example, num_classes)
        Path(paths[1]).write_bytes(encode_label(label, voc_colors(256)))
        Path(paths[2]).write_bytes(encode_label(label))
        palette.append(Example(example.name, paths[0], paths[1]))
        gray.append(Example(example.name, paths[0], paths[2]))
    return palette, gray, num_classes


def write_records(examples, path):
    """Write the examples into one TFRecord file; return a `RecordExample` for each."""
    start, records = 0, []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            features = tf.train.Features()
            contents = (example.name.encode(), *example.read())
            for key, value in zip(("name", "image", "label"), contents, strict=True):
                features.feature[key].bytes_list.value.append(value)
            data = tf.train.Example(features=features).SerializeToString()
            writer.write(data)
            start += RECORD_HEADER
            records.append(RecordExample(example.name, str(path), start, len(data)))
            start += len(data) + RECORD_FOOTER
    return records


class Ours:
    """This package's pipeline, in this process."""

    def __init__(self, examples, num_classes):
        self._batches = iter(
            training_batches(
                examples, num_classes=num_classes, batch_size=BATCH_SIZE, crop_size=CROP_SIZE
            )
        )

    def seconds(self):
        """Seconds that the batches of a turn take, and processor seconds spent on them."""
        for _ in itertools.islice(self._batches, UNTIMED):
            pass
        start, spent = time.perf_counter(), time.process_time()
        for _ in itertools.islice(self._batches, FLAGS.batches):
            pass
        return time.perf_counter() - start, time.process_time() - spent


class DataLoader(Worker):
    """PyTorch's DataLoader, in processes of its own."""

    def __init__(self, examples):
        super().__init__(FLAGS.torch_python, "dataloader_worker.py", "torch's DataLoader")
        job = {
            "images": [example.image for example in examples],
            "labels": [example.label for example in examples],
            "crop_size": CROP_SIZE,
            "batch_size": BATCH_SIZE,
            "workers": WORKERS,
            "seed": 0,
        }
        self.say(job)

    def seconds(self):
        """Seconds that the batches of a turn take, and processor seconds spent on them."""
        return self.ask([UNTIMED, FLAGS.batches])


def measure(runs):
    """Seconds and processor seconds of every turn, by name, without the first round."""
    turns = {name: [] for name in runs}
    for round_ in tqdm(range(FLAGS.rounds + 1), unit="round", leave=False):
        for name, run in runs.items():
            # Let the previous pipeline finish the batches that it prepares in advance.
            time.sleep(SETTLE_SECONDS)
            seconds = run.seconds()
            if round_:
                turns[name].append(seconds)
    return turns


def print_rates(turns):
    """Print the table: rates, and their ratios to the DataLoader's in the same round."""
    images = FLAGS.batches * BATCH_SIZE
    heads = ("images/s", "least", "most", "processor ms/image", f"over {PEER}", "least")
    print(" " * 14 + "".join(f"{head:>20}" for head in heads))
    for name, values in turns.items():
        rates = [images / seconds for seconds, _ in values]
        spent = statistics.median(spent for _, spent in values)
        cells = [f"{rate:.0f}" for rate in (statistics.median(rates), min(rates), max(rates))]
        cells.append(f"{1000 * spent / images:.2f}")
        if PEER in turns and name != PEER:
            ratios = [
                theirs / ours for (ours, _), (theirs, _) in zip(values, turns[PEER], strict=True)
            ]
            cells += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}"]
        print(f"{name:14}" + "".join(f"{cell:>20}" for cell in cells))
    if PEER not in turns:
        print("no --torch_python given: no ratios")


def main(_):
    """Print the table."""
    keep_freed_memory()  # as tools/train.py does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        palette, gray, num_classes = write_files(folder)
        records = write_records(gray, folder / "a.tfrecord")
        runs = {
            "files": Ours(palette, num_classes),
            "TFRecord": Ours(records, num_classes),
        }
        if FLAGS.torch_python:
            runs[PEER] = DataLoader(gray)
        print_rates(measure(runs))
        if FLAGS.torch_python:
            runs[PEER].close()


if __name__ == "__main__":
    app.run(main)
