"""Fuse a network: batch normalization folded into convolutions, and faster convolutions.

A fused network is an ordinary Keras model around the layers of the original. Each of its layers
computes from the variables of the original layers, so nothing is copied, and training either
network changes both.
"""

import collections
import contextvars

import keras
import tensorflow as tf

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_layers import AtrousConv2D
from deeplab_tf.models.fast import batch_norm, depthwise
from deeplab_tf.models.fast import convolution as plain
from deeplab_tf.models.walk import leaf_layers

_CONVOLUTIONS = (keras.layers.Conv2D, AtrousConv2D, keras.layers.DepthwiseConv2D)
PREPARED = contextvars.ContextVar("PREPARED")  # id of a layer -> its `prepare()`


def fuse(model, portable=False, convolution=None):
    """Make a faster network that computes the same function, up to rounding.

    Batch normalization that is not being trained is folded into the convolution before it. On
    CPUs, inference uses Winograd convolution for large 3x3 kernels, training computes the kernels'
    gradients by one matrix product per kernel element, and both use faster depthwise convolutions
    where they are dilated or wider than 3 cells. Training normalizes a convolution's result by one
    operation.

    Args:
      model: functional `keras.Model`; nested models are fused too.
      portable: whether graphs made from the result may run on machines of another kind; it then
        leaves out what may be slow there.
      convolution: subclass of `FusedConvolution` that computes the convolutions; None: itself.

    Returns:
      A functional keras.Model with the same inputs and outputs. It shares the
      variables of `model`, possibly in another order. A model that is not functional, or that
      overrides `call`, is returned as it is.

    Example:
      >>> scores = deeplab_tf.fuse(model).predict(images)
    """
    unfolded = set()  # ids of convolutions and normalizations that must not be folded
    while True:
        fused = _Fuser(unfolded, portable, convolution or FusedConvolution).fuse(model)
        repeated = set() if fused is model else _repeated_layers(fused)
        if not repeated:
            return fused
        unfolded |= repeated


def check_not_fused(model):
    """Raise `InputError` for a network that `fuse` made: its layers wrap those of another one."""
    if any(_inner_layers(layer) for layer in leaf_layers(model)):
        raise InputError(
            f"{model.name!r} was made by fuse; take the network that it was made from, and fuse "
            "the result"
        )


def _repeated_layers(fused):
    """Ids of the original layers that are part of several layers of a fused network.

    An example is a convolution whose output is normalized in one place and used without
    normalization in another. Keras would restore a saved network's weights in only one of the two.
    """
    holders = {id(layer): layer for layer in leaf_layers(fused)}.values()
    counts = collections.Counter(
        id(inner) for layer in holders for inner in _inner_layers(layer) if inner
    )
    return {inner for inner, count in counts.items() if count > 1}


def _inner_layers(layer):
    if isinstance(layer, SharedLayer):
        return [layer.layer]
    if isinstance(layer, FusedConvolution):
        return [layer.convolution, layer.normalization]
    return []


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


# Arguments of a Keras layer that casts neither its inputs nor its variables.
_NO_CASTS = {"autocast": False, "dtype": "float32"}


class _Fuser:
    """Replaces the layers of one network, and of the networks nested in it."""

    def __init__(self, unfolded, portable, convolution):
        self._unfolded, self._portable = unfolded, portable
        self._convolution = convolution
        self._replacements = {}  # id of an original layer, or of a pair -> what replaces it
        # id of a convolution's output -> (the output, kept alive so that no other tensor gets its
        # id; the layer; its input)
        self._convolved = {}

    def fuse(self, model):
        if not _is_functional(model):
            return model
        # `clone_model` would also compile the clone of a compiled model, which would create a
        # second optimizer with its own variables.
        graph = keras.Model(model.input, model.output, name=model.name)
        return keras.models.clone_model(
            graph, clone_function=self._replacement, call_function=self._call
        )

    def _replacement(self, layer):
        if id(layer) not in self._replacements:
            self._replacements[id(layer)] = self._replace(layer)
        return self._replacements[id(layer)]

    def _replace(self, layer):
        if not isinstance(layer, keras.Layer):  # bare arithmetic, as in MobileNetV3
            return type(layer).from_config(layer.get_config())
        if _is_functional(layer):
            return self.fuse(layer)
        if type(layer) in _CONVOLUTIONS and layer.data_format == "channels_last":
            return self._convolution(layer, portable=self._portable)
        return SharedLayer(layer)

    def _call(self, layer, *args, **kwargs):
        _, convolution, inputs = self._convolved.get(id(args[0]), (None, None, None))
        if convolution is not None and self._can_fold(layer, convolution):
            # The output of the convolution alone is then unused, so it drops out of the new model.
            key = id(convolution), id(layer)
            if key not in self._replacements:
                self._replacements[key] = self._convolution(
                    convolution.convolution, layer.layer, self._portable
                )
            return self._replacements[key](inputs)
        outputs = layer(*args, **kwargs)
        if isinstance(layer, FusedConvolution):
            self._convolved[id(outputs)] = outputs, layer, args[0]
        return outputs

    def _can_fold(self, layer, convolution):
        """Whether a replaced layer is a normalization to be folded into a replaced convolution."""
        normalization, convolution = getattr(layer, "layer", None), convolution.convolution
        return (
            type(normalization) is keras.layers.BatchNormalization
            and normalization.axis in (-1, 3)
            and convolution.activation is keras.activations.linear
            and not self._unfolded & {id(convolution), id(normalization)}
        )


def _is_functional(model):
    """Whether a model is functional and does not override `call`."""
    has_graph = isinstance(model, keras.Model) and isinstance(model, keras.Function)
    return has_graph and type(model).call.__module__.startswith("keras.")
