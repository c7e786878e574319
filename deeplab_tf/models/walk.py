"""Visits every layer of a model, including those of nested models."""

import keras


def leaf_layers(model):
    """Yield the layers of a model that are not models themselves, in the model's order.

    Args:
      model: any `keras.Model`; the layers of nested models are included.

    Example:
      >>> frozen = [layer for layer in leaf_layers(model) if not layer.trainable]
    """
    return (step for step in leaf_operations(model) if isinstance(step, keras.Layer))


def leaf_operations(model):
    """Yield the layers that are not models, and the bare operations of `keras.ops` between them.

    Args:
      model: any `keras.Model`; the layers and operations of nested models are included.
    """
    for step in getattr(model, "operations", model.layers):
        if isinstance(step, keras.Model):
            yield from leaf_operations(step)
        else:
            yield step
