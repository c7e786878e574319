"""Finds out which network a weights file belongs to, for the message that it does not fit."""

import functools
import re
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import keras

from deeplab_tf.models.backbones import backbone_names, find_backbone

_FEWEST_KERNELS = 5  # of convolutions; AlexNet, the smallest backbone, has 5
_MOST_OTHERS = 40  # tensors of a head or classifier; the largest head has 24
_NO_WEIGHTS = ("optimizer", "seed_generator")  # groups of a file that hold other things


def describe_foreign(path, model, backbone):
    """Say what a weights file holds that does not fit a network, and what to do.

    Args:
      path: `.keras` or `.h5` file.
      model: the network.
      backbone: the name of its backbone.

    Returns:
      str, the end of a message.
    """
    path = Path(path)
    stored = Counter(stored_shapes(path))
    wanted = Counter(tuple(weight.shape) for weight in model.weights)
    num_classes = model.output_shape[-1]
    if other := _other_classes(stored, wanted, num_classes):
        return (
            f"it is this network with {other} classes instead of {num_classes}; "
            f"{advise_start_from(path)}"
        )
    found = find_owner(stored, path.name, backbone)
    if found is None:
        return "it holds none of the supported backbones; give a file of this network"
    if found == backbone:
        return (
            f"its backbone is {found}, but it has another head; give that as --head, or "
            f"{advise_start_from(path)}"
        )
    return f"its backbone is {found}; give --backbone={found} (in Python: backbone={found!r})"


def advise_start_from(path):
    """What to do with the file of another network: the end of a message."""
    if path.name.endswith(".weights.h5"):
        return "save the network as a .keras file, and give that to --init_from"
    return (
        f"give --init_from={path} instead of --weights, which copies the layers that fit (in "
        "Python: deeplab_tf.models.start_from)"
    )


def find_owner(stored, file_name, first):
    """The backbone that the arrays of a file belong to, told by their shapes.

    Args:
      stored: `Counter` of the shapes in the file; those of a head or a classifier may be among
        them.
      file_name: backbones that it names are tried first, since each one has to be built.
      first: name of the backbone that is tried next.

    Returns:
      The backbone's name; None if there is none.
    """
    if sum(count for shape, count in stored.items() if len(shape) == 4) < _FEWEST_KERNELS:
        return None
    plain = re.sub("[^a-z0-9]", "", file_name.lower())
    named = [name for name in backbone_names() if name in plain]
    for names in (named, [first], backbone_names()):
        # Counters: nothing is left of a backbone's shapes if the file has all of them.
        fitting = [name for name in names if not _shapes(name) - stored]
        others = {name: (stored - _shapes(name)).total() for name in fitting}
        name = min(others, key=others.get, default=None)
        if name and others[name] <= _MOST_OTHERS:
            return name
    return None


@functools.cache
def _shapes(name):
    # Builds the layers without memory for their weights.
    with keras.StatelessScope(initialize_variables=False):
        network = find_backbone(name).constructor(weights=None, include_top=False)
    return Counter(tuple(weight.shape) for weight in network.weights)


def _other_classes(stored, wanted, num_classes):
    """The file's number of classes if nothing else differs from the network; otherwise None."""
    extra, missing = stored - wanted, wanted - stored
    for other in sorted({size for shape in extra for size in shape} - {num_classes}):
        renamed = Counter()
        for shape, count in extra.items():
            # Only the last two sizes are numbers of channels: a 3x3 window is not 3 classes.
            channels = (num_classes if size == other else size for size in shape[-2:])
            renamed[(*shape[:-2], *channels)] += count
        if renamed == missing:
            return other
    return None


def stored_shapes(path):
    """The shapes of the weights in a `.h5` or `.keras` file, a list of tuples.

    Without those of optimizers and the states of random generators.

    Raises:
      OSError: if the file is damaged.
    """
    shapes = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not any(part in name for part in _NO_WEIGHTS):
            shapes.append(tuple(item.shape))

    if path.suffix == ".keras":
        with zipfile.ZipFile(path).open("model.weights.h5") as stream, h5py.File(stream) as file:
            file.visititems(visit)
    else:
        with h5py.File(path) as file:
            file.visititems(visit)
    return shapes
