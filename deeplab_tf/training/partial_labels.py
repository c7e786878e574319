"""Training from partial labels: points or scribbles, with void wherever nothing was drawn.

A labeled pixel says which class it has, and that the image shows this class, as MIL uses it.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab_tf.labels import VOID
from deeplab_tf.training.cross_entropy import count_labeled, cross_entropy_sum
from deeplab_tf.training.weak_supervision import image_labels, mil_losses


def nearest_labels(labels, output_stride):
    """The label drawn nearest to the center of every score cell, within the cell; void if none.

    A point is a single pixel: most points lie between the pixels that other losses look at, those
    under the centers of the cells.

    Args:
      labels: `(B, H, W)` integers, class indices and 255 for void.
      output_stride: s, pixels between two score cells; cell (i, j) is centered on pixel
        (s i, s j), and all pixels nearest to its center are within it.

    Returns:
      int32 `(B, (H-1)//s+1, (W-1)//s+1)`.
    """
    stride = output_stride
    size = tf.shape(labels)[1:3]
    # Odd windows around the centers; the pixels halfway to the next center are within both.
    reach = stride // 2
    last = (size - 1) // stride * stride
    after = tf.maximum(last + reach + 1 - size, 0)
    paddings = [[0, 0], [reach, after[0]], [reach, after[1]]]
    padded = tf.pad(tf.cast(labels, tf.int32), paddings, constant_values=VOID)
    window = 2 * reach + 1
    windows = tf.image.extract_patches(
        padded[..., None], [1, window, window, 1], [1, stride, stride, 1], [1, 1, 1, 1], "VALID"
    )
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    nearest_first = np.argsort((y**2 + x**2).ravel(), kind="stable")
    windows = tf.gather(windows, nearest_first, axis=-1)
    first = tf.argmax(tf.cast(windows != VOID, tf.int32), axis=-1)  # 0, which is void, if none is
    return tf.gather(windows, first, batch_dims=3)


@dataclasses.dataclass(frozen=True)
class PartialLabelsObjective:
    """Cross-entropy where something is labeled, and MIL for the classes that occur.

    Two terms of equal weight, as image labels and points have in "What's the point" (Bearman et
    al., ECCV 2016): the mean over the cells with a labeled pixel, see `nearest_labels`, and the
    mean over the images of the loss of `MILObjective`, for which every cell counts, labeled or
    not. Crops should lie within the images, since padding cannot be told from unlabeled pixels.

    Attributes:
      output_stride: pixels between two score cells.
      class_weights: of the cross-entropy, one number for each class; None: all 1.
    """

    output_stride: int = 8
    class_weights: tuple | None = None

    def counts(self, labels):
        """Labeled cells, and images with a label, float32 `(2,)`, of labels `(B, H, W)`."""
        images = tf.reduce_any(tf.cast(labels, tf.int32) != VOID, axis=(1, 2))
        cells = count_labeled(nearest_labels(labels, self.output_stride))
        return tf.stack([cells, tf.reduce_sum(tf.cast(images, tf.float32))])

    def sums(self, labels, scores):
        """Summed losses of cells and of images, float32 `(2,)`, of scores `(B, h, w, C)`."""
        cells = nearest_labels(labels, self.output_stride)
        entropy = cross_entropy_sum(cells, scores, self.class_weights)[0]
        losses = mil_losses(image_labels(labels, scores.shape[-1]), scores)
        return tf.stack([entropy, tf.reduce_sum(losses)])
