"""Scoring and drawing validation images during a training run."""

import contextlib

import numpy as np

from deeplab_tf.data.examples import evenly_spaced
from deeplab_tf.evaluation.metrics import ConfusionMatrix
from deeplab_tf.evaluation.predict_dataset import predict_examples


class Validation:
    """Scores a network on full-size images of a split, and draws a few of them.

    Args:
      examples: list of `Example` or `RecordExample`.
      label_set: `deeplab_tf.labels.LabelSet` of the data.
      max_images: how many are scored, spread evenly over the list; None: all.
      num_pictures: how many of those are drawn; at least 1.
      encoding: `LabelEncoding` of the label files; None: they hold class indices.

    Example:
      >>> score, pictures = Validation(examples, label_set, max_images=100).score(model)
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
          Mean intersection over union, 0 to 1, and pictures `(H, 3 W, 3)` uint8 of image, truth
          and prediction side by side.
        """
        confusion, pictures = ConfusionMatrix(self._label_set.num_classes), []
        palette = self._label_set.color_table()
        predicted = predict_examples(model, self._examples, crf, self._encoding)
        with contextlib.closing(predicted):
            for index, (_, image, truth, labels, _) in enumerate(predicted):
                confusion.add(truth, labels[-1])
                if index in self._drawn:
                    sides = [image, palette[truth], palette[labels[-1]]]
                    pictures.append(np.concatenate(sides, axis=1))
        return float(confusion.miou), pictures
