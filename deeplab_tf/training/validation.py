"""Scoring and drawing validation images while a network is trained."""

import numpy as np

from deeplab_tf.data.image_files import load_pair
from deeplab_tf.evaluation.inference import segment
from deeplab_tf.evaluation.metrics import ConfusionMatrix


class Validation:
    """Scores a network on full-size images of a split, and draws a few of them.

    Args:
      examples: list of `deeplab_tf.data.examples.Example`.
      label_set: `deeplab_tf.data.labels.LabelSet` of the data.
      max_images: how many are scored, spread evenly over the list; None = all.
      num_pictures: how many of those are drawn.
      colors: the classes' colours, where labels are RGB pictures; see `label_colors`.
    """

    def __init__(self, examples, label_set, max_images=None, num_pictures=3, colors=None):
        self._examples = spread(examples, max_images)
        self._drawn = spread(self._examples, num_pictures)
        self._label_set, self._colors = label_set, colors

    def score(self, model, crf=None):
        """Mean intersection over union, 0 to 1, of a network's labels.

        Args:
          model: Keras model from images to scores.
          crf: `crf.CRFParams` of the CRF that refines its result; None: no CRF.
        """
        confusion = ConfusionMatrix(self._label_set.num_classes)
        for example in self._examples:
            image, label = self._load(example)
            confusion.add(label, segment(model, image, crf))
        return float(confusion.miou)

    def draw(self, model, crf=None):
        """Pictures `(H, 3 W, 3)` uint8: image, truth and prediction; arguments as `score`."""
        colors = self._label_set.color_table()
        pictures = []
        for example in self._drawn:
            image, label = self._load(example)
            prediction = segment(model, image, crf)
            pictures.append(np.concatenate([image, colors[label], colors[prediction]], axis=1))
        return pictures

    def _load(self, example):
        return load_pair(example, self._label_set.num_classes, self._colors)


def spread(items, count):
    """Choose `count` items spread evenly over a list (neighbours in a video look alike)."""
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
