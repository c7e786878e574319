"""The dilated convolution: TensorFlow's own kernel where it has a gradient, else Keras's."""

import functools

import keras
import tensorflow as tf


@functools.cache
def native_dilation_works(dtype="float32"):
    """Whether `tf.nn.conv2d(dilations=...)` has a gradient on this machine; tried once.

    Without oneDNN, TensorFlow's CPU kernels run the dilated convolution forwards only; so they
    do, on many processors, in float16.

    Args:
      dtype: name of the type that is computed in.

    Returns:
      bool.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    window = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, 2, 2, 1]}
    with tf.init_scope():  # at once, also while a graph is being traced
        x, kernel, y = (
            tf.ones(shape, dtype) for shape in ((1, 9, 9, 3), (3, 3, 3, 2), (1, 9, 9, 2))
        )
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=y, **window
            )
            tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=y, **window
            )
        except tf.errors.OpError:
            return False
    return True


@keras.saving.register_keras_serializable(package="deeplab_tf")
class AtrousConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` of stride 1 that runs its dilation natively, where that works.

    Keras turns a dilated convolution into space-to-batch, a plain convolution, and back, which
    copies every map twice. The arguments, the weights and the results are those of Conv2D.

    Example:
      >>> AtrousConv2D(1024, 3, dilation_rate=12, padding="same")(x)
    """

    def convolution_op(self, inputs, kernel):
        """Convolve `(B, H, W, C)`; called by Keras."""
        ours = self.groups == 1 and self.data_format == "channels_last"
        if not (ours and native_dilation_works(self.compute_dtype)):
            return super().convolution_op(inputs, kernel)
        return tf.nn.conv2d(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding.upper(),
            dilations=self.dilation_rate,
        )
