"""The losses: cross-entropy over the labeled pixels.

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
from deeplab_tf.labels import VOID
from deeplab_tf.models.multiscale import resize_aligned

LABEL_SIZES = ("authors", "own")

# Smaller probabilities count as this one: far below what the CRF returns, and far enough above
# the smallest float32 that the gradient 1 / p stays finite.
_TINY = 1e-30


def shrink_labels(labels, output_stride=8):
    """Take the label under the center of every score cell: `labels[:, ::s, ::s]`.

    A crop of 321 pixels at output stride 8 gives 41x41 labels. No label is interpolated.

    Args:
      labels: `(B, H, W)` integers, class indices and 255 for void.
      output_stride: pixels between two score cells.

    Returns:
      `(B, (H-1)//s+1, (W-1)//s+1)`, the same dtype.
    """
    return labels[:, ::output_stride, ::output_stride]


def count_labeled(labels):
    """The number of pixels that are not void, a float32 scalar, of integer labels."""
    return tf.reduce_sum(tf.cast(tf.cast(labels, tf.int32) != VOID, tf.float32))


def cross_entropy_sum(labels, scores):
    """Sum the softmax cross-entropy over the labeled pixels, and count them.

    Args:
      labels: `(B, h, w)` integers of any dtype, 255 = void.
      scores: `(B, h, w, C)` logits.

    Returns:
      The sum in nats and the number of pixels that are not void: two float32 scalars.

    Raises:
      InputError: the label map and the score map have different sizes.
    """
    scores = tf.cast(scores, tf.float32)
    labels = tf.cast(labels, tf.int32)
    if not scores.shape[:-1].is_compatible_with(labels.shape):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} do not fit scores of shape "
            f"{tuple(scores.shape)}; give the output stride of the network"
        )
    valid = labels != VOID
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=scores
    )
    return _sum_and_count(entropy, valid)


def log_likelihood_sum(labels, probabilities):
    """Sum -log of the labels' probabilities over the labeled pixels, and count them.

    Probabilities below 1e-30 count as 1e-30.

    Args:
      labels: `(B, H, W)` integers of any dtype, 255 = void.
      probabilities: `(B, H, W, C)`, such as those of a CRF.

    Returns:
      The sum in nats and the number of pixels that are not void: two float32 scalars.

    Raises:
      InputError: the labels and the probabilities have different sizes.
    """
    probabilities = tf.cast(probabilities, tf.float32)
    labels = tf.cast(labels, tf.int32)
    if not probabilities.shape[:-1].is_compatible_with(labels.shape):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} do not fit probabilities of shape "
            f"{tuple(probabilities.shape)}; both must have the size of the images"
        )
    # Multiplied by a one-hot label: the gradient of tf.gather would not be deterministic.
    chosen = tf.one_hot(labels, tf.shape(probabilities)[-1]) * probabilities
    entropy = -tf.math.log(tf.maximum(tf.reduce_sum(chosen, axis=-1), _TINY))
    return _sum_and_count(entropy, labels != VOID)


def _sum_and_count(entropy, valid):
    # tf.where instead of a product: an infinite entropy under a void label times zero is NaN.
    total = tf.reduce_sum(tf.where(valid, entropy, 0.0))
    return total, tf.reduce_sum(tf.cast(valid, tf.float32))


def masked_cross_entropy(labels, scores):
    """Mean softmax cross-entropy over the pixels that are not void; 0 if all are void.

    Args:
      labels: `(B, h, w)` integers at the size of the score map, 255 = void.
      scores: `(B, h, w, C)` logits.

    Returns:
      A float32 scalar in nats per pixel.

    Raises:
      InputError: the label map and the score map have different sizes.
    """
    return tf.math.divide_no_nan(*cross_entropy_sum(labels, scores))


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SegmentationLoss(keras.losses.Loss):
    """The published loss for `model.compile`: full-size labels against the score map.

    Example:
      >>> model.compile("sgd", loss=SegmentationLoss(output_stride=8))
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void

    Args:
      output_stride: pixels between two score cells.
    """

    def __init__(self, output_stride=8, name="segmentation_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.output_stride = output_stride

    def call(self, y_true, y_pred):
        """Mean cross-entropy of scores `(B, h, w, C)` for labels `(B, H, W)`."""
        return masked_cross_entropy(shrink_labels(y_true, self.output_stride), y_pred)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "output_stride": self.output_stride}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ProbabilityLoss(keras.losses.Loss):
    """Cross-entropy for `model.compile` of a model that returns probabilities of every pixel.

    Mean of -log p(label) over the pixels that are not void; 0 if all are void.

    Example:
      >>> model = deeplab_tf.models.with_crf(network, CRFParams(iterations=5), trainable=True)
      >>> model.compile("adam", loss=ProbabilityLoss())
      >>> model.fit(images, labels)  # labels (B, H, W) uint8, 255 = void
    """

    def __init__(self, name="probability_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Mean cross-entropy of probabilities `(B, H, W, C)` for labels `(B, H, W)`."""
        return tf.math.divide_no_nan(*log_likelihood_sum(y_true, y_pred))


@dataclasses.dataclass(frozen=True)
class ScoreMapObjective:
    """The published loss: cross-entropy of the score map for every s-th label.

    Attributes:
      output_stride: s, pixels between two score cells.
    """

    output_stride: int = 8

    def counts(self, labels):
        """Labeled cells, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labeled(shrink_labels(labels, self.output_stride))[None]

    def sums(self, labels, scores):
        """Summed cross-entropy, float32 `(1,)`, of scores `(B, h, w, C)`."""
        return cross_entropy_sum(shrink_labels(labels, self.output_stride), scores)[0][None]


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

    Raises:
      InputError: for other label sizes.
    """

    scales: tuple = (1.0, 0.75, 0.5)
    output_stride: int = 8
    label_sizes: str = "authors"

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
    """Cross-entropy of probabilities of every pixel, such as those of a CRF."""

    def counts(self, labels):
        """Labeled pixels, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labeled(labels)[None]

    def sums(self, labels, probabilities):
        """Summed -log of the labels' probabilities, float32 `(1,)`, of `(B, H, W, C)`."""
        return log_likelihood_sum(labels, probabilities)[0][None]
