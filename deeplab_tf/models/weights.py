"""Weights by name or from files in any of Keras's formats, with errors that say the remedy."""

import warnings
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from deeplab_tf.errors import InputError

SUFFIXES = (".h5", ".keras")
_MISFITS = (ValueError, KeyError, UserWarning)  # what Keras says of another network's file


class BackboneWeights(NamedTuple):
    """What a weights file held.

    Attributes:
      backbone: weights of the network without its classifier, in Keras's order; None: random.
      classifier: fc1's and fc2's kernels and biases, where the file has the VGG-16 classifier.
      whole: the file, if it holds no backbone and so may hold a whole DeepLab network.
    """

    backbone: list | None = None
    classifier: list | None = None
    whole: Path | None = None


def read_weights(constructor, name, weights):
    """Read a backbone's weights.

    Args:
      constructor: of keras.applications.
      name: its lower-case name, for messages.
      weights: "imagenet", None, or a path: `.h5` (old or new format) or `.keras`.

    Returns:
      BackboneWeights.

    Raises:
      InputError: no download, no such file, or not a Keras file.
    """
    if weights is None:
        return BackboneWeights()
    if weights == "imagenet":
        return _download(constructor, name)
    path = Path(weights)
    _check_file(path)
    return _read_file(constructor, path)


def load_whole(model, path, name):
    """Load a whole network's weights, as `model.save` or `model.save_weights` wrote them.

    Args:
      model: the network to fill.
      path: `.keras`, `.weights.h5` or `.h5` file.
      name: of the backbone, for messages.

    Raises:
      InputError: where the file is another network's.
    """
    try:
        if path.suffix == ".keras":
            model.set_weights(keras.saving.load_model(path).get_weights())
        else:
            _load_strictly(model, path)
    except _MISFITS as error:
        raise InputError(
            f"weights {path} fit neither the backbone {name!r} nor the whole network "
            f"{model.name!r}: {_first_line(error)}; give the file of this network"
        ) from error


def subsample_classifier(fully_connected, head):
    """fc6 and fc7 of a head from the ImageNet VGG-16's fc1 and fc2.

    Of 4,096 filters every fourth is kept for 1,024, all for 4,096; of the 7x7 kernel rows and
    columns 0, 3, 6 for 3x3, and 0, 2, 4, 6 for 4x4.

    Args:
      fully_connected: `[(25088, 4096), (4096,), (4096, 4096), (4096,)]` arrays.
      head: `deeplab_tf.models.heads.Head` with kernel size k and n channels.

    Returns:
      `[(k, k, 512, n), (n,), (1, 1, n, n), (n,)]`.
    """
    kernel6, bias6, kernel7, bias7 = fully_connected
    every, step = len(bias6) // head.channels, 6 // (head.kernel_size - 1)
    kernel6 = kernel6.reshape(7, 7, -1, len(bias6))[::step, ::step, :, ::every]
    kernel7 = kernel7[::every, ::every][np.newaxis, np.newaxis]
    return [kernel6, bias6[::every], kernel7, bias7[::every]]


def _load_strictly(network, path):
    """Load, taking Keras's warning of layers that it leaves as they were for what it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        network.load_weights(path)


def _download(constructor, name):
    top = name == "vgg16"  # the one whose classifier the heads use
    try:
        with warnings.catch_warnings():
            # MobileNets warn that weights of 224 pixels stand for all sizes: as they should.
            warnings.filterwarnings("ignore", "`input_shape` is undefined", UserWarning)
            network = constructor(weights="imagenet", include_top=top)
    except Exception as error:  # Keras raises a bare Exception when it cannot download
        if "URL fetch failure" not in str(error):
            raise
        raise InputError(
            f"cannot download the ImageNet weights of {name}: {_first_line(error)}; check the "
            "network, or give weights=None (random) or the path of a weights file"
        ) from error
    return _split(constructor, network) if top else BackboneWeights(network.get_weights())


def _check_file(path):
    if not path.is_file():
        raise InputError(f"no weights file {path}; give a file, 'imagenet', or None for random")
    if path.suffix not in SUFFIXES:
        raise InputError(f"weights {path}: unknown kind; known: {', '.join(SUFFIXES)}")
    with path.open("rb") as file:
        signature = file.read(8)
    expected = b"PK\x03\x04" if path.suffix == ".keras" else b"\x89HDF\r\n\x1a\n"
    if not signature.startswith(expected):
        raise InputError(f"weights {path} is no {path.suffix} file or is damaged; fetch it again")


def _read_file(constructor, path):
    """Try the file as the backbone's, then as the one with classifier; else leave it whole."""
    if path.suffix == ".keras":
        return _read_keras(constructor, path)
    for include_top in (True, False):  # first: a file with classifier also fills one without
        network = constructor(weights=None, include_top=include_top)
        try:
            _load_strictly(network, path)
        except _MISFITS:
            continue
        except OSError as error:
            raise _damaged(path, error) from error
        return (
            _split(constructor, network) if include_top else BackboneWeights(network.get_weights())
        )
    return BackboneWeights(whole=path)


def _read_keras(constructor, path):
    try:
        saved = keras.saving.load_model(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    expected = [w.shape for w in constructor(weights=None, include_top=False).weights]
    shapes = [w.shape for w in saved.weights]
    if shapes == expected:
        return BackboneWeights(saved.get_weights())
    if saved.output_shape[1:] == (1000,) and shapes[: len(expected)] == expected:
        return _split(constructor, saved)
    return BackboneWeights(whole=path)


def _split(constructor, with_top):
    """The backbone's weights and the classifier's, from a network built with its top."""
    count = len(constructor(weights=None, include_top=False).weights)
    weights = with_top.get_weights()
    names = [layer.name for layer in with_top.layers]
    fully_connected = weights[count : count + 4] if {"fc1", "fc2"} <= set(names) else None
    return BackboneWeights(weights[:count], fully_connected)


def _damaged(path, error):
    return InputError(f"weights {path} cannot be read: {_first_line(error)}; fetch the file again")


def _first_line(error):
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
