"""A network as it is computed where it is used: the same function in fewer and larger steps."""

import functools
import inspect

import keras
import tensorflow as tf

from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.fast.convolution import fast_conv2d, is_supported

_CONVOLUTIONS = (keras.layers.Conv2D, AtrousConv2D, keras.layers.DepthwiseConv2D)


def fused_call(model, images, training=False):
    """What `model(images, training)` gives, up to rounding, in less time.

    Batch normalisation that is not trained becomes part of the convolution before it. At
    inference float32 convolutions of 3x3 are Winograd's besides, where there is no GPU, whose
    libraries know as much. The model's variables are used as they are, and have their gradients:
    it may be trained by it and between calls. Call it inside a `tf.function`.

    Args:
      model: Keras model; one that is not functional is called as it is.
      images: its one input.
      training: whether dropout drops and normalisation that is trained takes the batch's
        statistics.

    Returns:
      Its output.

    Example:
      >>> score = tf.function(lambda images: fused_call(model, images))
    """
    if not _is_functional(model):
        return model(images, training=training)
    return _Fusion(training).run(model, tf.cast(images, model.inputs[0].dtype))


class _Convolution:
    """A convolution of which is not known yet whether a normalisation follows."""

    def __init__(self, layer, x):
        self.layer, self.x, self.result = layer, x, None


class _Fusion:
    # Calls layer after layer; each convolution waits for the layer that asks for its result.
    def __init__(self, training):
        self._training = training

    def run(self, model, inputs):
        def call_of(layer):
            return functools.partial(self._call, layer)

        return self._results(model._run_through_graph(inputs, call_of))

    def _call(self, layer, *args, **kwargs):
        if self._is_fixed_normalization(layer) and _is_linear_convolution(args[0]):
            convolution = args[0]
            y = self._convolve(convolution.layer, convolution.x, layer)
            return tf.cast(y, layer.compute_dtype)
        args, kwargs = self._results((args, kwargs))
        if _is_functional(layer):
            return self.run(layer, *args)
        if _is_plain_convolution(layer):
            return _Convolution(layer, *args)
        if "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = self._training
        return layer(*args, **kwargs)

    def _results(self, structure):
        return keras.tree.map_structure(self._result, structure)

    def _result(self, x):
        if not isinstance(x, _Convolution):
            return x
        if x.result is None:
            x.result = self._convolve(x.layer, x.x)
        return x.result

    def _is_fixed_normalization(self, layer):
        is_last_axis = type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3)
        return is_last_axis and not (self._training and layer.trainable)

    def _convolve(self, layer, x, normalization=None):
        """A convolution with the normalisation behind it, in the convolution's own precision."""
        kernel, bias = _kernel_and_bias(layer)
        if normalization is not None:
            kernel, bias = _normalized(kernel, bias, normalization)
        dtype = layer.compute_dtype
        y = self._apply_kernel(layer, tf.cast(x, dtype), tf.cast(kernel, dtype))
        if bias is not None:
            y = tf.nn.bias_add(y, tf.cast(bias, dtype))
        return layer.activation(y)

    def _apply_kernel(self, layer, x, kernel):
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            window = (layer.strides, layer.padding, layer.data_format, layer.dilation_rate)
            return keras.ops.depthwise_conv(x, kernel, *window)
        if is_supported(layer):
            return fast_conv2d(x, kernel, layer.dilation_rate[0], self._training)
        return layer.convolution_op(x, kernel)


def _is_functional(model):
    """Whether a model is its graph, without a `call` of somebody's own."""
    has_graph = isinstance(model, keras.Model) and hasattr(model, "_run_through_graph")
    return has_graph and type(model).call.__module__.startswith("keras.")


def _is_plain_convolution(layer):
    return type(layer) in _CONVOLUTIONS and layer.data_format == "channels_last"


def _is_linear_convolution(x):
    return isinstance(x, _Convolution) and x.layer.activation is keras.activations.linear


def _kernel_and_bias(layer):
    kernel = tf.convert_to_tensor(layer.kernel)
    return kernel, tf.convert_to_tensor(layer.bias) if layer.use_bias else None


def _normalized(kernel, bias, normalization):
    """Kernel and bias, multiplied and moved as the normalisation would the result."""
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
