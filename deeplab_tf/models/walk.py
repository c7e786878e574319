"""Visits every layer of a model, including those of nested models, and sets their weights."""

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


def assign_weights(layer, arrays):
    """Set the weights of a layer or model, as its `set_weights`, so that all of them have effect.

    Keras's `Normalization`, as in EfficientNet, goes on computing with the mean and variance that
    it had before, until it is told.

    Args:
      layer: `keras.Layer` or `keras.Model`.
      arrays: as `layer.get_weights()` returns them.
    """
    layer.set_weights(arrays)
    for inner in leaf_layers(layer) if isinstance(layer, keras.Model) else [layer]:
        if isinstance(inner, keras.layers.Normalization) and inner.weights:
            inner.finalize_state()
