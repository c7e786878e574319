"""Batches of images through the CRF: one call of `refine_batch` against a loop, and its two ways.

    python benchmarks/crf_batches.py [--sizes=128x96,321x241] [--images=8] [--labels=21] [--short]

Drawn images with network-like scores, ten iterations, milliseconds for each image of a batch:
in a loop of `refine` with all threads, in one call of `refine_batch`, and side by side in as many
threads as there are processors, each with an image of its own. `refine_batch` takes the way of the
last column for images whose estimated memory (`inference_bytes`) is at most 134 MB, and that of the
loop for larger ones; the ratios show on which side each way is the faster one. All take turns,
--rounds times, and the best counts: wall-clock time, and in brackets processor time. The script
ends with an error if their results are not bit-identical.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags

from benchmarks.crf_scenes import drawn_image, network_scores
from benchmarks.timing import take_turns, timed
from crf import refine, refine_batch, warm_up
from crf.memory import inference_bytes
from crf.threads import available_threads

FLAGS = flags.FLAGS

SIZES = ["128x96", "160x120", "241x181", "321x241", "400x300", "480x360", "500x400", "640x480"]
flags.DEFINE_list("sizes", SIZES, "Widths and heights of the images in pixels.")
flags.DEFINE_integer("images", 8, "Images in a batch.", lower_bound=1)
flags.DEFINE_integer("labels", 21, "Number of labels.", lower_bound=2)
flags.DEFINE_integer("threads", None, "Number of threads; all processors if not given.")
flags.DEFINE_integer("rounds", 5, "Turns of each way; the best one counts.", lower_bound=1)
flags.DEFINE_bool("short", False, "Two sizes of small images, to try the script.")


def batch_of(width, height):
    """Lists of probabilities (H, W, C) and of images (H, W, 3), all of them different."""
    image, probabilities = (
        drawn_image(height, width, 2),
        network_scores(height, width, FLAGS.labels),
    )
    shifts = [number * width // FLAGS.images for number in range(FLAGS.images)]
    return tuple([np.roll(each, k, axis=1) for k in shifts] for each in (probabilities, image))


def in_a_loop(probabilities, images, threads):
    """Refine one image after another, each with all threads."""
    return [refine(*pair, num_threads=threads) for pair in zip(probabilities, images, strict=True)]


def side_by_side(probabilities, images, threads):
    """Refine as many images at the same time as there are threads, each with one."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(partial(refine, num_threads=1), probabilities, images))


def as_one_batch(probabilities, images, threads):
    """Refine all images in one call."""
    return refine_batch(probabilities, images, num_threads=threads)


def measure(width, height, threads):
    """What the best rounds of each way spent for an image, {way: {"seconds", "processor"}}."""
    batch = batch_of(width, height)
    ways = (in_a_loop, as_one_batch, side_by_side)
    runs = {way: partial(timed, partial(way, *batch, threads)) for way in ways}
    best, results = take_turns(runs, FLAGS.rounds)
    if any(not np.array_equal(results[way], results[in_a_loop]) for way in ways):
        sys.exit(f"error: the results of images of {width}x{height} pixels differ")
    return {
        way: {name: value / FLAGS.images for name, value in spent.items()}
        for way, spent in best.items()
    }


def main(_):
    """Print the table."""
    warm_up()
    threads = FLAGS.threads or available_threads()
    print(f"{FLAGS.images} images, {FLAGS.labels} labels, {threads} threads")
    heads = "loop, ms", "refine_batch, ms", "side by side, ms"
    print(f"{'size':>10}{'estimate, MB':>14}" + "".join(f"{head:>20}" for head in heads), end="")
    print(f"{'loop / refine_batch':>22}{'loop / side by side':>22}")
    for size in ["32x24", "48x36"] if FLAGS.short else FLAGS.sizes:
        width, height = map(int, size.split("x"))
        spent = measure(width, height, threads)
        line = f"{size:>10}{inference_bytes(height, width, FLAGS.labels) / 1e6:14.0f}"
        for each in spent.values():
            text = f"{1e3 * each['seconds']:.2f} ({1e3 * each['processor']:.2f})"
            line += f"{text:>20}"
        loop = spent[in_a_loop]["seconds"]
        for way in (as_one_batch, side_by_side):
            line += f"{loop / spent[way]['seconds']:22.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    app.run(main)
