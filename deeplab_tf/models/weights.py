"""Weights for a new network: from files of Keras, or from the layers of a trained network."""

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.channels import widen_kernel
from deeplab_tf.models.fast.fuse import check_not_fused
from deeplab_tf.models.files import PACKED, is_pretrained
from deeplab_tf.models.foreign_weights import advise_start_from, stored_shapes
from deeplab_tf.models.safe_files import DAMAGED, check_safe
from deeplab_tf.models.walk import leaf_layers
from deeplab_tf.pretrained.released import released_names

# First bytes of a file, by suffix.
_SIGNATURES = {".h5": b"\x89HDF\r\n\x1a\n", ".keras": b"PK\x03\x04"}
# Of ImageNet's red, green and blue at 0..1.
_STANDARD_DEVIATIONS = (0.229, 0.224, 0.225)
_IMAGENET_CLASSES = 1000  # the length of a classifier's bias
# Beginnings of the names of the layers that score the classes: of heads, of FCNs, of late fusion.
_CLASS_LAYERS = re.compile("(hha_)?(fc8|score_|upscore)")
MISMATCHES = (ValueError, KeyError, UserWarning)  # how Keras reports another network's file


class BackboneWeights(NamedTuple):
    """The contents of a weights file.

    Attributes:
      backbone: weights of the network without its classifier, in Keras's order; None: random.
      classifier: kernels and biases of fc1 and fc2, if the file has the VGG-16 classifier.
      class_layer: kernel and bias of the classifier's last layer, if the file has it.
      whole: the file, if it holds no backbone and so may hold a whole DeepLab network.
    """

    backbone: list | None = None
    classifier: list | None = None
    class_layer: list | None = None
    whole: Path | None = None


def read_weights(backbone, weights, class_layer=False):
    """Read a backbone's weights.

    Args:
      backbone: its name, see `backbone_names`.
      weights: "imagenet", None, or a path: `.h5` (old or new format) or `.keras`.
      class_layer: whether to download the classifier's last layer, too.

    Returns:
      BackboneWeights.

    Raises:
      InputError: if the download fails, or the file is missing, damaged or not a Keras file.
    """
    found = find_backbone(backbone)
    if weights is None:
        return BackboneWeights()
    if weights == "imagenet":
        return _with_variances(_download(found.constructor, found.name, class_layer))
    path = Path(weights)
    _check_file(path)
    read = _read_keras if path.suffix == ".keras" else _read_h5
    return _with_variances(read(found.constructor, path))


def _with_variances(found):
    """Correct the image normalization of EfficientNetB0 to B7's ImageNet weights.

    In keras.applications' files the standard deviations are where the variances belong. Keras
    corrects this by one more layer, but only with `weights="imagenet"`. Squared here, they need no
    such layer, so the same layers suit every weights file.
    """
    if found.backbone is None or found.backbone[1].shape != (3,):
        return found
    mean, variance, *others = found.backbone
    if np.allclose(variance, _STANDARD_DEVIATIONS, atol=1e-3):
        variance = variance**2
    return found._replace(backbone=[mean, variance, *others])


def subsample_classifier(classifier, head):
    """fc6 and fc7 of a head, taken from fc1 and fc2 of the ImageNet VGG-16.

    A head with 1,024 filters keeps every fourth of the 4,096. A 3x3 kernel keeps rows and columns
    0, 3, 6 of the 7x7 kernel, a 4x4 kernel 0, 2, 4, 6.

    Args:
      classifier: `[(25088, 4096), (4096,), (4096, 4096), (4096,)]` arrays.
      head: `deeplab_tf.models.heads.Head` with kernel size k and n channels.

    Returns:
      `[(k, k, 512, n), (n,), (1, 1, n, n), (n,)]`.
    """
    kernel6, bias6, kernel7, bias7 = classifier
    every, step = len(bias6) // head.channels, 6 // (head.kernel_size - 1)
    kernel6 = kernel6.reshape(7, 7, -1, len(bias6))[::step, ::step, :, ::every]
    kernel7 = kernel7[::every, ::every][np.newaxis, np.newaxis]
    return [kernel6, bias6[::every], kernel7, bias7[::every]]


class Start(NamedTuple):
    """What `copy_layers` did, as names of layers.

    Attributes:
      copied: layers whose weights were copied.
      reshaped: layers of the same name but other shapes, such as a classifier of other classes.
      absent: layers of the model that the file does not have.
      dropped: layers that score the classes, where these were to be left as they are.
    """

    copied: list
    reshaped: list
    absent: list
    dropped: list

    def summary(self):
        """One line: what was copied and what was not."""
        parts = [f"{len(self.copied)} layers copied"]
        if self.reshaped:
            parts.append(f"not copied, shapes differ: {', '.join(self.reshaped)}")
        if self.absent:
            parts.append(f"not in the file: {', '.join(self.absent)}")
        if self.dropped:
            parts.append(f"left as they were: {', '.join(self.dropped)}")
        return "; ".join(parts)


