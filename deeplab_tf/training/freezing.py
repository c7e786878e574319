"""Training some layers of a network and leaving the others as they are."""

import re

import keras

from deeplab_tf.errors import InputError


def train_only(model, pattern):
    """Freeze every layer whose name a regular expression is not found in.

    Call it before an optimizer is built for the model.

    Args:
      model: keras.Model; layers of nested models are meant too.
      pattern: regular expression, as "^(msf_|fc8)".

    Returns:
      The names of the layers with weights that stay trainable.

    Raises:
      InputError: where the expression is none, or no layer with weights matches.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from None
    trained = []
    for layer in _leaves(model):
        if not expression.search(layer.name):
            layer.trainable = False
        elif layer.trainable_weights:
            trained.append(layer.name)
    if not trained:
        names = ", ".join(layer.name for layer in _leaves(model) if layer.weights)
        raise InputError(f"no layer's name matches {pattern!r}; there are {names}")
    return trained


def _leaves(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer
