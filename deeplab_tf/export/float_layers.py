"""Convolutions that stay in float when the others are quantized to 8 bits, by their names."""

import re

from deeplab_tf.errors import InputError
from deeplab_tf.models.fast.convertible import ConvertibleConvolution, convertible, scope_name
from deeplab_tf.models.walk import leaf_layers


def check_float_layers(model, names):
    """Raise `InputError` for a name that no convolution of a model has.

    Args:
      model: Keras model.
      names: names of layers.
    """
    if not names:
        return
    layers = leaf_layers(convertible(model))
    known = [each.convolution.name for each in layers if isinstance(each, ConvertibleConvolution)]
    for name in names:
        if name not in known:
            raise InputError(
                f"int8_except: the network has no convolution {name!r}; it has {_shortened(known)}"
            )


def _shortened(names, ends=4):
    return ", ".join(names if len(names) <= 2 * ends else [*names[:ends], "...", *names[-ends:]])


def parts_of_layers(layers, parts):
    """The parts of a converted graph that some convolutions of the network became.

    Args:
      layers: names of layers that `check_float_layers` accepts.
      parts: names in the graph of `convertible_graph`, as a converter keeps them: scopes separated
        by slashes; the name of what was joined has all of them.

    Returns:
      List of those of the parts.

    Raises:
      InputError: for a layer that none of them is of.
    """
    found = []
    for name in layers:
        scope = re.compile(rf"\b{re.escape(scope_name(name))}/")
        own = [part for part in parts if scope.search(part)]
        if not own:
            raise InputError(
                f"int8_except: {name!r} cannot stay in float, since the converter keeps nothing of "
                "this name; leave it out"
            )
        found += own
    return found
