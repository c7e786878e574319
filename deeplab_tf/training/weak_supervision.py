"""Training from image-level labels: which classes an image shows, not where they are.

MIL and EM-Adapt need a network that can already tell the classes apart: the papers start from an
ImageNet classifier. Without one, `ClassifierObjective` trains it from the same image labels.

The objectives take the same pixel labels as all others, but use only which classes occur in each
crop. Train with a `crop_size` of the image's longer side and a scale of 1, so that a crop holds
the whole image. Void cells, which include the padding, are ignored.
"""

import dataclasses

import tensorflow as tf

from deeplab_tf.labels import VOID
from deeplab_tf.training.cross_entropy import (
    TINY,
    count_labeled,
    cross_entropy_sum,
    shrink_labels,
)

_NEVER = -1e30  # the score of a class that cannot win; finite, so that no NaN arises
_MARGIN = 1e-5  # added to a bias, which alone would only make the scores equal


def image_labels(labels, num_classes):
    """Which classes occur in each image.

    Args:
      labels: `(B, H, W)` integers, class indices and 255 for void.
      num_classes: C.

    Returns:
      bool `(B, C)`.
    """
    cells = tf.reshape(tf.cast(labels, tf.int32), (tf.shape(labels)[0], -1))
    return tf.reduce_any(cells[:, :, None] == tf.range(num_classes), axis=1)


@dataclasses.dataclass(frozen=True)
class ClassifierObjective:
    """Logistic loss of the image's classes, predicted by scores pooled over the image.

    The score of class c is s_c - s_0, relative to the background, class 0. It is pooled to
    (1/r) log mean exp(r (s_c - s_0)), which lies between the mean and the maximum. The loss is
    the mean over the classes.

    Attributes:
      output_stride: pixels between two score cells.
      sharpness: r; 0 would be the mean, infinity the maximum.
    """

    output_stride: int = 8
    sharpness: float = 5.0

    def counts(self, labels):
        """Images with a cell that is not void, float32 `(1,)`, of labels `(B, H, W)`."""
        return _count_images(shrink_labels(labels, self.output_stride))

    def sums(self, labels, scores):
        """The images' losses summed, float32 `(1,)`, of scores `(B, h, w, C)`."""
        valid = tf.cast(shrink_labels(labels, self.output_stride), tf.int32) != VOID
        present = tf.cast(image_labels(labels, scores.shape[-1])[:, 1:], tf.float32)
        scores = tf.cast(scores, tf.float32)
        margins = tf.where(valid[..., None], scores[..., 1:] - scores[..., :1], _NEVER)
        cells = tf.reduce_sum(tf.cast(valid, tf.float32), axis=(1, 2))[:, None]
        pooled = tf.reduce_logsumexp(self.sharpness * margins, axis=(1, 2))
        pooled = (pooled - tf.math.log(tf.maximum(cells, 1.0))) / self.sharpness
        losses = tf.nn.sigmoid_cross_entropy_with_logits(present, pooled)
        return tf.reduce_sum(tf.where(cells > 0, losses, 0.0))[None] / present.shape[1]


@dataclasses.dataclass(frozen=True)
class MILObjective:
    """Multiple instance learning (MIL-FCN, ICLR workshop 2015).

    For each class that an image shows, including the background, takes the cell where it is most
    probable; the loss is the mean over these classes of -log of that probability.

    Attributes:
      output_stride: pixels between two score cells.
    """

    output_stride: int = 8

    def counts(self, labels):
        """Images with a cell that is not void, float32 `(1,)`, of labels `(B, H, W)`."""
        return _count_images(shrink_labels(labels, self.output_stride))

    def sums(self, labels, scores):
        """The images' losses summed, float32 `(1,)`, of scores `(B, h, w, C)`."""
        valid = tf.cast(shrink_labels(labels, self.output_stride), tf.int32) != VOID
        losses = mil_losses(image_labels(labels, scores.shape[-1]), scores, valid)
        return tf.reduce_sum(tf.where(tf.reduce_any(valid, axis=(1, 2)), losses, 0.0))[None]


def mil_losses(present, scores, valid=None):
    """The loss of each image: the mean of -log of its classes' highest probabilities.

    Args:
      present: bool `(B, C)`, the classes that the image shows.
      scores: `(B, h, w, C)`.
      valid: bool `(B, h, w)`, the cells that count; None: all.

    Returns:
      float32 `(B,)`; 0 for an image without classes.
    """
    log_p = tf.nn.log_softmax(tf.cast(scores, tf.float32))
    if valid is not None:
        log_p = tf.where(valid[..., None], log_p, _NEVER)
    highest = tf.reduce_max(log_p, axis=(1, 2))
    total = tf.reduce_sum(tf.where(present, -highest, 0.0), axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(present, tf.float32), axis=1))


