"""The error of refining an image in strips, against the whole image, for several overlaps.

    python benchmarks/crf_strips.py [--data_dir=CAMVID] [--sigma_alpha=20,67,160]

The image is cut across its longer side into as many strips as --strips says. A row of the table has
the overlap in multiples of the bilateral kernel's standard deviation; the mean and the largest
difference of probabilities; the share of labels that differ; and the pixels that are worked on,
in multiples of the image's. --short tries the script on a small image.
"""

import os
import sys
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# crf.py next to this script is another benchmark and would be imported in place of the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from absl import app, flags

from benchmarks.crf_scenes import drawn_image, network_scores
from crf import CRFParams, refine
from crf.strips import plan_strips, strip_bytes
from deeplab_tf.data.image_files import load_image
from deeplab_tf.data.voc import read_split

FLAGS = flags.FLAGS

flags.DEFINE_string("data_dir", None, "Data set in VOC layout, for a photograph.")
flags.DEFINE_list("sigma_alpha", ["20", "67", "160"], "Standard deviations in pixels.")
flags.DEFINE_list("overlap", ["0", "0.5", "1", "1.5", "2", "3"], "Multiples of --sigma_alpha.")
flags.DEFINE_integer("strips", 3, "Number of strips.", lower_bound=2)
flags.DEFINE_integer("labels", 11, "Number of labels.", lower_bound=2)
flags.DEFINE_bool("short", False, "A small image, to try the script.")


def images():
    """Images by name."""
    size = (60, 240) if FLAGS.short else (400, 1600)
    found = {"drawn": drawn_image(*size, grain=2)}
    if FLAGS.data_dir:
        photograph = load_image(read_split(FLAGS.data_dir, "val", need_labels=False)[0].image)
        found[f"photograph {photograph.shape[1]}x{photograph.shape[0]}"] = photograph
    return found


def memory_for(shape, strips, overlap):
    """A `max_memory` that cuts an image of this shape into a number of strips."""
    longer, shorter = max(shape[:2]), min(shape[:2])
    return strip_bytes(-(-longer // strips) + 2 * overlap, shorter, shape[2])


def main(_):
    """Print the table."""
    print(
        f"{'':24}{'sigma_alpha':>12}{'overlap':>9}{'pixels':>8}{'strips':>8}{'mean |dQ|':>11}"
        f"{'max |dQ|':>10}{'labels':>10}{'work':>7}"
    )
    for (name, image), sigma in product(images().items(), map(float, FLAGS.sigma_alpha)):
        params = CRFParams(sigma_alpha=sigma)
        probabilities = network_scores(*image.shape[:2], FLAGS.labels)
        whole = refine(probabilities, image, params)
        for multiple in map(float, FLAGS.overlap):
            overlap = round(multiple * sigma)
            memory = memory_for(whole.shape, FLAGS.strips, overlap)
            try:
                strips = plan_strips(whole.shape, params, memory, overlap)
            except ValueError:  # the overlap is too large for this number of strips
                continue
            if len(strips) == 1:
                continue
            found = refine(probabilities, image, params, max_memory=memory, overlap=overlap)
            error = np.abs(found - whole)
            changed = (found.argmax(axis=-1) != whole.argmax(axis=-1)).mean()
            seen = sum(image[strip.seen][..., 0].size for strip in strips)
            print(
                f"{name:24}{sigma:12g}{multiple:9g}{overlap:8}{len(strips):8}{error.mean():11.1e}"
                f"{error.max():10.1e}{changed:10.3%}{seen / image[..., 0].size:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    app.run(main)
