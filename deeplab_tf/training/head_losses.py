"""The losses of networks with several score heads: the sum of those of the heads."""

import dataclasses

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.training.cross_entropy import shrink_labels
from deeplab_tf.training.losses import masked_cross_entropy


@dataclasses.dataclass(frozen=True)
class HeadsObjective:
    """The objectives of all heads, added; each is a mean over its own labeled pixels.

    Attributes:
      objectives: the objective of each head, see `deeplab_tf.training.losses`.
      channels: the slice of each head's channels in the scores.
    """

    objectives: tuple
    channels: tuple

    def counts(self, labels):
        """Counts of the terms of all heads, float32 `(n,)`, of labels `(B, H, W, heads)`."""
        each = enumerate(self.objectives)
        return tf.concat([objective.counts(labels[..., i]) for i, objective in each], axis=0)

    def sums(self, labels, scores):
        """Sums of the terms of all heads, float32 `(n,)`.

        Args:
          labels: `(B, H, W, heads)` integers, 255 = void.
          scores: `(B, h, w, C)`, or a list of them, as the objectives take them.
        """
        each = zip(self.objectives, self.channels, strict=True)
        return tf.concat(
            [
                objective.sums(labels[..., i], _take(scores, part))
                for i, (objective, part) in enumerate(each)
            ],
            axis=0,
        )


def _take(scores, part):
    if isinstance(scores, list | tuple):
        return [each[..., part] for each in scores]
    return scores[..., part]


@keras.saving.register_keras_serializable(package="deeplab_tf")
class HeadsLoss(keras.losses.Loss):
    """The sum of the heads' published losses for `model.compile`, as `SegmentationLoss` for one.

    Example:
      >>> model = with_heads(build_deeplab(num_classes=36), {"semantic": 33, "geometric": 3})
      >>> model.compile("sgd", loss=HeadsLoss([33, 3], output_stride=8))
      >>> model.fit(images, labels)  # labels (B, H, W, 2) uint8, 255 = void

    Args:
      sizes: number of classes of each head, in the order of their channels.
      output_stride: pixels between two score cells.
      name: of the loss, in the messages of Keras.

    Raises:
      InputError: at the first batch, if labels or scores have not these heads.
    """

    def __init__(self, sizes, output_stride=8, name="heads_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sizes, self.output_stride = [int(size) for size in sizes], output_stride

    def call(self, y_true, y_pred):
        """Sum of the mean cross-entropies of scores `(B, h, w, C)`, labels `(B, H, W, heads)`."""
        if (y_true.shape[-1], y_pred.shape[-1]) != (len(self.sizes), sum(self.sizes)):
            raise InputError(
                f"labels {tuple(y_true.shape)} and scores {tuple(y_pred.shape)} for heads of "
                f"{self.sizes} classes; give labels (B, H, W, {len(self.sizes)}) and "
                f"{sum(self.sizes)} score channels"
            )
        labels = shrink_labels(y_true, self.output_stride)
        parts = tf.split(y_pred, self.sizes, axis=-1)
        each = enumerate(parts)
        return tf.add_n([masked_cross_entropy(labels[..., i], part) for i, part in each])

    def get_config(self):
        """The arguments of the constructor."""
        own = {"sizes": self.sizes, "output_stride": self.output_stride}
        return {**super().get_config(), **own}
