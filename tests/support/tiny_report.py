"""A report of a few drawn scenes, without a network."""

from pathlib import Path

import cv2
import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.evaluation.html_report import Report, make_card
from deeplab_tf.evaluation.image_choice import choose_images
from deeplab_tf.evaluation.predict_dataset import Prediction
from deeplab_tf.evaluation.result_scores import ResultScores
from deeplab_tf.labels import LabelSet

CLASSES = LabelSet.in_voc_colors(("sky", "<b>road & $x$</b>", "car", "absent"))


def scene(seed, size=(60, 90)):
    """A sky, a road and a car, (H, W) uint8 labels with some void, and their picture."""
    rng, (height, width) = np.random.default_rng(seed), size
    labels = np.zeros(size, np.uint8)
    labels[height // 2 + rng.integers(-8, 8) :] = 1
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    labels[top : top + height // 3, left : left + width // 3] = 2
    labels[: height // 10] = 255
    picture = np.uint8([(120, 180, 250), (90, 90, 90), (200, 30, 30)])[labels % 253]
    return labels, cv2.add(picture, rng.integers(0, 20, picture.shape).astype(np.uint8))


def scored(seed, with_crf=True):
    """A `Prediction` of a scene: the labels are moved, and less so after the CRF."""
    truth, picture = scene(seed)
    known = np.where(truth == 255, 0, truth)
    labels = [np.roll(known, shift * (1 + seed % 5), (0, 1)) for shift in (4, 2)]
    if seed == 3:
        labels.reverse()
    confidences = np.random.default_rng(seed).uniform(0.4, 1, (2, *truth.shape))
    count = 2 if with_crf else 1
    example = Example(f"scene {seed}", f"{seed}.jpg", f"{seed}.png")
    found = tuple(labels[:count]), tuple(confidences[:count].astype(np.float32))
    return Prediction(example, picture, truth, *found)


def tiny_report(with_crf=True, count=9):
    """A `Report` of `count` scenes."""
    results = [ResultScores(4, count, "any", True) for _ in range(2 if with_crf else 1)]
    found = [scored(seed, with_crf) for seed in range(count)]
    for index, one in enumerate(found):
        for result, labels, confidence in zip(results, one.labels, one.confidences, strict=True):
            result.add(index, one.truth, labels, None, confidence)
    groups = choose_images(*(result.image_mious for result in results))
    cards = {i: make_card(found[i], CLASSES) for group in groups for i in group.images}
    return Report(
        title="tiny <i>model</i> on scenes",
        command="deeplab-tf evaluate --model='runs/<tiny>' --crf",
        settings={"model": Path("runs/<tiny>/best.keras"), "flip": "no"},
        label_set=CLASSES,
        before=results[0],
        after=results[1] if with_crf else None,
        groups=groups,
        cards=cards,
    )
