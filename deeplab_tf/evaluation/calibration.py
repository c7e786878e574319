"""Whether a network's confidence tells how often it is right."""

import numpy as np

from deeplab_tf.evaluation.metrics import check_classes, number_or_none, ratio
from deeplab_tf.labels import VOID

BINS = 15  # as Guo et al. use


class Calibration:
    """Compares the confidence of pixels, the probability of their class, with their accuracy.

    The pixels, void not counted, are put into 15 bins of equal width by their confidence. With
    n_b pixels in bin b, acc_b the share of them that is right, and conf_b their mean confidence,
    the expected calibration error (Guo et al., ICML 2017, equation 3) is

        sum_b n_b / n |acc_b - conf_b|

    Args:
      bins: number of bins.

    Example:
      >>> calibration = Calibration()
      >>> calibration.add(np.uint8([[0, 0]]), np.uint8([[0, 1]]), np.float32([[0.9, 0.9]]), 2)
      >>> round(calibration.error, 6)
      0.4
    """

    def __init__(self, bins=BINS):
        # Rows: pixels, right pixels, sum of confidences.
        self.sums = np.zeros((3, bins))

    def add(self, truth, prediction, confidence, num_classes):
        """Count the pixels of an image.

        Args:
          truth: (H, W) uint8 true classes, 255 = void.
          prediction: (H, W) uint8 predicted classes.
          confidence: (H, W) float32, the probability of the predicted class, 0..1.
          num_classes: number of classes without void.

        Raises:
          InputError: if the shapes of the labels differ, or a value is not a class.
        """
        check_classes(truth, prediction, num_classes)
        valid, bins = truth != VOID, self.sums.shape[1]
        confidence, right = confidence[valid], (truth == prediction)[valid]
        # A confidence of 1 belongs to the last bin.
        places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
        for row, weights in zip(self.sums, (None, right, confidence), strict=True):
            row += np.bincount(places, weights, minlength=bins)

    @property
    def accuracy(self):
        """(bins,) share of right pixels; NaN for a bin without pixels."""
        return ratio(self.sums[1], self.sums[0])

    @property
    def confidence(self):
        """(bins,) mean confidence; NaN for a bin without pixels."""
        return ratio(self.sums[2], self.sums[0])

    @property
    def error(self):
        """The expected calibration error, 0 to 1; NaN before anything is counted."""
        pixels, right, confidence = self.sums
        return float(ratio(np.abs(right - confidence).sum(), pixels.sum()))

    def to_dict(self):
        """Collect the scores for JSON, with None for bins without pixels.

        Returns:
          Dict of `expected_calibration_error` and, for every bin, `pixels`, `accuracy` and
          `confidence`.
        """
        return {
            "expected_calibration_error": number_or_none(self.error),
            "pixels": self.sums[0].astype(int).tolist(),
            "accuracy": [number_or_none(value) for value in self.accuracy],
            "confidence": [number_or_none(value) for value in self.confidence],
        }
