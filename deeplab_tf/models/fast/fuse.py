"""Fuse a network: batch normalization folded into convolutions, and faster convolutions.

A fused network is an ordinary Keras model around the layers of the original. Each of its layers
computes from the variables of the original layers, so nothing is copied, and training either
network changes both.
"""

import collections

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.fast import sampled_mean
from deeplab_tf.models.fast.layers import CONVOLUTIONS, FusedConvolution, SharedLayer
from deeplab_tf.models.walk import leaf_layers


def fuse(model, portable=False, convolution=None):
    """Make a faster network that computes the same function, up to rounding.

    Batch normalization that is not being trained is folded into the convolution before it. On
    CPUs, inference uses Winograd convolution for large 3x3 kernels, training computes the kernels'
    gradients by one matrix product per kernel element, and both use faster depthwise convolutions
    where they are dilated or wider than 3 cells. Training normalizes a convolution's result by one
    operation. Both take the means of dilated squeeze-and-excite blocks by one matrix product.

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
        if type(layer) in CONVOLUTIONS and layer.data_format == "channels_last":
            return self._convolution(layer, portable=self._portable)
        # Converters get the original operations.
        if self._convolution is FusedConvolution and sampled_mean.is_supported(layer):
            return sampled_mean.SampledMean(layer)
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
