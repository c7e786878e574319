"""The scale-invariant loss of depth maps (Eigen, Puhrsch, Fergus, NIPS 2014, equations 3 and 4).

With the predicted depth y and the true depth y* of the n pixels i of an image whose depth is known,

    d_i = ln y_i - ln y*_i
    loss = (1/n) sum_i d_i^2 - (lambda / n^2) (sum_i d_i)^2

The second term takes away a share, lambda, of the error that one wrong scale for the whole image
makes: lambda 0 is the mean squared error of the logarithm, 1 ignores the scale, and the paper's 0.5
is between them. Pixels of unknown depth count in none of the sums.
"""

import dataclasses

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.training.cross_entropy import shrink_labels

LAMBDA = 0.5


def scale_invariant_losses(depth, log_depth, scale_share=LAMBDA):
    """The loss of each image.

    Args:
      depth: `(B, h, w)` floats, the true depth in meters; 0, negative, infinite and NaN are
        unknown.
      log_depth: `(B, h, w, 1)`, the predicted natural logarithm of the depth.
      scale_share: lambda of the equations, 0..1.

    Returns:
      float32 `(B,)`; 0 for an image without a known pixel.

    Raises:
      InputError: if the sizes differ, or there is more than one channel.
    """
    depth, log_depth = tf.convert_to_tensor(depth), tf.convert_to_tensor(log_depth)
    _check_shapes(depth, log_depth)
    known = is_known(depth)
    # The logarithm is taken of 1 where the depth is unknown: that of 0 would make the gradient NaN.
    truth = tf.math.log(tf.where(known, tf.cast(depth, tf.float32), 1.0))
    error = tf.where(known, tf.cast(log_depth, tf.float32)[..., 0] - truth, 0.0)
    count = tf.reduce_sum(tf.cast(known, tf.float32), axis=(1, 2))
    mean = tf.math.divide_no_nan(tf.reduce_sum(error, axis=(1, 2)), count)
    square = tf.math.divide_no_nan(tf.reduce_sum(error**2, axis=(1, 2)), count)
    return square - scale_share * mean**2


def is_known(depth):
    """Where a depth map tells a depth: bool, of the same shape."""
    depth = tf.convert_to_tensor(depth)
    return (depth > 0) & tf.math.is_finite(depth)


def _check_shapes(depth, log_depth):
    if log_depth.shape[-1] != 1:
        raise InputError(
            f"{log_depth.shape[-1]} channels for a depth map; build the network with "
            "predict_depth=True"
        )
    if not log_depth.shape[:-1].is_compatible_with(depth.shape):
        raise InputError(
            f"depth of shape {tuple(depth.shape)} does not fit a prediction of shape "
            f"{tuple(log_depth.shape)}; give the output stride of the network"
        )


@dataclasses.dataclass(frozen=True)
class DepthObjective:
    """The scale-invariant loss for the training loop; the mean is taken over the images.

    Attributes:
      output_stride: s, pixels between two cells of the predicted map; every s-th pixel of the depth
        maps is compared with it.
      scale_share: lambda of the equations.
    """

    output_stride: int = 8
    scale_share: float = LAMBDA

    def counts(self, depth):
        """Images with a cell of known depth, float32 `(1,)`, of depth maps `(B, H, W)`."""
        known = is_known(shrink_labels(depth, self.output_stride))
        return tf.reduce_sum(tf.cast(tf.reduce_any(known, axis=(1, 2)), tf.float32))[None]

    def sums(self, depth, log_depth):
        """The images' losses summed, float32 `(1,)`, of predictions `(B, h, w, 1)`."""
        depth = shrink_labels(depth, self.output_stride)
        return tf.reduce_sum(scale_invariant_losses(depth, log_depth, self.scale_share))[None]


@keras.saving.register_keras_serializable(package="deeplab_tf")
class DepthLoss(keras.losses.Loss):
    """The scale-invariant loss for `model.compile`: full-size depth maps against predicted maps.

    Example:
      >>> model = build_deeplab("resnet50", "large_fov", predict_depth=True)
      >>> model.compile("adam", loss=DepthLoss(output_stride=8))
      >>> model.fit(images, depth)  # depth (B, H, W) in meters, 0 or NaN = unknown

    Args:
      output_stride: pixels between two cells of the predicted map.
      scale_share: lambda of the equations, 0..1.
      name: of the loss, in the messages of Keras.
    """

    def __init__(self, output_stride=8, scale_share=LAMBDA, name="depth_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.output_stride, self.scale_share = output_stride, scale_share

    def call(self, y_true, y_pred):
        """Loss of each image, of predictions `(B, h, w, 1)` for depth maps `(B, H, W)`."""
        depth = shrink_labels(y_true, self.output_stride)
        return scale_invariant_losses(depth, y_pred, self.scale_share)

    def get_config(self):
        """The arguments of the constructor."""
        own = {"output_stride": self.output_stride, "scale_share": self.scale_share}
        return {**super().get_config(), **own}
