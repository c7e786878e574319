"""Scoring and drawing validation images during a training run."""

import contextlib
import math
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.data.shrink import shrink, shrink_label
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples
from deeplab_tf.evaluation.report import PHOTOGRAPH_SIDE, comparison_panel


class Validated(NamedTuple):
    """The result of a validation.

    Args:
      score: where more is better.
      pictures: list of (H, W, 3) uint8 RGB.
      curves: dict from the name of a further curve to its value.
    """

    score: float
    pictures: list
    curves: dict = MappingProxyType({})


class Validation:
    """Scores a network on full-size images of a split, and draws a few of them.

    Args:
      examples: list of `Example` or `RecordExample`.
      label_set: `deeplab_tf.labels.LabelSet` of the data.
      max_images: how many are scored, spread evenly over the list; None: all.
      num_pictures: how many of those are drawn; at least 1.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.

    Example:
      >>> Validation(examples, label_set, max_images=100).score(model).score
      0.4321
    """

    def __init__(self, examples, label_set, max_images=None, num_pictures=3, encoding=None):
        self._examples = evenly_spaced(examples, max_images)
        self._drawn = evenly_spaced(range(len(self._examples)), num_pictures)
        self._label_set, self._encoding = label_set, encoding

    def score(self, model, crf=None):
        """Predict the labels of all images, and compare them with the truth.

        Args:
          model: Keras model from images to scores.
          crf: `crf.CRFParams` of the CRF that refines the scores; None: no CRF.

        Returns:
          `Validated`: the mean IoU, 0 to 1; pictures of image, truth and prediction side by side,
          with a CRF before and after it, and the colors of the classes; as curves, the IoU of each
          class that occurs, "class_iou/NAME".
        """
        confusion, pictures = ConfusionMatrix(self._label_set.num_classes), []
        predicted = predict_examples(model, self._examples, crf, self._encoding)
        with contextlib.closing(predicted):
            for index, (_, image, truth, labels, _) in enumerate(predicted):
                confusion.add(truth, labels[-1])
                if index in self._drawn:
                    pictures.append(_picture(self._label_set, image, truth, *labels))
        curves = _class_curves(self._label_set, confusion)
        return Validated(float(confusion.miou), pictures, curves)


class HeadsValidation(Validation):
    """Scores a network with several score heads, each by itself.

    Args:
      examples: list of `HeadsExample`.
      label_set: their `HeadLabels`.
      max_images, num_pictures, encoding: as of `Validation`; the examples have their encodings.
    """

    def score(self, model):
        """Predict the labels of all heads for all images, and compare them with the truth.

        Args:
          model: Keras model from images to the scores of all heads.

        Returns:
          `Validated`: the mean over the heads of their mean IoU, 0 to 1; pictures for each head in
          turn; as curves the mean IoU of each head, "mean_iou/HEAD", and the IoU of each class
          that occurs, "class_iou/HEAD/NAME".
        """
        pictures, each = [], list(self._label_set.items())
        confusions = [ConfusionMatrix(label_set.num_classes) for _, label_set in each]
        with contextlib.closing(predict_examples(model, self._examples)) as predicted:
            for index, (_, image, truth, (labels,), _) in enumerate(predicted):
                for number, (_, label_set) in enumerate(each):
                    pair = truth[..., number], labels[..., number]
                    confusions[number].add(*pair)
                    if index in self._drawn:
                        pictures.append(_picture(label_set, image, *pair))
        curves = {}
        for (head, label_set), confusion in zip(each, confusions, strict=True):
            curves[f"mean_iou/{head}"] = float(confusion.miou)
            curves |= _class_curves(label_set, confusion, f"{head}/")
        score = sum(confusion.miou for confusion in confusions) / len(confusions)
        return Validated(float(score), pictures, curves)


def _picture(label_set, image, *labels):
    # Event files would grow by megabytes with each large picture.
    small = [shrink_label(np.ascontiguousarray(label), PHOTOGRAPH_SIDE) for label in labels]
    return comparison_panel(label_set, [(shrink(image, PHOTOGRAPH_SIDE), *small)])


def _class_curves(label_set, confusion, prefix=""):
    ious = zip(label_set.names, confusion.per_class_iou.tolist(), strict=True)
    return {f"class_iou/{prefix}{name}": iou for name, iou in ious if not math.isnan(iou)}
