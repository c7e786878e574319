"""What the importers of the authors' files share: their result, and filling one layer."""

from typing import NamedTuple

import keras

from deeplab_tf.errors import InputError


class Imported(NamedTuple):
    """An imported network, and which layers were matched.

    Attributes:
      model: keras.Model, see `build_deeplab`.
      used: {layer of the model: names of the file's layers that its weights come from}.
      unused: names of the file's layers whose weights no layer of the model takes.
      missing: layers of the model without weights in the file; they stay random.
      notes: sentences about the file that its user should know.
      backbone, head, separable_convolutions: the arguments of `build_deeplab`, if they were found
        in the file.
    """

    model: keras.Model
    used: dict
    unused: tuple
    missing: tuple
    notes: tuple = ()
    backbone: str | None = None
    head: str | None = None
    separable_convolutions: bool | None = None


def fill_layer(layer, weights, source, remedy):
    """Set the weights of a layer.

    Args:
      layer: the keras layer.
      weights: list of arrays, in the order of its weights.
      source: what they come from, the beginning of a message: the file and names in it.
      remedy: what to do if they do not fit, the end of the message.

    Raises:
      InputError: if their shapes are not those of the layer.
    """
    shapes = [array.shape for array in weights]
    needed = [tuple(variable.shape) for variable in layer.weights]
    if shapes != needed:
        raise InputError(f"{source} {shapes}, {layer.name!r} needs {needed}; {remedy}")
    layer.set_weights(weights)
