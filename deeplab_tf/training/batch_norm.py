"""Settings of batch normalisation that decide whether a short training works."""

import keras


def batch_norm_layers(model):
    """List the BatchNormalization layers of a model, those of nested models included."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer)
        elif isinstance(layer, keras.Model):
            found.extend(batch_norm_layers(layer))
    return found


def set_bn_momentum(model, momentum):
    """Set how much of the old statistics each training step keeps, in every BN layer.

    Some keras.applications networks come with 0.999, which needs several thousand steps to
    forget the initial statistics: after a shorter training the network scores well in
    training and is useless in use. Call it before the first training step.

    Args:
      model: any Keras model.
      momentum: between 0 and 1; 0.9 suits a training from scratch.
    """
    for layer in batch_norm_layers(model):
        layer.momentum = momentum


def freeze_bn(model):
    """Freeze every BN layer: its statistics, scale and offset stay as loaded.

    The paper's ResNet-101 is trained so, since a batch of few crops has poor statistics.
    """
    for layer in batch_norm_layers(model):
        layer.trainable = False


def synchronize_bn(model, synchronized=True):
    """Let every BN layer take the statistics of the whole batch, of all devices together.

    Each device otherwise normalises its own part of the batch and gathers other statistics
    than the rest. Where there is one device it changes nothing but the order of additions.

    Args:
      model: any Keras model, before its first training step.
      synchronized: False: each device its own.
    """
    for layer in batch_norm_layers(model):
        layer.synchronized = synchronized


def learns_bn(model):
    """Whether a BN layer of the model is trained, that is, not frozen."""
    return any(layer.trainable for layer in batch_norm_layers(model))
