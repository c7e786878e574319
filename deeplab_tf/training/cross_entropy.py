"""Cross-entropy over the labeled pixels, as sums and counts from which the losses are made.

`class_weights` is a sequence of one number w_c >= 0 for each class; None is 1 for each. The loss of
n labeled pixels i with labels y_i is then

    (1 / n) sum_i w_{y_i} (-log p_i(y_i))

as in SegNet. It is divided by the number of pixels, not by the sum of their weights, so a pixel of
a class counts the same in every batch. deeplab_tf/data/class_weights.py computes balanced weights.
"""

import math

import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.labels import ADD_BACKGROUND, VOID

# Smaller probabilities count as this one: far below what the CRF returns, and far enough above
# the smallest float32 that the gradient 1 / p stays finite.
TINY = 1e-30


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


def cross_entropy_sum(labels, scores, class_weights=None):
    """Sum the weighted softmax cross-entropy over the labeled pixels, and count them.

    Args:
      labels: `(B, h, w)` integers of any dtype, 255 = void.
      scores: `(B, h, w, C)` logits.
      class_weights: one number for each class; None: all 1.

    Returns:
      The sum in nats and the number of pixels that are not void: two float32 scalars.

    Raises:
      InputError: the label map and the score map have different sizes, there is only one class, or
        there is another number of weights.
    """
    labels, scores = tf.cast(labels, tf.int32), tf.cast(scores, tf.float32)
    _check_shapes(labels, scores, "scores", "give the output stride of the network")
    valid = labels != VOID
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=scores
    )
    return _sum_and_count(entropy, labels, class_weights, scores.shape[-1])


def log_likelihood_sum(labels, probabilities, class_weights=None):
    """Sum the weighted -log of the labels' probabilities over the labeled pixels, and count them.

    Probabilities below 1e-30 count as 1e-30.

    Args:
      labels: `(B, H, W)` integers of any dtype, 255 = void.
      probabilities: `(B, H, W, C)`, such as those of a CRF.
      class_weights: one number for each class; None: all 1.

    Returns:
      The sum in nats and the number of pixels that are not void: two float32 scalars.

    Raises:
      InputError: as for `cross_entropy_sum`.
    """
    labels, probabilities = tf.cast(labels, tf.int32), tf.cast(probabilities, tf.float32)
    remedy = "both must have the size of the images"
    _check_shapes(labels, probabilities, "probabilities", remedy)
    # Multiplied by a one-hot label: the gradient of tf.gather would not be deterministic.
    chosen = tf.one_hot(labels, tf.shape(probabilities)[-1]) * probabilities
    entropy = -tf.math.log(tf.maximum(tf.reduce_sum(chosen, axis=-1), TINY))
    return _sum_and_count(entropy, labels, class_weights, probabilities.shape[-1])


def _check_shapes(labels, values, name, remedy):
    if not values.shape[:-1].is_compatible_with(labels.shape):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} do not fit {name} of shape "
            f"{tuple(values.shape)}; {remedy}"
        )


def _sum_and_count(entropy, labels, class_weights, num_classes):
    if num_classes == 1:
        raise InputError(f"the model has one class, which cannot be learned; {ADD_BACKGROUND}")
    valid = labels != VOID
    if class_weights is not None:
        check_class_weights(class_weights, num_classes)
        weights = tf.constant(class_weights, tf.float32)
        entropy *= tf.gather(weights, tf.where(valid, labels, 0))
    # tf.where instead of a product: an infinite entropy under a void label times zero is NaN.
    total = tf.reduce_sum(tf.where(valid, entropy, 0.0))
    return total, tf.reduce_sum(tf.cast(valid, tf.float32))


def check_class_weights(class_weights, num_classes):
    """Raise `InputError` unless there is a weight of at least 0 for each class, one above 0."""
    if len(class_weights) != num_classes:
        raise InputError(
            f"{len(class_weights)} class weights for {num_classes} classes; give one for each"
        )
    if not all(0 <= weight < math.inf for weight in class_weights) or not any(class_weights):
        raise InputError(f"class weights {class_weights}; give numbers >= 0, at least one above 0")
