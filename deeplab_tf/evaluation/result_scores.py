"""All scores of one result on a data set: of the network's labels, or of those after the CRF."""

import numpy as np

from deeplab_tf.distribute.strategy import sum_over_workers
from deeplab_tf.evaluation.boundary import BoundaryScores, TrimapScores, trimap_distances
from deeplab_tf.evaluation.calibration import Calibration
from deeplab_tf.evaluation.metrics import ConfusionMatrix


class ResultScores:
    """Counts a result image by image; the counts of several workers can be added up.

    Args:
      num_classes: number of classes without void.
      num_images: number of images of all workers together.
      trimap_border: see `trimap_distances`; None: no scores of trimaps.
      calibration: whether to compare confidence and accuracy.

    Attributes:
      confusion: `ConfusionMatrix`.
      boundary: `BoundaryScores`.
      trimap: `TrimapScores` or None.
      calibration: `Calibration` or None.
      image_mious: (num_images,) float64, the mean IoU of each image over the classes that are in
        its truth or prediction; NaN for an image that is all void.
    """

    def __init__(self, num_classes, num_images, trimap_border=None, calibration=False):
        self.confusion = ConfusionMatrix(num_classes)
        self.boundary = BoundaryScores(num_classes)
        self.trimap = TrimapScores(num_classes, trimap_border) if trimap_border else None
        self.calibration = Calibration() if calibration else None
        self.image_mious = np.zeros(num_images)

    def add(self, index, truth, labels, distances=None, confidence=None):
        """Count an image.

        Args:
          index: of the image among those of all workers.
          truth: (H, W) uint8 true classes, 255 = void.
          labels: (H, W) uint8 predicted classes.
          distances: for the trimaps, see `TrimapScores.add`.
          confidence: (H, W) float32 probability of each label, needed for the calibration.

        Raises:
          InputError: if the shapes differ, or a value is not a class.
        """
        image = ConfusionMatrix(self.confusion.num_classes)
        image.add(truth, labels)
        self.confusion.matrix += image.matrix
        self.image_mious[index] = image.miou
        self.boundary.add(truth, labels)
        if self.trimap:
            self.trimap.add(truth, labels, distances)
        if self.calibration:
            self.calibration.add(truth, labels, confidence, image.num_classes)

    def merge(self, part, indices):
        """Add the counts, all but the calibration, of another process for some of the images.

        Args:
          part: `ResultScores` of these images alone.
          indices: list, the index of each of them among all.
        """
        self.confusion.matrix += part.confusion.matrix
        self.boundary.counts += part.boundary.counts
        self.image_mious[indices] = part.image_mious
        if self.trimap:
            self.trimap.counts += part.trimap.counts

    def sum_over_workers(self, strategy):
        """Replace the counts by those of all workers; every worker must call it."""
        self.confusion.matrix = sum_over_workers(strategy, self.confusion.matrix)
        self.boundary.counts = sum_over_workers(strategy, self.boundary.counts)
        self.image_mious = sum_over_workers(strategy, self.image_mious)
        if self.trimap:
            self.trimap.counts = sum_over_workers(strategy, self.trimap.counts)
        if self.calibration:
            self.calibration.sums = sum_over_workers(strategy, self.calibration.sums)

    def to_dict(self, names=None):
        """Collect all scores for JSON.

        Args:
          names: the class names; default: "class 0", "class 1", ...

        Returns:
          The dicts of `ConfusionMatrix` and `BoundaryScores` in one, with those of the trimaps
          and the calibration, if they were asked for, under the keys "trimap" and "calibration".
        """
        scores = {**self.confusion.to_dict(names), **self.boundary.to_dict(names)}
        for name in ("trimap", "calibration"):
            if getattr(self, name):
                scores[name] = getattr(self, name).to_dict()
        return scores


def add_prediction(results, index, prediction):
    """Count an image for each of its results.

    Args:
      results: list of `ResultScores`, before and after the CRF, which are updated.
      index: of the image among those of all workers.
      prediction: `Prediction`; without a truth nothing is counted.
    """
    if prediction.truth is None:
        return
    border = results[0].trimap and results[0].trimap.border
    distances = trimap_distances(prediction.truth, border) if border else None
    confidences = prediction.confidences or [None] * len(results)
    for result, label, confidence in zip(results, prediction.labels, confidences, strict=True):
        result.add(index, prediction.truth, label, distances, confidence)
