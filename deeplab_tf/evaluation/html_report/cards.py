"""The pictures of one image for the page: image, truth, predicted labels and errors."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deeplab_tf.data.label_png import encode_label
from deeplab_tf.data.shrink import limited_size, shrink, shrink_label
from deeplab_tf.evaluation.html_report.data_urls import data_url, encode_jpeg
from deeplab_tf.evaluation.report import result_titles
from deeplab_tf.labels import VOID

# Longer side of a picture in pixels. With it, even 15 images of pure noise stay below 20 MB.
SIDE = 480
_JPEG_QUALITY = 85

# What is right and wrong at a pixel, and its color, which people with any color vision can tell
# apart (after Okabe and Ito): right; wrong; wrong only before the CRF; wrong only after it.
OUTCOMES = {
    "right": (222, 226, 230),
    "wrong": (202, 75, 10),
    "corrected by the CRF": (0, 114, 178),
    "damaged by the CRF": (240, 200, 40),
}
RIGHT, WRONG, CORRECTED, DAMAGED = range(len(OUTCOMES))
_NOT_SCORED = (250, 250, 250)


class Picture(NamedTuple):
    """A picture of a card.

    Args:
      title: "image", "truth", "before CRF" and so on.
      url: the picture itself as a data URL.
      alt: what it shows, in words.
    """

    title: str
    url: str
    alt: str


@dataclass(frozen=True)
class Card:
    """What the page shows of one image.

    Args:
      name: of the image.
      size: (width, height) of its pictures in pixels.
      pictures: list of `Picture`.
    """

    name: str
    size: tuple
    pictures: list


def make_card(prediction, label_set):
    """Make the pictures of an image.

    Args:
      prediction: `Prediction` with a truth, of `predict_examples`.
      label_set: `LabelSet` of the data set.

    Returns:
      `Card`; its pictures have at most 480 pixels on the longer side.
    """
    truth, labels, names = prediction.truth, prediction.labels, label_set.names
    outcome, colors = outcomes(truth, *labels), label_set.color_table()
    pictures = [
        Picture("image", _jpeg(prediction.image), "the image"),
        Picture("truth", _png(truth, colors), f"true classes: {describe(truth, names)}"),
    ]
    for title, label in zip(result_titles(len(labels)), labels, strict=True):
        words = f"classes, {title}: {describe(label, names)}"
        pictures.append(Picture(title, _png(label, colors), words))
    words = describe(outcome, list(OUTCOMES), others=False)
    pictures.append(Picture("errors", _png(outcome, _outcome_colors()), f"errors: {words}"))
    height, width = limited_size(*truth.shape, SIDE)
    return Card(prediction.example.name, (width, height), pictures)


def outcomes(truth, before, after=None):
    """Where labels are right and wrong.

    Args:
      truth: (H, W) uint8 true classes, 255 = void.
      before: (H, W) uint8 labels of the network.
      after: (H, W) uint8 labels after the CRF, or None.

    Returns:
      (H, W) uint8, indices into `OUTCOMES`, 255 where the truth is void.
    """
    wrong_before, wrong_after = truth != before, truth != (before if after is None else after)
    outcome = np.where(wrong_after, WRONG, RIGHT).astype(np.uint8)
    outcome[wrong_before & ~wrong_after] = CORRECTED
    outcome[wrong_after & ~wrong_before] = DAMAGED
    outcome[truth == VOID] = VOID
    return outcome


def describe(labels, names, others=True, longest=4):
    """The largest classes of a label map in words, for those who cannot see it.

    Args:
      labels: (H, W) uint8 class indices, 255 = void.
      names: the class names.
      others: whether to say how much the classes that are not named cover.
      longest: number of classes to name.

    Returns:
      str, such as "road 43 %, sky 21 %, other 36 %", in per cent of the pixels that are not void.
    """
    counts = np.bincount(labels.ravel(), minlength=256)[: len(names)]
    shares = 100 * counts / max(1, counts.sum())
    largest = [index for index in np.argsort(-shares, kind="stable")[:longest] if shares[index]]
    words = [f"{names[index]} {shares[index]:.0f} %" for index in largest]
    rest = 100 - shares[largest].sum()
    if others and largest and rest >= 0.5:
        words.append(f"other {rest:.0f} %")
    return ", ".join(words) or "only void"


def _outcome_colors():
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(OUTCOMES)] = list(OUTCOMES.values())
    colors[VOID] = _NOT_SCORED
    return colors


def _jpeg(image):
    return data_url("image/jpeg", encode_jpeg(shrink(image, SIDE), _JPEG_QUALITY))


def _png(labels, colors):
    return data_url("image/png", encode_label(shrink_label(labels, SIDE), colors))
