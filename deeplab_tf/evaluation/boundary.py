"""Scores near the borders of objects: trimaps, boundary IoU and boundary F1.

Two pixels are neighbors here if they share a side or a corner. A border pixel is a pixel that has
a neighbor with another label, where void, 255, is a label too. Distances between pixels (i, j) and
(k, l) are max(|i - k|, |j - l|) for trimaps and boundary IoU, so the pixels within w of one pixel
are a square of 2 w + 1, and sqrt((i - k)^2 + (j - l)^2) for boundary F1.

All scores come from integer counts, which add up over images and over workers.
"""

import functools
import math

import cv2
import numpy as np

from deeplab_tf.evaluation._boundary_kernels import count_matches
from deeplab_tf.evaluation.metrics import (
    ConfusionMatrix,
    by_name,
    check_classes,
    mean_of_present,
    number_or_none,
    ratio,
)
from deeplab_tf.labels import VOID

MAX_WIDTH = 40  # of the trimaps in the plots of the papers, in pixels

# What the pixels of a trimap lie near to: void or another class; void alone, as in the papers.
TRIMAP_BORDERS = ("any", "void")

BAND_RATIO = 0.02  # of an image's diagonal: width of the bands of boundary IoU
TOLERANCE_RATIO = 0.0075  # of an image's diagonal: tolerance of boundary F1

_NEIGHBORS = np.ones((3, 3), np.uint8)


def border_pixels(labels):
    """Where a label map changes.

    Args:
      labels: (H, W) uint8 class indices, 255 = void.

    Returns:
      (H, W) bool, true for pixels that have a neighbor inside the image with another label.
    """
    return cv2.dilate(labels, _NEIGHBORS) != cv2.erode(labels, _NEIGHBORS)


def trimap_distances(truth, border="any"):
    """How far each pixel is from a border: the width of the narrowest trimap that it is in.

    Args:
      truth: (H, W) uint8 true classes, 255 = void.
      border: "any": distance to the nearest pixel that is void or of another class; "void":
        distance to the nearest void pixel.

    Returns:
      (H, W) float32 whole numbers, at least 1 for pixels that are not void; above 1e9 if there is
      no border.

    Example:
      >>> trimap_distances(np.uint8([[3, 3, 3, 5]]))
      array([[3., 2., 1., 1.]], dtype=float32)
    """
    if border == "void":
        return cv2.distanceTransform((truth != VOID).astype(np.uint8), cv2.DIST_C, 3)
    # The last pixel but one on the way to the nearest other label is the nearest border pixel.
    return 1 + cv2.distanceTransform((~border_pixels(truth)).astype(np.uint8), cv2.DIST_C, 3)


class TrimapScores:
    """Scores of the pixels near borders, for every width from 1 to 40 pixels.

    The trimap of width w (Kohli et al., IJCV 2009, and the DeepLab papers) is the set of pixels,
    void not counted, that are at most w from a border of the truth; one confusion matrix over all
    images is made of them. The papers' trimaps are those of the border "void".

    Args:
      num_classes: number of classes without void.
      border: see `trimap_distances`.

    Example:
      >>> trimap = TrimapScores(2)
      >>> trimap.add(np.uint8([[0, 0, 0, 1]]), np.uint8([[1, 1, 0, 1]]))
      >>> [trimap.confusion(width).pixel_accuracy for width in (1, 2)]
      [1.0, 0.6666666666666666]
    """

    def __init__(self, num_classes, border="any"):
        self.num_classes, self.border = num_classes, border
        # counts[d - 1, i, j]: pixels of class i predicted as class j at the distance d
        self.counts = np.zeros((MAX_WIDTH, num_classes, num_classes), np.int64)

    def add(self, truth, prediction, distances=None):
        """Count the pixels of an image.

        Args:
          truth: (H, W) uint8 true classes, 255 = void.
          prediction: (H, W) uint8 predicted classes.
          distances: what `trimap_distances` gives for `truth` and `border`, to save the time for
            several predictions; None: they are computed.

        Raises:
          InputError: if the shapes differ, or a value is not a class.
        """
        check_classes(truth, prediction, self.num_classes)
        if distances is None:
            distances = trimap_distances(truth, self.border)
        near = (distances <= MAX_WIDTH) & (truth != VOID)
        cells = distances[near].astype(np.int64) - 1
        for classes in (truth[near], prediction[near]):
            cells *= self.num_classes
            cells += classes
        self.counts += np.bincount(cells, minlength=self.counts.size).reshape(self.counts.shape)

    def confusion(self, width):
        """`ConfusionMatrix` of the pixels at most `width` from a border, 1 to 40."""
        confusion = ConfusionMatrix(self.num_classes)
        confusion.matrix = self.counts[:width].sum(axis=0)
        return confusion

    def to_dict(self):
        """Collect the scores for JSON, with None where no pixel is near enough.

        Returns:
          Dict of `border`, `widths`, a list from 1 to 40, and of lists as long: `miou`,
          `pixel_accuracy` and `pixels`, the number of pixels.
        """
        widths = list(range(1, MAX_WIDTH + 1))
        confusions = [self.confusion(width) for width in widths]
        return {
            "border": self.border,
            "widths": widths,
            "miou": [number_or_none(confusion.miou) for confusion in confusions],
            "pixel_accuracy": [
                number_or_none(confusion.pixel_accuracy) for confusion in confusions
            ],
            "pixels": [int(confusion.matrix.sum()) for confusion in confusions],
        }


