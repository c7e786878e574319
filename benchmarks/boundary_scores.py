"""How long the scores near borders take, and how long with a mask for each class.

    python benchmarks/boundary_scores.py [--data_dir=VOC_LAYOUT]

Scores label maps against copies of themselves that are moved by a few pixels: those of the
validation list of --data_dir, or drawn ones of 21 classes and 500x375 pixels. For each score it
prints the time for one image and one prediction in milliseconds, next to the confusion
matrix, which every evaluation needs. The peer computes boundary IoU and F1 as the released code
for binary masks does: class by class, by erosion and by dilation with a disk.
"""

import math
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from absl import app, flags

from deeplab_tf.data.image_files import load_label
from deeplab_tf.data.voc import read_label_set, read_split
from deeplab_tf.evaluation.boundary import (
    BAND_RATIO,
    TOLERANCE_RATIO,
    BoundaryScores,
    TrimapScores,
)
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.labels import VOID

FLAGS = flags.FLAGS

flags.DEFINE_string("data_dir", None, "Data set in VOC layout.")
flags.DEFINE_integer("images", 12, "Number of label maps.", lower_bound=1)


REPEATS = 10


def load_truths():
    """(label maps, number of classes)."""
    if FLAGS.data_dir:
        num_classes = read_label_set(FLAGS.data_dir).num_classes
        examples = read_split(FLAGS.data_dir, "val")
        chosen = examples[:: max(1, len(examples) // FLAGS.images)][: FLAGS.images]
        return [load_label(example.label, num_classes) for example in chosen], num_classes
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 21, (FLAGS.images, 4, 5)).astype(np.uint8)
    return [cv2.resize(one, (500, 375), interpolation=cv2.INTER_NEAREST) for one in coarse], 21


def mask_by_mask(truth, prediction):
    """Boundary IoU and F1 of every class that occurs, the way of the released code."""
    prediction = np.where(truth == VOID, VOID, prediction)
    diagonal = math.hypot(*truth.shape)
    width, reach = round(BAND_RATIO * diagonal), math.ceil(TOLERANCE_RATIO * diagonal)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    square, found = np.ones((3, 3), np.uint8), {}
    for index in set(np.unique(truth)) | set(np.unique(prediction)) - {VOID}:
        bands, lines = [], []
        for labels in (truth, prediction):
            mask = cv2.copyMakeBorder(
                (labels == index).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT
            )
            bands.append(mask - cv2.erode(mask, square, iterations=width))
            lines.append(mask - cv2.erode(mask, square))
        iou = (bands[0] & bands[1]).sum() / max(1, (bands[0] | bands[1]).sum())
        near = [(lines[i] & cv2.dilate(lines[1 - i], disk)).sum() for i in range(2)]
        found[index] = iou, 2 * sum(near) / max(1, lines[0].sum() + lines[1].sum())
    return found


def milliseconds(function, pairs):
    """Median over the pairs; of several times the shortest, which other programs disturb least."""
    shortest = []
    for pair in pairs:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            function(*pair)
            times.append(time.perf_counter() - start)
        shortest.append(min(times))
    return 1000 * sorted(shortest)[len(shortest) // 2]


def main(argv):
    """Print the table."""
    truths, num_classes = load_truths()
    pairs = [(truth, np.roll(truth, 3, (0, 1))) for truth in truths]
    for _, prediction in pairs:
        prediction[prediction == VOID] = 0
    scores = {
        "confusion matrix": ConfusionMatrix(num_classes).add,
        "trimaps of 40 widths": TrimapScores(num_classes).add,
        "boundary IoU and F1": BoundaryScores(num_classes).add,
        "the same, mask by mask": mask_by_mask,
    }
    found = {name: milliseconds(function, pairs) for name, function in scores.items()}
    print("score                      ms an image   confusion matrices")
    for name, value in found.items():
        print(f"{name:25s}{value:13.2f}{value / found['confusion matrix']:21.1f}")


if __name__ == "__main__":
    app.run(main)
