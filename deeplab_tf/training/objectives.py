"""What a training minimises: sums over labelled pixels, and how many pixels they are.

An objective has one or more terms, each the mean of a quantity over its pixels; the loss is the
sum of the terms. `counts` needs the labels alone, so that the mean is over the whole batch also
where the batch is gone through in parts or shared by several devices.
"""

import dataclasses

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID
from deeplab_tf.models.resize import resize_aligned
from deeplab_tf.training.losses import cross_entropy_sum, log_likelihood_sum, shrink_labels

LABEL_SIZES = ("authors", "own")


def count_labelled(labels):
    """The number of pixels that are not void, a float32 scalar, of integer labels."""
    return tf.reduce_sum(tf.cast(tf.cast(labels, tf.int32) != VOID, tf.float32))


@dataclasses.dataclass(frozen=True)
class ScoreMapObjective:
    """The published loss: cross-entropy of the score map for every s-th label.

    Attributes:
      output_stride: s, pixels between two score cells.
    """

    output_stride: int = 8

    def counts(self, labels):
        """Labelled cells, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labelled(shrink_labels(labels, self.output_stride))[None]

    def sums(self, labels, scores):
        """Summed cross-entropy, float32 `(1,)`, of scores `(B, h, w, C)`."""
        return cross_entropy_sum(shrink_labels(labels, self.output_stride), scores)[0][None]


@dataclasses.dataclass(frozen=True)
class MultiScaleObjective:
    """The losses of a network at several scales: of the fused map, and of each scale's own.

    Four for the scales 1, 0.75 and 0.5, all of weight 1 (DeepLab v2, section 4.1.2).

    Attributes:
      scales: the network's input scales.
      output_stride: pixels between two cells of the fused map.
      label_sizes: "authors": a scale 1/n is scored on its own cells, labels taken at every
        (n s)-th pixel, and any other scale, as 0.75, is first interpolated to the cells of the
        fused map; "own": every scale is scored on its own cells, with the labels nearest to them.

    Raises:
      InputError: for other label sizes.
    """

    scales: tuple = (1.0, 0.75, 0.5)
    output_stride: int = 8
    label_sizes: str = "authors"

    def __post_init__(self):
        if self.label_sizes not in LABEL_SIZES:
            raise InputError(
                f"label sizes {self.label_sizes!r}; give one of {', '.join(LABEL_SIZES)}"
            )

    def counts(self, labels):
        """Labelled cells of every term, float32 `(1 + scales,)`, of labels `(B, H, W)`."""
        return tf.stack([count_labelled(part) for part in self._labels(labels)])

    def sums(self, labels, maps):
        """Summed cross-entropies, float32 `(1 + scales,)`, of `[fused map, map, ...]`."""
        fused, *maps = maps
        if self.label_sizes == "authors":
            maps = [
                x if self._is_whole(scale) else resize_aligned(x, *keras.ops.shape(fused)[1:3])
                for scale, x in zip(self.scales, maps, strict=True)
            ]
        terms = zip(self._labels(labels), [fused, *maps], strict=True)
        return tf.stack([cross_entropy_sum(*term)[0] for term in terms])

    def _labels(self, labels):
        return [
            shrink_labels(labels, self.output_stride),
            *(self._labels_at(labels, scale) for scale in self.scales),
        ]

    def _labels_at(self, labels, scale):
        if self._is_whole(scale):
            return shrink_labels(labels, round(self.output_stride / scale))
        if self.label_sizes == "authors":
            return shrink_labels(labels, self.output_stride)
        return _nearest_labels(labels, scale, self.output_stride)

    def _is_whole(self, scale):
        return scale <= 1 and abs(1 / scale - round(1 / scale)) < 1e-6


@dataclasses.dataclass(frozen=True)
class ProbabilityObjective:
    """Cross-entropy of probabilities at the images' own size, as behind a CRF."""

    def counts(self, labels):
        """Labelled pixels, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labelled(labels)[None]

    def sums(self, labels, probabilities):
        """Summed -log of the labels' probabilities, float32 `(1,)`, of `(B, H, W, C)`."""
        return log_likelihood_sum(labels, probabilities)[0][None]


def _nearest_labels(labels, scale, output_stride):
    """The labels nearest to the cells of the map of resized images, corners kept."""
    for axis in (1, 2):
        size = tf.shape(labels)[axis]
        length = tf.cast(tf.floor(tf.cast(size - 1, tf.float32) * scale), tf.int32)
        cells = length // output_stride + 1
        step = output_stride * tf.cast(size - 1, tf.float32) / tf.cast(length, tf.float32)
        nearest = tf.floor(tf.range(cells, dtype=tf.float32) * step + 0.5)
        labels = tf.gather(labels, tf.cast(nearest, tf.int32), axis=axis)
    return labels