class BoundaryScores:
    """How well the outlines of predicted classes agree with the true ones.

    Predicted pixels whose truth is void become void first, so that a prediction that is right on
    every other pixel scores 1: outlines along void are those of the truth.

    Boundary IoU (Cheng et al., CVPR 2021) is the IoU of bands along the outlines. With G_d the
    pixels of class c in the truth that are at most d from a pixel of another label or from outside
    the image, P_d the same of the prediction, and d 2 % of the image's diagonal,

        boundary IoU of class c    sum |G_d and P_d| / sum |G_d or P_d|    (sums over images)

    Boundary F1 (Csurka et al., BMVC 2013) compares the border pixels: with the precision p, the
    share of predicted border pixels of class c that have a true border pixel of class c at most
    0.75 % of the image's diagonal away, and the recall r, the same with truth and prediction
    exchanged, both over all images,

        boundary F1 of class c     2 p r / (p + r)

    Args:
      num_classes: number of classes without void.

    Example:
      >>> boundary = BoundaryScores(2)
      >>> boundary.add(np.uint8([[0, 0, 1, 1]]), np.uint8([[0, 0, 1, 1]]))
      >>> boundary.miou, boundary.mean_f1
      (1.0, 1.0)
    """

    def __init__(self, num_classes):
        self.num_classes = num_classes
        # Rows: pixels in both bands, in the true one, in the predicted one; border pixels of the
        # truth, those near predicted ones; border pixels of the prediction, those near true ones.
        self.counts = np.zeros((7, num_classes), np.int64)

    def add(self, truth, prediction):
        """Count the pixels of an image.

        Args:
          truth: (H, W) uint8 true classes, 255 = void.
          prediction: (H, W) uint8 predicted classes.

        Raises:
          InputError: if the shapes differ, or a value is not a class.
        """
        check_classes(truth, prediction, self.num_classes)
        prediction = np.where(truth == VOID, np.uint8(VOID), prediction)
        diagonal = math.hypot(*truth.shape)
        width = max(1, round(BAND_RATIO * diagonal))
        tolerance = max(1, TOLERANCE_RATIO * diagonal)
        bands, contours = [], []
        for labels in (truth, prediction):
            border = border_pixels(labels)
            contours.append(np.where(border, labels, np.uint8(VOID)))
            bands.append(np.where(_band(border, width), labels, np.uint8(VOID)))
        self.counts += [
            _histogram(bands[0][bands[0] == bands[1]], self.num_classes),
            *(_histogram(band[band != VOID], self.num_classes) for band in bands),
            *count_near(*contours, tolerance, self.num_classes),
            *count_near(*contours[::-1], tolerance, self.num_classes),
        ]

    @property
    def per_class_iou(self):
        """(num_classes,) float64; NaN for a class neither in the truth nor predicted."""
        both, truth, predicted = self.counts[:3]
        return ratio(both, truth + predicted - both)

    @property
    def per_class_f1(self):
        """(num_classes,) float64; NaN for a class without border pixels."""
        recall, precision = ratio(self.counts[4], self.counts[3]), ratio(*self.counts[[6, 5]])
        f1 = ratio(2 * precision * recall, precision + recall)
        # Border pixels of the truth or of the prediction alone, or none near another.
        missed = (self.counts[3] + self.counts[5] > 0) & (self.counts[4] + self.counts[6] == 0)
        return np.where(missed, 0.0, f1)

    @property
    def miou(self):
        """Mean boundary IoU over the classes that have one, 0 to 1."""
        return mean_of_present(self.per_class_iou)

    @property
    def mean_f1(self):
        """Mean boundary F1 over the classes that have one, 0 to 1."""
        return mean_of_present(self.per_class_f1)

    def to_dict(self, names=None):
        """Collect the scores for JSON, with None for NaN.

        Args:
          names: the class names; default: "class 0", "class 1", ...

        Returns:
          Dict of `boundary_miou`, `boundary_mean_f1`, and of the dicts from class name to score
          `per_class_boundary_iou` and `per_class_boundary_f1`.
        """
        return {
            "boundary_miou": number_or_none(self.miou),
            "boundary_mean_f1": number_or_none(self.mean_f1),
            "per_class_boundary_iou": by_name(self.per_class_iou, names),
            "per_class_boundary_f1": by_name(self.per_class_f1, names),
        }


def count_near(contours, others, tolerance, num_classes):
    """Count the pixels of contours, and those with a pixel of their class in others nearby.

    Args:
      contours: (H, W) uint8 classes, 255 = none.
      others: (H, W) uint8 classes, 255 = none.
      tolerance: largest distance between the centers of pixels, at least 0.
      num_classes: number of classes.

    Returns:
      (2, num_classes) int64, all pixels of `contours`, and those near pixels of `others`.
    """
    counts = np.zeros((2, 256), np.int64)
    count_matches(contours, others, _steps(tolerance), counts)
    return counts[:, :num_classes]


@functools.lru_cache
def _steps(tolerance):
    """All (rows down, columns to the right) of at most this length, the shortest first."""
    span = range(-int(tolerance), int(tolerance) + 1)
    steps = [(i, j) for i in span for j in span if i * i + j * j <= tolerance * tolerance]
    return np.array(sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2))


def _band(border, width):
    """Pixels at most `width` from another label, or from outside the image, (H, W) bool."""
    square = np.ones((2 * width - 1, 2 * width - 1), np.uint8)
    band = cv2.dilate(border.astype(np.uint8), square).astype(bool)
    for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        band[edge] = True
    return band


def _histogram(classes, num_classes):
    # Void may be among the classes; it is not counted.
    return np.bincount(classes.ravel(), minlength=256)[:num_classes]
