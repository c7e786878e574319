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
        check_classes(labels, predictions, self.num_classes)
        valid = labels != VOID
        truth, found = labels[valid].astype(np.int64), predictions[valid].astype(np.int64)
        counts = np.bincount(truth * self.num_classes + found, minlength=self.matrix.size)
        self.matrix += counts.reshape(self.matrix.shape)

    @property
    def pixel_accuracy(self):
        """Fraction of pixels that are predicted correctly, 0 to 1."""
        return float(ratio(np.trace(self.matrix), self.matrix.sum()))

    @property
    def mean_accuracy(self):
        """Mean over the true classes of the fraction of their pixels predicted correctly."""
        return mean_of_present(ratio(np.diag(self.matrix), self.matrix.sum(axis=1)))

    @property
    def per_class_iou(self):
        """(num_classes,) float64; NaN for a class neither in the truth nor predicted."""
        correct = np.diag(self.matrix)
        return ratio(correct, self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - correct)

    @property
    def miou(self):
        """Mean intersection over union, 0 to 1."""
        return mean_of_present(self.per_class_iou)

    @property
    def frequency_weighted_iou(self):
        """Mean IoU in which each class is weighted by its number of true pixels."""
        true_pixels = self.matrix.sum(axis=1)
        return float(ratio(np.nansum(true_pixels * self.per_class_iou), true_pixels.sum()))

    def to_dict(self, names=None):
        """Collect all scores as plain numbers for JSON, with None for NaN.

        Args:
          names: the class names; default: "class 0", "class 1", ...

        Returns:
          Dict of `miou`, `pixel_accuracy`, `mean_accuracy`, `frequency_weighted_iou` and
          `per_class_iou`, a dict from class name to IoU.
        """
        return {
            "miou": number_or_none(self.miou),
            "pixel_accuracy": number_or_none(self.pixel_accuracy),
            "mean_accuracy": number_or_none(self.mean_accuracy),
            "frequency_weighted_iou": number_or_none(self.frequency_weighted_iou),
            "per_class_iou": by_name(self.per_class_iou, names),
        }


def check_classes(labels, predictions, num_classes):
    """Raise an error unless every pixel that is not void has a true and a predicted class.

    Args:
      labels: integers of any shape, the true classes, 255 = void.
      predictions: integers, the predicted classes.
      num_classes: number of classes without void.

    Raises:
      InputError: if the shapes differ, or a value is not a class.
    """
    if labels.shape != predictions.shape:
        raise InputError(
            f"labels are {labels.shape} and predictions {predictions.shape};"
            " give arrays of the same shape"
        )
    for what, values in (("label", labels), ("prediction", predictions)):
        wrong = values[(labels != VOID) & ((values < 0) | (values >= num_classes))]
        if wrong.size:
            raise InputError(
                f"{what} value {wrong[0]} but only {num_classes} classes; give 0..{num_classes - 1}"
            )


def ratio(part, whole):
    """`part / whole`, element by element, and NaN without a warning where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)


def mean_of_present(values):
    """Mean of the values (n,) that are not NaN, which marks classes that do not occur."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def by_name(scores, names=None):
    """The scores of the classes for JSON: a dict from class name to number, or None for NaN.

    Args:
      scores: (num_classes,) floats.
      names: the class names; default: "class 0", "class 1", ...
    """
    names = names or [f"class {index}" for index in range(len(scores))]
    return {name: number_or_none(score) for name, score in zip(names, scores, strict=True)}


def number_or_none(value):
    """A number for JSON, which has no NaN: None instead."""
    return None if np.isnan(value) else float(value)
