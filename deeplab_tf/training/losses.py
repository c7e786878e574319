"""Cross-entropy over the labelled pixels, at the resolution of scores or of images."""

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

# Probabilities below this count as this: far below what the CRF gives, and far enough above the
# least float32 that the gradient 1 / p stays finite.
_TINY = 1e-30


def shrink_labels(labels, output_stride=8):
    """Take the label under the centre of every score cell: `labels[:, ::s, ::s]`.

    A crop of 321 pixels at output stride 8 gives 41x41 labels. No label is interpolated.

    Args:
      labels: `(B, H, W)` integers, class indices and 255 for void.
      output_stride: pixels between two score cells.

    Returns:
      `(B, (H-1)//s+1, (W-1)//s+1)`, the same dtype.
    """
    return labels[:, ::output_stride, ::output_stride]


def cross_entropy_sum(labels, scores):
    """Sum the softmax cross-entropy over the labelled pixels, and count them.

    Both parts are given, so that the mean can be taken over more than one part of a batch.

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
            f"{tuple(scores.shape)}: is the output stride the network's?"
        )
    valid = labels != VOID
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=scores
    )
    return _sum_and_count(entropy, valid)


def log_likelihood_sum(labels, probabilities):
    """Sum -log of the labels' probabilities over the labelled pixels, and count them.

    Both parts are given, as by `cross_entropy_sum`. Probabilities count as at least 1e-30.

    Args:
      labels: `(B, H, W)` integers of any dtype, 255 = void.
      probabilities: `(B, H, W, C)`, as a CRF gives them.

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
            f"{tuple(probabilities.shape)}: both are needed at the images' own size"
        )
    # A product with zeros and ones: the gradient of a gather may add in any order.
    chosen = tf.one_hot(labels, tf.shape(probabilities)[-1]) * probabilities
    entropy = -tf.math.log(tf.maximum(tf.reduce_sum(chosen, axis=-1), _TINY))
    return _sum_and_count(entropy, labels != VOID)


def _sum_and_count(entropy, valid):
    # Selecting, not multiplying: an infinite entropy under a void label times zero is nan.
    total = tf.reduce_sum(tf.where(valid, entropy, 0.0))
    return total, tf.reduce_sum(tf.cast(valid, tf.float32))


def masked_cross_entropy(labels, scores):
    """Mean softmax cross-entropy over the pixels that are not void; 0 where all are void.

    Args:
      labels: `(B, h, w)` integers at the size of the score map, 255 = void.
      scores: `(B, h, w, C)` logits.

    Returns:
      A float32 scalar in nats per pixel.

    Raises:
      InputError: the label map and the score map have different sizes.
    """
    total, count = cross_entropy_sum(labels, scores)
    return tf.math.divide_no_nan(total, count)


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
    """Cross-entropy for `model.compile` of what gives probabilities at the images' own size.

    Mean of -log p(label) over the pixels that are not void; 0 where all are void.

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
