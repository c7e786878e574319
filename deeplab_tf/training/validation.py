"""Scoring and drawing validation images during a training run."""

import contextlib
import math
from types import MappingProxyType
from typing import NamedTuple

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
                    # Event files would grow by megabytes with each large picture.
                    small = [shrink_label(label, PHOTOGRAPH_SIDE) for label in (truth, *labels)]
                    row = shrink(image, PHOTOGRAPH_SIDE), *small
                    pictures.append(comparison_panel(self._label_set, [row]))
        ious = zip(self._label_set.names, confusion.per_class_iou.tolist(), strict=True)
        curves = {f"class_iou/{name}": iou for name, iou in ious if not math.isnan(iou)}
        return Validated(float(confusion.miou), pictures, curves)