def copy_layers(model, trained, path, prefix="", drop_classes=False):
    """Copy the weights of a trained network into the layers that have the same name and shapes.

    The first convolution of a network for RGB images also fits that of a network for more
    channels, see `with_channels`.

    Args:
      model: keras.Model that receives them; its other layers stay as they are.
      trained: keras.Model that has them; it may have another number of classes, another head, or
        fewer layers.
      path: where it comes from, for messages.
      prefix: only layers whose names begin with it receive weights; it is not part of the names of
        the trained network's layers.
      drop_classes: whether to leave the layers that score the classes as they are.

    Returns:
      `Start`.

    Raises:
      InputError: if the trained network is fused, or no layer fits.
    """
    check_not_fused(trained)
    source = {layer.name: layer for layer in leaf_layers(trained) if layer.weights}
    start = Start([], [], [], [])
    for layer in leaf_layers(model):
        if not layer.weights or not layer.name.startswith(prefix):
            continue
        name = layer.name.removeprefix(prefix)
        if drop_classes and _CLASS_LAYERS.match(name):
            start.dropped.append(layer.name)
            continue
        if name not in source:
            start.absent.append(layer.name)
            continue
        arrays, shapes = source[name].get_weights(), [w.shape for w in layer.weights]
        if arrays[0].shape[2:3] == (3,) and len(shapes[0]) == 4 and shapes[0][2] > 3:
            arrays[0] = widen_kernel(arrays[0], shapes[0][2])
        if [array.shape for array in arrays] != shapes:
            start.reshaped.append(layer.name)
        else:
            layer.set_weights(arrays)
            start.copied.append(layer.name)
    if not start.copied:
        raise InputError(
            f"{path}: none of its layers fits the network {model.name!r}; give a "
            "network with the same backbone"
        )
    return start


def load_strictly(network, path):
    """Load weights; a layer that Keras would skip with a warning is one of `MISMATCHES`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        network.load_weights(path)


def _download(constructor, backbone, class_layer):
    # VGG-16's is the only classifier of which the heads use more than the last layer.
    has_classifier = class_layer or backbone == "vgg16"
    try:
        with warnings.catch_warnings():
            # MobileNets warn that their weights for 224 pixels are used for any size: intended.
            warnings.filterwarnings("ignore", "`input_shape` is undefined", UserWarning)
            network = constructor(weights="imagenet", include_top=has_classifier)
    except Exception as error:  # Keras raises a bare Exception if it cannot download
        failure = re.search(r"URL fetch failure on (\S+): (?:\S+ -- )?(.*)", str(error))
        if not failure:
            raise
        url, reason = failure.groups()
        raise InputError(
            f"cannot download the ImageNet weights of {backbone} ({one_line(reason, 100)}); check "
            f"the network connection, or download {url} elsewhere and give the file as "
            "--weights=FILE (in Python: weights=FILE); random weights are --weights=none "
            "(weights=None)"
        ) from error
    if has_classifier:
        return _split(constructor, network)
    return BackboneWeights(network.get_weights())


def _check_file(path):
    if path.suffix == PACKED or is_pretrained(path):
        kind = "released" if str(path) in released_names() else "packed"
        raise InputError(f"weights {path}: a {kind} network; {advise_start_from(path)}")
    if not path.is_file():
        raise InputError(
            f"no weights file {path}; give a file, imagenet, or none for random weights (in "
            "Python: weights=None)"
        )
    if path.suffix not in _SIGNATURES:
        raise InputError(f"weights {path}: unknown suffix; available: {', '.join(_SIGNATURES)}")
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith(_SIGNATURES[path.suffix]):
        raise InputError(f"weights {path}: not a {path.suffix} file, or damaged; download it again")
    try:
        check_safe(path)
    except InputError:
        raise
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def _read_h5(constructor, path):
    try:
        stored = Counter(stored_shapes(path))
    except DAMAGED as error:
        raise _unreadable(path, error) from error
    for include_top in (True, False):
        if include_top and (_IMAGENET_CLASSES,) not in stored:
            continue  # VGG-16 with its classifier takes half a gigabyte
        network = constructor(weights=None, include_top=include_top)
        if stored.total() > len(network.weights):  # Keras would silently leave the others out
            continue
        try:
            load_strictly(network, path)
        except MISMATCHES:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        if include_top:
            return _split(constructor, network)
        return BackboneWeights(network.get_weights())
    return BackboneWeights(whole=path)


def _read_keras(constructor, path):
    # A saved model does not name its family, so the shapes of its weights decide what it is.
    try:
        saved = keras.saving.load_model(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    expected = [w.shape for w in constructor(weights=None, include_top=False).weights]
    shapes = [w.shape for w in saved.weights]
    if shapes == expected:
        return BackboneWeights(saved.get_weights())
    if saved.output_shape[1:] == (_IMAGENET_CLASSES,) and shapes[: len(expected)] == expected:
        return _split(constructor, saved)
    return BackboneWeights(whole=path)


def _split(constructor, with_top):
    """Split the weights of a network with classifier: backbone, fc1 and fc2, class layer."""
    # The classifier's weights come last, after those of the backbone.
    count = len(constructor(weights=None, include_top=False).weights)
    weights = with_top.get_weights()
    names = [layer.name for layer in with_top.layers]
    classifier = weights[count : count + 4] if {"fc1", "fc2"} <= set(names) else None
    return BackboneWeights(weights[:count], classifier, weights[-2:])


def _unreadable(path, error):
    return InputError(f"weights {path} cannot be read: {one_line(error, 150)}; download it again")