@dataclasses.dataclass(frozen=True)
class OnProbabilities:
    """An objective of image labels for probabilities of every pixel, such as those of a CRF.

    The objective takes their logarithms as scores, whose softmax they are.

    Attributes:
      objective: one of this module, with an output stride of 1.
    """

    objective: object

    def counts(self, labels):
        """What the objective counts, of labels `(B, H, W)`."""
        return self.objective.counts(labels)

    def sums(self, labels, probabilities):
        """The objective's sums, of probabilities `(B, H, W, C)`."""
        scores = tf.math.log(tf.maximum(tf.cast(probabilities, tf.float32), TINY))
        return self.objective.sums(labels, scores)


@dataclasses.dataclass(frozen=True)
class EMAdaptObjective:
    """EM-Adapt (Papandreou et al., ICCV 2015): cross-entropy for labels estimated from the scores.

    The labels are the most probable classes among those that the image shows, after
    `adapted_labels` has raised the scores of each class until it is the most probable one in its
    portion of the image.

    Attributes:
      output_stride: pixels between two score cells.
      iterations: number of rounds over the classes.
      foreground, background: minimum portions of the image, 0..1, for each class that it shows and
        for the background, class 0.
    """

    output_stride: int = 8
    iterations: int = 5
    foreground: float = 0.2
    background: float = 0.4

    def counts(self, labels):
        """Cells that are not void, float32 `(1,)`, of labels `(B, H, W)`."""
        return count_labeled(shrink_labels(labels, self.output_stride))[None]

    def sums(self, labels, scores):
        """Summed cross-entropy, float32 `(1,)`, of scores `(B, h, w, C)`."""
        num_classes = scores.shape[-1]
        valid = tf.cast(shrink_labels(labels, self.output_stride), tf.int32) != VOID
        portions = tf.constant([self.background] + [self.foreground] * (num_classes - 1))
        estimated = adapted_labels(
            tf.stop_gradient(tf.cast(scores, tf.float32)),
            image_labels(labels, num_classes),
            valid,
            portions,
            self.iterations,
        )
        return cross_entropy_sum(tf.where(valid, estimated, VOID), scores)[0][None]


def adapted_labels(scores, present, valid, portions, iterations):
    """Estimate labels in which every class that an image shows wins about its portion of cells.

    In each round every class in turn gets a bias, so that it wins at least its portion of the
    cells against the current scores of the others; later classes may win some of them back.

    Args:
      scores: `(B, h, w, C)` float32.
      present: bool `(B, C)`, the classes that may win.
      valid: bool `(B, h, w)`, the cells that count.
      portions: `(C,)` float32, minimum portions of the valid cells, 0..1.
      iterations: number of rounds over the classes.

    Returns:
      `(B, h, w)` int32, class indices.
    """
    size = tf.shape(scores)
    cells = tf.reshape(valid, (size[0], -1))
    biased = tf.where(present[:, None, :], tf.reshape(scores, (size[0], -1, size[3])), _NEVER)
    wanted = tf.cast(tf.reduce_sum(tf.cast(cells, tf.int32), axis=1), tf.float32)
    wanted = tf.cast(tf.math.ceil(wanted[:, None] * portions), tf.int32)

    def raise_class(step, biased):
        index = step % size[3]
        chosen = tf.one_hot(index, size[3])
        # How far class `index` is behind the best other class in each cell. With the n-th smallest
        # of these differences as its bias, the class wins in n cells.
        others = tf.reduce_max(tf.where(chosen > 0, _NEVER, biased), axis=2)
        lead = tf.where(cells, others - biased[:, :, index], -_NEVER)
        needed = _nth_smallest(lead, wanted[:, index])
        bias = tf.where(present[:, index], tf.maximum(needed + _MARGIN, 0.0), 0.0)
        return step + 1, biased + bias[:, None, None] * chosen

    steps = iterations * size[3]
    _, biased = tf.while_loop(lambda step, _: step < steps, raise_class, [0, biased])
    return tf.reshape(tf.argmax(biased, axis=2, output_type=tf.int32), size[:3])


def _count_images(labels):
    labeled = tf.reduce_any(tf.cast(labels, tf.int32) != VOID, axis=(1, 2))
    return tf.reduce_sum(tf.cast(labeled, tf.float32))[None]


def _nth_smallest(values, counts):
    """The counts-th smallest value of each row of `(B, N)`; `_NEVER` if counts is 0."""
    ranked = tf.sort(values, axis=1)
    found = tf.gather(ranked, tf.maximum(counts - 1, 0), batch_dims=1)
    return tf.where(counts > 0, found, _NEVER)
