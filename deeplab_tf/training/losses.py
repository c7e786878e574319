"""The losses: cross-entropy over the labeled pixels, which weights may balance over the classes.

There are Keras losses for `model.compile`, and *objectives* for the training loop. An objective has
one or more terms, each the mean of a quantity over its pixels; the loss is the sum of the terms.
It returns sums and counts instead of means, so that the mean can be taken over the whole batch
even if the batch is split into micro-batches or over several devices. `counts` needs only the
labels, so it can be computed before the first micro-batch.
"""

import dataclasses

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.models.multiscale import resize_aligned
from deeplab_tf.training.cross_entropy import (
    count_labeled,
    cross_entropy_sum,
    log_likelihood_sum,
    shrink_labels,
)

LABEL_SIZES = ("authors", "own")


def masked_cross_entropy(labels, scores, class_weights=None):
    """Mean weighted softmax cross-entropy over the pixels that are not void; 0 if all are void.

    Args:
      labels: `(B, h, w)` integers at the size of the score map, 255 = void.
      scores: `(B, h, w, C)` logits.
      class_weights: one number for each class, see cross_entropy.py; None: all 1.

    Returns:
      A float32 scalar in nats per pixel.

    Raises:
      InputError: as for `cross_entropy_sum`.
    """
    return tf.math.divide_no_nan(*cross_entropy_sum(labels, scores, class_weights))


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SegmentationLoss(keras.losses.Loss):
    """The published loss for `model.compile`: full-size labels against the score map.

    Example:
      >>> model.compile("sgd", loss=SegmentationLoss(output_stride=8))
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void

    Args:
      output_stride: pixels between two score cells.
      class_weights: one number for each class, see cross_entropy.py; None: all 1.
      name: of the loss, in the messages of Keras.
    """

    def __init__(self, output_stride=8, class_weights=None, name="segmentation_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.output_stride, self.class_weights = output_stride, _as_tuple(class_weights)

    def call(self, y_true, y_pred):
        """Mean cross-entropy of scores `(B, h, w, C)` for labels `(B, H, W)`."""
        labels = shrink_labels(y_true, self.output_stride)
        return masked_cross_entropy(labels, y_pred, self.class_weights)

    def get_config(self):
        """The arguments of the constructor."""
        own = {"output_stride": self.output_stride, "class_weights": self.class_weights}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ProbabilityLoss(keras.losses.Loss):
    """Cross-entropy for `model.compile` of a model that returns probabilities of every pixel.

    Mean of -log p(label) over the pixels that are not void; 0 if all are void.

    Example:
      >>> model = deeplab_tf.models.with_crf(network, CRFParams(iterations=5), trainable=True)
      >>> model.compile("adam", loss=ProbabilityLoss())
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void

    Args:
      class_weights: one number for each class, see cross_entropy.py; None: all 1.
      name: of the loss, in the messages of Keras.
    """

    def __init__(self, class_weights=None, name="probability_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_weights = _as_tuple(class_weights)

    def call(self, y_true, y_pred):
        """Mean cross-entropy of probabilities `(B, H, W, C)` for labels `(B, H, W)`."""
        return tf.math.divide_no_nan(*log_likelihood_sum(y_true, y_pred, self.class_weights))

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "class_weights": self.class_weights}


def _as_tuple(class_weights):
    # Plain Python numbers, which can be saved.
    return None if class_weights is None else tuple(float(weight) for weight in class_weights)


@dataclasses.dataclass(frozen=True)
class ScoreMapObjective:
    """The published loss: cross-entropy of the score map for every s-th label.

    Attributes:
      output_stride: s, pixels between two score cells.
      class_weights: one number for each class, see cross_entropy.py; None: all 1.
    """

    output_stride: int = 8
    class_weights: tuple | None = None

    def counts(self, labels):
        """Labeled cells, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labeled(shrink_labels(labels, self.output_stride))[None]

    def sums(self, labels, scores):
        """Summed cross-entropy, float32 `(1,)`, of scores `(B, h, w, C)`."""
        labels = shrink_labels(labels, self.output_stride)
        return cross_entropy_sum(labels, scores, self.class_weights)[0][None]


@dataclasses.dataclass(frozen=True)
class MultiScaleObjective:
    """The losses of a network at several scales: of the fused map and of each scale's own map.

    The scales 1, 0.75 and 0.5 have four terms, all of weight 1 (DeepLab v2, section 4.1.2).

    Attributes:
      scales: the network's input scales.
      output_stride: pixels between two cells of the fused map.
      label_sizes: "authors": the map of a scale 1/n keeps its size and takes every (n s)-th
        label; the map of any other scale, such as 0.75, is first interpolated to the size of
        the fused map. "own": every map keeps its size and takes the labels nearest to its cells.
      class_weights: one number for each class, see cross_entropy.py; None: all 1.

    Raises:
      InputError: for other label sizes.
    """

    scales: tuple = (1.0, 0.75, 0.5)
    output_stride: int = 8
    label_sizes: str = "authors"
    class_weights: tuple | None = None

    def __post_init__(self):
        if self.label_sizes not in LABEL_SIZES:
            raise InputError(
                f"unknown label sizes {self.label_sizes!r}; available: {', '.join(LABEL_SIZES)}"
            )

    def counts(self, labels):
        """Labeled cells of every term, float32 `(1 + len(scales),)`, of labels `(B, H, W)`."""
        return tf.stack([count_labeled(part) for part in self._labels(labels)])

    def sums(self, labels, maps):
        """Summed cross-entropies, float32 `(1 + len(scales),)`, of `[fused map, map, ...]`."""
        fused, *maps = maps
        if self.label_sizes == "authors":
            maps = [
                x if self._is_whole(scale) else resize_aligned(x, *keras.ops.shape(fused)[1:3])
                for scale, x in zip(self.scales, maps, strict=True)
            ]
        terms = zip(self._labels(labels), [fused, *maps], strict=True)
        return tf.stack([cross_entropy_sum(*term, self.class_weights)[0] for term in terms])

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
        """Whether the scale is 1/n, so that its cells lie on pixels of the image."""
        return scale <= 1 and abs(1 / scale - round(1 / scale)) < 1e-6


def _nearest_labels(labels, scale, output_stride):
    """The labels nearest to the cells of the resized image's score map, corners aligned."""
    # With aligned corners, `length` pixels of the resized side span the size - 1 pixel steps of the
    # image, so neighboring cells are `step` label pixels apart.
    for axis in (1, 2):
        size = tf.shape(labels)[axis]
        length = tf.cast(tf.floor(tf.cast(size - 1, tf.float32) * scale), tf.int32)
        cells = length // output_stride + 1
        step = output_stride * tf.cast(size - 1, tf.float32) / tf.cast(length, tf.float32)
        nearest = tf.floor(tf.range(cells, dtype=tf.float32) * step + 0.5)
        labels = tf.gather(labels, tf.cast(nearest, tf.int32), axis=axis)
    return labels


@dataclasses.dataclass(frozen=True)
class ProbabilityObjective:
    """Cross-entropy of probabilities of every pixel, such as those of a CRF.

    Attributes:
      class_weights: one number for each class, see cross_entropy.py; None: all 1.
    """

    class_weights: tuple | None = None

    def counts(self, labels):
        """Labeled pixels, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labeled(labels)[None]

    def sums(self, labels, probabilities):
        """Summed -log of the labels' probabilities, float32 `(1,)`, of `(B, H, W, C)`."""
        return log_likelihood_sum(labels, probabilities, self.class_weights)[0][None]
