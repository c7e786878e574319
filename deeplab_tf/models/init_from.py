"""Starting a network from another one that was trained: layers of the same name and shape."""

from pathlib import Path
from typing import NamedTuple

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.files import find_model, load_model


class Start(NamedTuple):
    """What `start_from` did, as names of layers.

    Attributes:
      taken: layers whose weights were copied.
      dropped: layers of the same name but other shapes, as a classifier of other classes.
      new: layers that the file does not have.
    """

    taken: list
    dropped: list
    new: list

    def summary(self):
        """One line that says what was and what was not taken."""
        parts = [f"{len(self.taken)} layers taken"]
        if self.dropped:
            parts.append(f"left new, their shapes differ: {', '.join(self.dropped)}")
        if self.new:
            parts.append(f"left new, not in the file: {', '.join(self.new)}")
        return "; ".join(parts)


def start_from(model, path):
    """Copy the weights of a trained network into those layers that have the same name and shape.

    Args:
      model: keras.Model that receives them; its other layers stay as they are.
      path: a `.keras` file or a folder that training wrote; of another number of classes, with
        another head, or with fewer layers.

    Returns:
      `Start`.

    Raises:
      InputError: where the file cannot be read, or no layer fits.
    """
    source = _by_name(load_model(path))
    start = Start([], [], [])
    for name, layer in _by_name(model).items():
        if name not in source:
            start.new.append(name)
        elif [w.shape for w in source[name].weights] != [w.shape for w in layer.weights]:
            start.dropped.append(name)
        else:
            layer.set_weights(source[name].get_weights())
            start.taken.append(name)
    if not start.taken:
        raise InputError(
            f"{find_model(Path(path))}: no layer of it fits the network {model.name!r}; give a "
            "network of the same backbone"
        )
    return start


def _by_name(model):
    """The layers that have weights, those of nested models included."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= _by_name(layer)
        elif layer.weights:
            found[layer.name] = layer
    return found
