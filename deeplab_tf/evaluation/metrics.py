"""Scores of predicted label maps, from one confusion matrix over a whole data set."""

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID


class ConfusionMatrix:
    """Counts how often each class was predicted as each class, over any number of images.

    The scores are those of FCN (Long et al., CVPR 2015, section 5): with n_ij the pixels of
    class i predicted as class j and t_i = sum_j n_ij,

        pixel accuracy           sum_i n_ii / sum_i t_i
        mean accuracy            mean_i n_ii / t_i
        IoU of class i           n_ii / (t_i + sum_j n_ji - n_ii)
        mean IoU                 mean_i IoU_i
        frequency weighted IoU   sum_i t_i IoU_i / sum_i t_i

    Classes whose score is 0 / 0 are left out of the mean; before anything is counted, every score
    is NaN.

    Args:
      num_classes: number of classes without void.

    Example:
      >>> confusion = ConfusionMatrix(2)
      >>> confusion.add(np.uint8([[0, 1, 255]]), np.uint8([[0, 0, 1]]))
      >>> confusion.pixel_accuracy
      0.5
    """

    def __init__(self, num_classes):
        self.num_classes = num_classes
        self.matrix = np.zeros((num_classes, num_classes), np.int64)

    def add(self, labels, predictions):
        """Count the pixels of one or more images, except those with label 255 (void).

        Args:
          labels: integers of any shape, the true classes.
          predictions: integers of the same shape, the predicted classes.

        Raises:
          InputError: if the shapes differ, or a value is not a class.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise InputError(
                f"labels are {labels.shape} and predictions {predictions.shape};"
                " give arrays of the same shape"
            )
        valid = labels != VOID
        truth = self._checked(labels[valid], "label")
        found = self._checked(predictions[valid], "prediction")
        counts = np.bincount(truth * self.num_classes + found, minlength=self.matrix.size)
        self.matrix += counts.reshape(self.matrix.shape)

    def _checked(self, values, what):
        values = values.astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
            wrong = values[(values < 0) | (values >= self.num_classes)][0]
            raise InputError(
                f"{what} value {wrong} but only {self.num_classes} classes; give"
                f" 0..{self.num_classes - 1}"
            )
        return values

    @property
    def pixel_accuracy(self):
        """Fraction of pixels that are predicted correctly, 0 to 1."""
        return float(_ratio(np.trace(self.matrix), self.matrix.sum()))

    @property
    def mean_accuracy(self):
        """Mean over the true classes of the fraction of their pixels predicted correctly."""
        return _mean(_ratio(np.diag(self.matrix), self.matrix.sum(axis=1)))

    @property
    def per_class_iou(self):
        """(num_classes,) float64; NaN for a class neither in the truth nor predicted."""
        correct = np.diag(self.matrix)
        return _ratio(correct, self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - correct)

    @property
    def miou(self):
        """Mean intersection over union, 0 to 1."""
        return _mean(self.per_class_iou)

    @property
    def frequency_weighted_iou(self):
        """Mean IoU in which each class is weighted by its number of true pixels."""
        true_pixels = self.matrix.sum(axis=1)
        return float(_ratio(np.nansum(true_pixels * self.per_class_iou), true_pixels.sum()))

    def to_dict(self, names=None):
        """Collect all scores as plain numbers for JSON, with None for NaN.

        Args:
          names: the class names; default: "class 0", "class 1", ...

        Returns:
          Dict of `miou`, `pixel_accuracy`, `mean_accuracy`, `frequency_weighted_iou` and
          `per_class_iou`, a dict from class name to IoU.
        """
        names = names or [f"class {index}" for index in range(self.num_classes)]
        per_class = zip(names, self.per_class_iou, strict=True)
        return {
            "miou": _number(self.miou),
            "pixel_accuracy": _number(self.pixel_accuracy),
            "mean_accuracy": _number(self.mean_accuracy),
            "frequency_weighted_iou": _number(self.frequency_weighted_iou),
            "per_class_iou": {name: _number(iou) for name, iou in per_class},
        }


def _ratio(part, whole):
    # Gives NaN, without a warning, if the whole is 0.
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


def _mean(values):
    # NaN marks classes that do not occur; they do not count.
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _number(value):
    return None if np.isnan(value) else float(value)
