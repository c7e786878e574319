"""Builds FCNs with the weights of `.caffemodel` files: released FCNs, and ImageNet classifiers.

The FCN authors' networks on VGG-16 and AlexNet, and the classifiers that FCNs start from:
VGG_ILSVRC_16_layers and 19, bvlc_reference_caffenet, bvlc_alexnet and bvlc_googlenet. Layers are
matched by name, with `/` and `-` as `_`. The class layers of released FCNs are score_fr, or score
or score59 in old files, score_pool4 and score_pool3. Classifiers store fc6 and fc7 as matrices,
whose columns are ordered by channel, row and column of the last pooling.
"""

import re

import keras
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.fcn import SKIP_SCALES, SKIPS, build_fcn
from deeplab_tf.models.released.caffemodel import read_caffemodel
from deeplab_tf.models.released.imported import Imported, fill_layer, find_num_classes

BACKBONES = ("vgg16", "vgg19", "alexnet", "bvlcalexnet", "googlenet")
_REMEDY = "give the caffemodel of a released FCN or of an ImageNet classifier"
_CLASSES = re.compile(r"score(_fr|\d+)?")
_VGG_CONVOLUTION = re.compile(r"block(\d)_conv(\d)")
_UPSAMPLING = {  # our layer: names in the files, first those of the newer ones
    "upscore2_pool4": ("upscore2", "score2"),
    "upscore2_pool3": ("upscore_pool4", "score4"),
    "upscore32": ("upscore", "upsample"),
    "upscore16": ("upscore16", "upsample_new"),
    "upscore8": ("upscore8", "upsample"),
}


def import_caffe_fcn(
    path, num_classes=None, drop_classes=False, backbone=None, released_padding=None
):
    """Build an FCN with the weights of a released FCN or of an ImageNet classifier.

    The stride of the scores and the scaled skips of the "at-once" FCN-8s are found in the file.

    Args:
      path: `.caffemodel` file, in Caffe's format of 2014 or in that since 2015.
      num_classes: classes that the file must have, without void; None: any number.
      drop_classes: whether to leave out the file's class layers, for training on `num_classes`
        other classes; the result is an FCN-32s. Classifiers need it.
      backbone: the file must be of this network; None: any of "vgg16", "vgg19", "alexnet",
        "bvlc_alexnet" and "googlenet".
      released_padding: see `build_fcn`; True gives the authors' scores. None: if it is an FCN on
        VGG or AlexNet with its classes.

    Returns:
      `Imported`, with its `backbone`.

    Raises:
      InputError: if the file cannot be read, is of another network, has another number of classes,
        or has arrays that do not fit.

    Example:
      >>> import_caffe_fcn("fcn8s-heavy-pascal.caffemodel").model
      >>> import_caffe_fcn("bvlc_googlenet.caffemodel", 21, drop_classes=True).model
    """
    if drop_classes and num_classes is None:
        raise InputError("drop_classes needs num_classes, the number of new classes")
    layers = {re.sub("[/-]", "_", layer.name): layer for layer in read_caffemodel(path)}
    found = _find_backbone(path, layers)
    if backbone is not None and find_backbone(backbone).name != found:
        raise InputError(f"{path}: its network is {found}, not {backbone}; give --backbone={found}")
    options = {"stride": 32, "fixed_upsampling": True}
    classes = None
    if not drop_classes:
        classes = _class_layer(path, layers)
        counts = [(layers[classes].blobs[0].shape or (1,))[0]]
        num_classes = find_num_classes(path, counts, num_classes)
        options |= _skips(path, layers)
    if released_padding is None:
        released_padding = not drop_classes and found != "googlenet"
    options["released_padding"] = released_padding
    model = build_fcn(found, num_classes=num_classes, weights=None, **options)
    return _fill(path, model, layers, found, classes)


