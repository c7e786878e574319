"""Layers of fused networks: convolutions with their normalization folded in, and others shared."""

import contextvars

import keras
import tensorflow as tf

from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.fast import batch_norm, depthwise
from deeplab_tf.models.fast import convolution as plain

CONVOLUTIONS = (keras.layers.Conv2D, AtrousConv2D, keras.layers.DepthwiseConv2D)
PREPARED = contextvars.ContextVar("PREPARED")  # id of a layer -> its `prepare()`
# Arguments of a Keras layer that casts neither its inputs nor its variables.
_NO_CASTS = {"autocast": False, "dtype": "float32"}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SharedLayer(keras.layers.Wrapper):
    """A layer of another network, which may be called here without changing that network.

    Calling the layer itself on symbolic tensors would record the call in the layer, and so keep
    the fused network alive for as long as the original.

    Args:
      layer: any `keras.Layer`.
    """

    def __init__(self, layer, **kwargs):
        # The inner layer casts its inputs itself.
        super().__init__(layer, **{"name": layer.name, **kwargs, **_NO_CASTS})
        self.built = layer.built

    def call(self, inputs, *args, **kwargs):
        """Call the inner layer."""
        return self.layer(inputs, *args, **kwargs)

    def compute_output_spec(self, inputs, *args, **kwargs):
        """Return the shape and dtype of the inner layer's result; called by Keras."""
        return self.layer.compute_output_spec(inputs, *args, **kwargs)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class FusedConvolution(keras.layers.Layer):
    """A convolution, with the batch normalization that follows it folded in.

    While the normalization is being trained it needs the statistics of the batch, so the two are
    then computed one after the other.

    Args:
      convolution: Conv2D, AtrousConv2D or DepthwiseConv2D, channels last.
      normalization: BatchNormalization over the last axis of its result, or None.
      portable: see `fuse`.
    """

    def __init__(self, convolution, normalization=None, portable=False, **kwargs):
        layers = [convolution] if normalization is None else [convolution, normalization]
        name = "_".join(layer.name for layer in layers)
        super().__init__(**{"name": name, **kwargs, **_NO_CASTS})
        self.convolution, self.normalization = convolution, normalization
        self.portable = portable
        self.built = all(layer.built for layer in layers)

    def build(self, input_shape):
        """Build the inner layers that are not built yet; called by Keras."""
        if not self.convolution.built:
            self.convolution.build(input_shape)
        if self.normalization is not None and not self.normalization.built:
            self.normalization.build(self.convolution.compute_output_shape(input_shape))

    def call(self, inputs, training=False):
        """Convolve and normalize `(B, H, W, C)`."""
        if training and self.normalization is not None and self.normalization.trainable:
            outputs = self._apply(inputs, *self._kernel_and_bias(), training)
            if batch_norm.is_supported(self.normalization):
                return batch_norm.train_batch_norm(self.normalization, outputs)
            return self.normalization(outputs, training=True)
        weights = None if training else PREPARED.get({}).get(id(self))
        outputs = self._apply(inputs, *(weights or self._folded_kernel_and_bias()), training)
        if self.normalization is None:
            return outputs
        return tf.cast(outputs, self.normalization.compute_dtype)

    def compute_output_spec(self, inputs, training=False):
        """Return the shape and dtype of the result; called by Keras."""
        outputs = self.convolution.compute_output_spec(inputs)
        if self.normalization is None:
            return outputs
        return self.normalization.compute_output_spec(outputs)

    def get_config(self):
        """Return the constructor's arguments."""
        layers = {"convolution": self.convolution, "normalization": self.normalization}
        return {
            **super().get_config(),
            **{key: keras.saving.serialize_keras_object(layer) for key, layer in layers.items()},
            "portable": self.portable,
        }

    @classmethod
    def from_config(cls, config):
        """Make the layer that `get_config` describes."""
        layers = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("convolution", "normalization")
        }
        return cls(**{**config, **layers})

    def _kernel_and_bias(self):
        layer = self.convolution
        kernel = tf.convert_to_tensor(layer.kernel)
        return kernel, tf.convert_to_tensor(layer.bias) if layer.use_bias else None

    def prepare(self):
        """What inference computes from the weights alone: a kernel, and a bias if there is one."""
        layer, dtype = self.convolution, self.convolution.compute_dtype
        kernel, bias = self._folded_kernel_and_bias()
        kernel = tf.cast(kernel, dtype)
        if not isinstance(layer, keras.layers.DepthwiseConv2D) and plain.is_supported(layer):
            kernel = plain.prepare_kernel(kernel, layer.dilation_rate[0])
        return (kernel,) if bias is None else (kernel, tf.cast(bias, dtype))

    def _folded_kernel_and_bias(self):
        """Scale the kernel and shift the bias as the normalization would the result."""
        (kernel, bias), normalization = self._kernel_and_bias(), self.normalization
        if normalization is None:
            return kernel, bias
        mean = tf.convert_to_tensor(normalization.moving_mean)
        factor = tf.math.rsqrt(normalization.moving_variance + normalization.epsilon)
        if normalization.scale:
            factor *= normalization.gamma
        offset = (-mean if bias is None else bias - mean) * factor
        if normalization.center:
            offset += normalization.beta
        # A depthwise kernel (h, w, C, M) has the channels of its result in its last two axes.
        filters = kernel.shape[2:] if kernel.shape[-1] != factor.shape[0] else kernel.shape[3:]
        return kernel * tf.reshape(factor, filters), offset

    def _apply(self, inputs, kernel, bias, training):
        """Convolve, add the bias and activate, in the precision of the convolution."""
        dtype = self.convolution.compute_dtype
        y = self.convolve(tf.cast(inputs, dtype), tf.cast(kernel, dtype), training)
        if bias is not None:
            y = tf.nn.bias_add(y, tf.cast(bias, dtype))
        return self.convolution.activation(y)

    def convolve(self, x, kernel, training):
        """Convolve `(B, H, W, C)` with a kernel, without bias and activation."""
        layer = self.convolution
        rate = layer.dilation_rate[0]
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            if depthwise.is_supported(layer):
                return depthwise.fast_depthwise_conv2d(
                    x, kernel, rate, layer.padding, self.portable
                )
            window = (layer.strides, layer.padding, layer.data_format, layer.dilation_rate)
            return keras.ops.depthwise_conv(x, kernel, *window)
        if plain.is_supported(layer):
            return plain.fast_conv2d(x, kernel, rate, with_gradients=training)
        return layer.convolution_op(x, kernel)
