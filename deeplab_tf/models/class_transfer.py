"""Starts a network's class scores from an ImageNet classifier, for the classes that both have.

MIL-FCN (Pathak et al., ICLR workshop 2015) starts so: what a classifier says about the whole image,
a convolutional network then says about every cell, before any training.
"""

from typing import NamedTuple

import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.imagenet_classes import imagenet_indices
from deeplab_tf.models.walk import leaf_layers
from deeplab_tf.models.weights import read_weights

_CLASS_LAYERS = "fc8", "score_fc7", "score_top"


class Transfer(NamedTuple):
    """What `transfer_classes` did.

    Attributes:
      shared: {class name: number of ImageNet's classes that it started from}.
      absent: names of the classes that ImageNet does not have, which share the rest of its classes.
    """

    shared: dict
    absent: list

    def summary(self):
        """One line: which classes start from which number of ImageNet's."""
        shared = [f"{name} ({count})" for name, count in self.shared.items()]
        text = f"from classes of ImageNet (how many): {', '.join(shared)}"
        return f"{text}; from all others: {', '.join(self.absent)}" if self.absent else text


def transfer_classes(model, backbone, weights, names):
    """Start the class layer of a network from the last layer of an ImageNet classifier.

    The probability of a class is the sum of those of its n classes in ImageNet, so its score is
    log sum_i exp(s_i), of which a linear layer can compute the lower bound

        mean_i s_i + log(n),

    from the means of their kernels and biases. Everything that ImageNet does not have, such as
    the background, is one of its other classes: m such classes start with the mean of all others
    and log(n / m), alike. At the classifier's own stride, the mean of the scores over a map is the
    same bound on what the classifier says of the whole image.

    Args:
      model: what `build_deeplab` with head "plain", or `build_fcn`, made with these weights.
      backbone: its name, see `backbone_names`.
      weights: "imagenet", or a weights file with the classifier.
      names: of the model's classes, see `imagenet_indices`.

    Returns:
      `Transfer`.

    Raises:
      InputError: if the file has no classifier, it does not fit the network's class layer, or
        ImageNet has none of the classes.
    """
    layer = _class_layer(model)
    found = read_weights(backbone, weights, class_layer=True).class_layer
    if found is None:
        raise InputError(
            f"weights {weights}: no ImageNet classifier in this file; give one with the classifier "
            "(include_top), or start without it"
        )
    kernel, bias = (array.reshape(-1, array.shape[-1]) for array in found)
    if layer.kernel.shape != (1, 1, len(kernel), len(names)):
        raise InputError(
            f"the class layer {layer.name!r} has a kernel of shape {tuple(layer.kernel.shape)}, the"
            f" classifier {len(kernel)} features for {len(names)} classes; only an FCN, head plain "
            "and, of vgg16, head 7x7 are what a classifier becomes"
        )
    indices = {name: list(imagenet_indices(name)) for name in names}
    shared = {name: len(own) for name, own in indices.items() if own}
    if not shared:
        raise InputError(f"ImageNet has none of the classes {', '.join(names)}")
    absent = [name for name in names if name not in shared]
    taken = {index for own in indices.values() for index in own}
    rest = [index for index in range(len(bias[0])) if index not in taken]
    for name in absent:
        indices[name] = rest
    sharers = np.array([len(absent) if name in absent else 1 for name in names])
    counts = np.array([len(own) for own in indices.values()])
    kernels, biases = (
        np.stack([array[:, own].mean(axis=1) for own in indices.values()], axis=1)
        for array in (kernel, bias)
    )
    layer.set_weights([kernels[None, None], biases[0] + np.log(counts / sharers)])
    return Transfer(shared, absent)


def _class_layer(model):
    layers = [layer for layer in leaf_layers(model) if layer.name.startswith(_CLASS_LAYERS)]
    if len(layers) != 1:
        raise InputError(
            f"{model.name}: {len(layers)} layers score the classes, a classifier has one; use an "
            "FCN, or head plain"
        )
    return layers[0]
