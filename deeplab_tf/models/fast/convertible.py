"""Convolutions in a form that converters to other runtimes read rightly, for images of any size."""

import keras
import tensorflow as tf

from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.fast.layers import FusedConvolution


def convertible(model):
    """Fuse a network for a converter to ONNX, OpenVINO or LiteRT.

    Args:
      model: functional `keras.Model`.

    Returns:
      keras.Model that computes the same, up to rounding, see `fuse`.
    """
    return fuse(model, portable=True, convolution=ConvertibleConvolution)


def scope_name(name):
    """The name scope of a convolution in a graph; TensorFlow adds numbers to those of layers."""
    return f"convolution_{name}"


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ConvertibleConvolution(FusedConvolution):
    """A `FusedConvolution` made of one dilated operation, with padding of its own before it.

    ONNX Runtime refuses dilation with automatic padding, and a dilated convolution through
    space-to-batch, as Keras computes it, needs sizes that are known before.

    Args:
      convolution, normalization, portable: see `FusedConvolution`.
    """

    def call(self, inputs, training=False):
        """Convolve and normalize `(B, H, W, C)`, in a name scope by which a converter finds it."""
        with tf.name_scope(scope_name(self.convolution.name)):
            return super().call(inputs, training)

    def convolve(self, x, kernel, training):
        """Convolve `(B, H, W, C)` with a kernel, without bias and activation."""
        layer = self.convolution
        rates, strides = tuple(layer.dilation_rate), tuple(layer.strides)
        padding = layer.padding.upper()
        if padding == "SAME" and max(rates) > 1:  # its strides are 1
            x, padding = _padded(x, kernel.shape[:2], rates), "VALID"
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            # Its gradients ignore the dilation, which does not matter here.
            return tf.raw_ops.DepthwiseConv2dNative(
                input=x,
                filter=kernel,
                strides=[1, *strides, 1],
                padding=padding,
                dilations=[1, *rates, 1],
            )
        return tf.nn.conv2d(x, kernel, strides, padding, dilations=rates)


def _padded(x, kernel_size, rates):
    """Zeros around a map, as the padding "same" of a window of stride 1 has them."""
    reaches = [(size - 1) * rate for size, rate in zip(kernel_size, rates, strict=True)]
    return tf.pad(x, [(0, 0), *((reach // 2, reach - reach // 2) for reach in reaches), (0, 0)])