def _find_backbone(path, layers):
    names = list(layers)
    if "conv1_7x7_s2" in layers:
        return "googlenet"
    if "conv1_1" in layers:
        return "vgg19" if "conv3_4" in layers else "vgg16"
    first = layers["conv1"].blobs if "conv1" in layers else ()
    if not first or first[0].shape[0] != 96:
        raise InputError(f"{path}: its network is none of {', '.join(BACKBONES)}; {_REMEDY}")
    if {"norm1", "pool1"} <= set(names) and names.index("norm1") < names.index("pool1"):
        return "bvlcalexnet"
    return "alexnet"


def _class_layer(path, layers):
    """The name of the layer that scores the classes of the coarsest map."""
    names = [name for name in layers if _CLASSES.fullmatch(name) and layers[name].blobs]
    if len(names) != 1:
        raise InputError(
            f"{path}: has {len(names)} layers of class scores for an FCN; to start training from "
            "an ImageNet classifier, give drop_classes and num_classes"
        )
    return names[0]


def _skips(path, layers):
    """The options of `build_fcn` that describe the file's skips."""
    options = {}
    for pixels, pool in SKIPS.items():
        if f"score_{pool}" in layers:
            options["stride"] = pixels
        if scale := layers.get(f"scale_{pool}"):
            options["scaled_skips"] = True
            if not all(np.allclose(blob, SKIP_SCALES[pixels]) for blob in scale.blobs[:1]):
                raise InputError(
                    f"{path}: {scale.name} multiplies by other factors than the "
                    f"{SKIP_SCALES[pixels]} of the authors' network, which cannot be imported"
                )
    return options


def _fill(path, model, layers, backbone, classes):
    """Set the weights of every layer that the file has; the result as `Imported`."""
    used, missing, notes = {}, [], []
    for layer in model.layers:
        if not layer.weights:
            continue
        source = _source(layer.name, layers, classes)
        if source is not None:
            name = layers[source].name
            weights = _arrays(layer, layers[source].blobs)
            fill_layer(layer, weights, f"{path}: {name} has arrays", _REMEDY)
            used[layer.name] = (name,)
        elif not isinstance(layer, keras.layers.Conv2DTranspose):
            missing.append(layer.name)
        elif classes:
            notes.append(f"{layer.name} is not in the file and interpolates bilinearly")
    taken = {name for names in used.values() for name in names}
    taken |= {layers[f"scale_{pool}"].name for pool in SKIPS.values() if f"scale_{pool}" in layers}
    unused = (layer.name for layer in layers.values() if layer.blobs)
    unused = tuple(name for name in unused if name not in taken)
    return Imported(model, used, unused, tuple(missing), tuple(notes), backbone)


def _source(name, layers, classes):
    """The key in `layers` of the layer that has the weights of ours; None if there is none."""
    if match := _VGG_CONVOLUTION.fullmatch(name):
        names = (f"conv{match[1]}_{match[2]}",)
    elif name in ("score_fc7", "score_top"):
        names = (classes,)
    elif name in _UPSAMPLING or name.startswith("score_"):
        names = (*_UPSAMPLING.get(name, ()), name) if classes else ()
    else:
        names = (name,)
    return next((one for one in names if one in layers and layers[one].blobs), None)


def _arrays(layer, blobs):
    """The blobs of a layer as weights of Keras; as they are if they do not fit."""
    kernel, *biases = blobs
    height, width, inputs, filters = layer.kernel.shape
    if isinstance(layer, keras.layers.Conv2DTranspose):
        if kernel.shape == (filters, 1, height, width):  # one group for each class
            kernel = np.eye(filters, dtype=np.float32)[:, :, None, None] * kernel
        return [kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel]
    matrix = (filters, inputs * height * width)  # of a fully connected layer
    if kernel.shape in (matrix, (1, 1, *matrix)):
        kernel = kernel.reshape(filters, inputs, height, width)
    if kernel.ndim == 4:  # Caffe: (outputs, inputs, rows, columns)
        kernel = kernel.transpose(2, 3, 1, 0)
    bias = biases[0].reshape(-1) if biases else np.zeros(filters, np.float32)
    return [kernel, bias]
