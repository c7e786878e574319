"""What the importers of the authors' files share: their result, filling a layer, and classes."""

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
      backbone, head, separable_convolutions, output_stride, preprocessing, half_pixel_upsampling:
        the arguments of `build_deeplab`, if they were found in the file.
    """

    model: keras.Model
    used: dict
    unused: tuple
    missing: tuple
    notes: tuple = ()
    backbone: str | None = None
    head: str | None = None
    separable_convolutions: bool | None = None
    output_stride: int | None = None
    preprocessing: str | None = None
    half_pixel_upsampling: bool = False


class Port(NamedTuple):
    """How a network for PyTorch is built and filled here.

    Attributes:
      backbone, head: names here.
      classifiers: modules of the class layers in the file.
      modules: {layer here, without _conv and _bn: modules of its convolution and normalization}.
      output_stride: at which it was trained.
      options: further arguments of `build_deeplab`.
      epsilon: of the file's normalizations, if it is another one than here.
      rolled: {layer here: number of inputs, last in the file, that come first here}; negative:
        first in the file, last here.
      notes: see `Imported`.
    """

    backbone: str
    head: str
    classifiers: tuple
    modules: dict
    output_stride: int
    options: dict
    epsilon: float | None = None
    rolled: dict | None = None
    notes: tuple = ()


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


def find_num_classes(path, counts, expected):
    """The number of classes of a file.

    Args:
      path: of the file, for messages.
      counts: numbers of classes of its class layers, at least one.
      expected: the number that it must have; None: any.

    Raises:
      InputError: if it has another number, or its class layers have several.
    """
    found = sorted(set(counts))
    if len(found) > 1 or expected not in (None, *found):
        raise InputError(
            f"{path}: has {' and '.join(map(str, found))} classes, expected "
            f"{expected or 'one number'}; to fine-tune for other classes, drop its class layers"
        )
    return found[0]
