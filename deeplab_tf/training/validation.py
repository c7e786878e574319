"""Scoring and drawing validation images while a network is trained."""

import numpy as np

from deeplab_tf.data.voc import load_pair
from deeplab_tf.evaluation.inference import predict_probabilities
from deeplab_tf.evaluation.metrics import ConfusionMatrix


class Validation:
    """Scores a network on full-size images of a split, and draws a few of them.

    Args:
      examples: list of `deeplab_tf.data.voc.Example`.
      label_set: `deeplab_tf.data.labels.LabelSet` of the data.
      max_images: how many are scored, spread evenly over the list; None = all.
      num_pictures: how many of those are drawn.
      colors: the classes' colours, where labels are RGB pictures; see `read_colors`.
    """

    def __init__(self, examples, label_set, max_images=None, num_pictures=3, colors=None):
        self._examples = spread(examples, max_images)
        self._drawn = spread(self._examples, num_pictures)
        self._label_set, self._colors = label_set, colors

    def score(self, model):
        """Mean intersection over union, 0 to 1, of a model's own labels."""
        confusion = ConfusionMatrix(self._label_set.num_classes)
        for example in self._examples:
            image, label = self._load(example)
            confusion.add(label, _predict(model, image))
        return float(confusion.miou)

    def draw(self, model):
        """Pictures `(H, 3 W, 3)` uint8: image, truth and prediction side by side."""
        colors = self._label_set.color_table()
        pictures = []
        for example in self._drawn:
            image, label = self._load(example)
            prediction = _predict(model, image)
            pictures.append(np.concatenate([image, colors[label], colors[prediction]], axis=1))
        return pictures

    def _load(self, example):
        return load_pair(example, self._label_set.num_classes, self._colors)


def spread(items, count):
    """Choose `count` items spread evenly over a list (neighbours in a video look alike)."""
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _predict(model, image):
    return np.argmax(predict_probabilities(model, image), axis=-1).astype(np.uint8)
