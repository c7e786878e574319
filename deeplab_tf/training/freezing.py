"""Freezing layers, and how batch normalization (BN) is trained."""

import collections
import re

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.fast.fuse import check_not_fused
from deeplab_tf.models.walk import leaf_layers, leaf_operations


def train_only(model, pattern):
    """Freeze every layer whose name does not match a regular expression.

    Call it before an optimizer is built for the model.

    Args:
      model: keras.Model; layers of nested models are included.
      pattern: regular expression that may match anywhere in a name, such as "^(msf_|fc8)".

    Returns:
      The names of the layers with weights that stay trainable.

    Raises:
      InputError: if the expression is invalid, or no layer with weights matches.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is not a regular expression: {error}") from None
    trained = []
    for layer in leaf_layers(model):
        if not expression.search(layer.name):
            layer.trainable = False
        elif layer.trainable_weights:
            trained.append(layer.name)
    if not trained:
        names = ", ".join(layer.name for layer in leaf_layers(model) if layer.weights)
        raise InputError(f"no layer's name matches {pattern!r}; available: {names}")
    return trained


def batch_norm_layers(model):
    """List the BatchNormalization layers of a model, including those of nested models."""
    return [
        layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]


def set_bn_momentum(model, momentum):
    """Set the share of the old statistics that each training step keeps, in every BN layer.

    Some keras.applications networks come with 0.999, which needs several thousand steps to
    forget the initial statistics: after shorter training the network has a low loss in
    training but poor scores in inference. Call it before the first training step.

    Args:
      model: any Keras model.
      momentum: between 0 and 1; 0.9 suits training from scratch.
    """
    for layer in batch_norm_layers(model):
        layer.momentum = momentum


def freeze_bn(model):
    """Freeze every BN layer, with the biases that only shift its input.

    Statistics, scales and offsets stay as loaded. A bias of a convolution directly before a BN
    layer has the same effect as the offset, so it is frozen too. The authors' ResNet-101 is
    trained this way, since a batch of a few crops has poor statistics; its convolutions have no
    biases at all. Of ResNet-101, 104 kernels and the class layers' kernels and biases stay
    trainable. Call it before an optimizer is built for the model.

    Args:
      model: any Keras model; layers of nested models are included.

    Raises:
      InputError: for a fused network, whose BN layers are part of its convolutions; freeze those
        of the network that it was made from, before or after `fuse`.

    Example:
      >>> model = build_deeplab("resnet101", "plain")
      >>> freeze_bn(model)
      >>> len(model.trainable_variables)
      106
    """
    check_not_fused(model)
    for layer in batch_norm_layers(model):
        layer.trainable = False
    for layer in _layers_before_bn(model):
        layer.bias.trainable = False


def _layers_before_bn(model):
    """The layers with a bias whose result goes to BN layers and nowhere else."""
    receivers = collections.defaultdict(list)  # id of a symbolic tensor -> what takes it
    for operation in leaf_operations(model):
        for tensor in _tensors(operation, "input"):
            receivers[id(tensor)].append(operation)

    def only_feeds_bn(layer):
        found = [other for tensor in _tensors(layer, "output") for other in receivers[id(tensor)]]
        return found and all(isinstance(x, keras.layers.BatchNormalization) for x in found)

    return [layer for layer in leaf_layers(model) if _adds_a_bias(layer) and only_feeds_bn(layer)]


def _adds_a_bias(layer):
    """Whether the last thing that a layer computes is the sum with its bias."""
    is_linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    return is_linear and getattr(layer, "bias", None) is not None


def _tensors(operation, side):
    """The symbolic tensors of an operation's "input" or "output"; none if it is in no graph."""
    return keras.tree.flatten(getattr(operation, side, []))


def synchronize_bn(model):
    """Let every BN layer use the statistics of the whole batch, over all devices.

    Otherwise each device normalizes its own part of the batch, and the moving statistics of the
    devices drift apart. With one device it changes nothing but the order of additions.

    Args:
      model: any Keras model, before its first training step.
    """
    for layer in batch_norm_layers(model):
        layer.synchronized = True


def learns_bn(model):
    """Whether any BN layer of the model is trained, that is, not frozen."""
    return any(layer.trainable for layer in batch_norm_layers(model))
