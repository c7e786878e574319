"""Visits every layer of a model, including those of nested models."""

import keras


def leaf_layers(model):
    """Yield the layers of a model that are not models themselves, in the model's order.

    Args:
      model: any `keras.Model`; the layers of nested models are included.

    Example:
      >>> frozen = [layer for layer in leaf_layers(model) if not layer.trainable]
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer
