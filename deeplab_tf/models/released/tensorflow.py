"""Builds DeepLab v3 and v3+ networks with the weights of the authors' TensorFlow files.

Variables are matched by name. A convolution has `SCOPE/weights` or `SCOPE/depthwise_weights`, and
its batch normalization `SCOPE/BatchNorm/gamma`, `beta`, `moving_mean` and `moving_variance`. In
files whose normalization is folded in, such as quantized ones, `SCOPE/biases` takes the place of
the latter; the normalization here then only adds it. The scopes, from the authors' public code:

- Xception: xception_65/entry_flow/block1/unit_1/xception_module/separable_conv1_depthwise, ...
- MobileNetV2: MobilenetV2/Conv, MobilenetV2/expanded_conv/depthwise,
  MobilenetV2/expanded_conv_1/expand, ...
- ResNet-101 beta: resnet_v1_101/block1/unit_1/bottleneck_v1/conv1, ...
- Heads: image_pooling, aspp0, aspp1_depthwise, concat_projection, decoder/feature_projection0,
  decoder/decoder_conv0_pointwise, logits/semantic, ...
"""

import re
from pathlib import Path

import keras
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.heads import find_head
from deeplab_tf.models.released.imported import Imported, fill_layer, find_num_classes
from deeplab_tf.models.released.keras_port import read_keras_port
from deeplab_tf.models.released.tflite import read_tflite
from deeplab_tf.models.released.variables import read_variables

_ROOTS = {  # of our backbones' variables
    "mobilenetv2": "MobilenetV2",
    "mobilenetv2half": "MobilenetV2",
    "mobilenetv2halfrounded": "MobilenetV2",
    "xception41": "xception_41",
    "xception65": "xception_65",
    "xception71": "xception_71",
    "resnet101beta": "resnet_v1_101",
}
BACKBONES = tuple(_ROOTS)
HEAD_LAYERS = ("fc8", "aspp", "image_pooling", "concat_projection", "decoder")  # prefixes
_CLASSES = "logits/semantic"
_HEADS = {  # (whether there are dilated convolutions, whether there is a decoder): name
    **{(True, False): "aspp_v3", (True, True): "v3plus"},
    **{(False, False): "v3_mobile", (False, True): "v3plus_mobile"},
}
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_UNIT = r"(entry|middle|exit)(\d)_unit(\d+)"
_MODULE = r"{r}/\1_flow/block\2/unit_\3/xception_module"
# Of the first 3x3 convolution after the backbone, if it is depthwise separable.
_SEPARABLE = {
    "aspp1_depthwise/depthwise_weights",
    "decoder/decoder_conv0_depthwise/depthwise_weights",
}
# (names of our layers without _conv and _bn, scope); {r}: the backbone's root.
_SCOPES = [
    (re.compile(pattern), scope)
    for pattern, scope in (
        (r"fc8", _CLASSES),
        (r"(image_pooling|concat_projection|aspp\d(?:_depthwise|_pointwise)?)", r"\1"),
        (r"decoder_projection", "decoder/feature_projection0"),
        (r"decoder1(_depthwise|_pointwise)", r"decoder/decoder_conv0\1"),
        (r"decoder2(_depthwise|_pointwise)", r"decoder/decoder_conv1\1"),
        (r"decoder(\d)", r"decoder/decoder_conv0/decoder_conv0_\1"),
        (r"entry_conv(\d)", r"{r}/entry_flow/conv1_\1"),
        (_UNIT + r"_shortcut", _MODULE + "/shortcut"),
        (_UNIT + r"_sep(\d)_(depthwise|pointwise)", _MODULE + r"/separable_conv\4_\5"),
        (r"conv1_(\d)", r"{r}/conv1_\1"),
        (r"block(\d)_unit(\d+)_(conv\d|shortcut)", r"{r}/block\1/unit_\2/bottleneck_v1/\3"),
        (r"(?:bn_)?Conv1", r"{r}/Conv"),
        (r"expanded_conv_(depthwise|project)", r"{r}/expanded_conv/\1"),
        (r"block_(\d+)_(expand|depthwise|project)", r"{r}/expanded_conv_\1/\2"),
    )
]
HDF5 = (".h5", ".hdf5")
TFLITE_RESIZES = ("interpreter", "trained")


def import_tensorflow(
    path,
    backbone=None,
    head=None,
    num_classes=None,
    output_stride=16,
    drop_classes=False,
    tflite_resize="interpreter",
):
    """Build a DeepLab v3 or v3+ network with the weights of a released one.

    It takes the same images as all networks of this package, and gives the authors' scores for
    heights and widths of 16 k + 1 pixels, such as their 513, to which inference can pad.

    Args:
      path: a checkpoint, frozen graph or tar, see `read_variables`; a `.tflite`; or a `.h5` of the
        Keras port, see `read_keras_port`.
      backbone: "mobilenetv2", "mobilenetv2half", "mobilenetv2halfrounded", "xception41",
        "xception65", "xception71" or "resnet101beta"; None: as the names and shapes in the file
        tell.
      head: "v3_mobile", "v3plus_mobile", "aspp_v3" or "v3plus"; None: as the names tell.
      num_classes: classes that the file must have, without void; None: any number.
      output_stride: of the result, see `build_deeplab`; the authors trained at 16, and tested at
        16 and 8.
      drop_classes: whether to leave out the file's class layer, for fine-tuning on `num_classes`
        other classes. It also takes ImageNet classifiers, if `head` is given.
      tflite_resize: whether image pooling in a quantized `.tflite` has the result that the
        interpreter gives, or the one that the network was "trained" with: the interpreter resizes
        8-bit numbers without changing their scale, though the file's scales differ.

    Returns:
      `Imported`; its names of the file's layers are scopes of variables, or the port's layers.

    Raises:
      InputError: if the file cannot be read, or has another backbone, head, number of classes or
        other shapes.

    Example:
      >>> import_tensorflow("deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz").model
    """
    if drop_classes and num_classes is None:
        raise InputError("drop_classes needs num_classes, the number of new classes")
    arrays, origins, notes = _read(path, tflite_resize)
    backbone = _find_backbone(path, arrays, backbone)
    head = _find_head(path, arrays, head, drop_classes)
    if not drop_classes:
        num_classes = _num_classes(path, arrays, num_classes)
    separable = None
    if _has_head(arrays) and find_head(head, backbone).has_windows:
        separable = not _SEPARABLE.isdisjoint(arrays)
    model = build_deeplab(
        backbone,
        head,
        num_classes,
        output_stride,
        weights=None,
        separable_convolutions=separable,
    )
    filled = _fill(path, model, arrays, origins, _ROOTS[backbone], drop_classes)
    return filled._replace(
        notes=notes,
        backbone=backbone,
        head=head,
        separable_convolutions=separable,
        output_stride=output_stride,
    )


def _read(path, tflite_resize):
    """The variables of a file, its own names of them if they are others, and notes about it."""
    suffix = Path(path).suffix if Path(path).is_file() else ""
    if suffix in HDF5:
        return *read_keras_port(path), ()
    if suffix != ".tflite":
        return read_variables(path), {}, ()
    arrays, magnified = read_tflite(path)
    notes = []
    for scope, factor in magnified.items():
        as_run = tflite_resize == "interpreter"
        notes.append(
            f"TensorFlow Lite's interpreter multiplies the result of {scope} by {factor:.2f}, "
            "which the network was not trained with; "
            + ("--tflite_resize=trained leaves that out" if as_run else "it is left out here")
        )
        if as_run:
            # ReLU follows, so a larger kernel and bias give a larger result.
            for name in (f"{scope}/weights", f"{scope}/biases"):
                arrays[name] = arrays[name] * np.float32(factor)
    return arrays, {}, tuple(notes)


def _find_backbone(path, arrays, given):
    """The name of the file's backbone; `InputError` if it is none of ours, or not the given one."""
    roots = {name.partition("/")[0] for name in arrays}
    fitting = [name for name, root in _ROOTS.items() if root in roots]
    if "mobilenetv2" in fitting:
        fitting = [_find_mobilenet(arrays)]
    if not fitting:
        raise InputError(
            f"{path}: none of its {len(arrays)} variables is of a backbone that can be imported; "
            f"available: {', '.join(BACKBONES)}"
        )
    if given is not None and find_backbone(given).name not in fitting:
        raise InputError(f"{path}: its backbone is {fitting[0]}, not {given}; leave it out")
    return fitting[0]


def _find_mobilenet(arrays):
    """Which MobileNetV2 it is, by the channels of the first convolution and of block 1."""
    first, block = (
        arrays.get(f"MobilenetV2/{scope}/weights", np.empty(0)).shape[-1:]
        for scope in ("Conv", "expanded_conv_1/project")
    )
    if first != (16,):
        return "mobilenetv2"
    return "mobilenetv2halfrounded" if block == (16,) else "mobilenetv2half"


def _has_head(arrays):
    return any(name.startswith("aspp0/") for name in arrays)


def _find_head(path, arrays, given, drop_classes):
    """The name of the file's head; `InputError` if it has none, or not the given one."""
    if not _has_head(arrays):
        if drop_classes and given is not None:
            return given
        raise InputError(
            f"{path}: has no pyramid pooling of DeepLab v3; to train from its backbone alone, give "
            "head, drop_classes and num_classes"
        )
    scopes = {name.partition("/")[0] for name in arrays}
    has_pyramid = bool({"aspp1", "aspp1_depthwise"} & scopes)
    found = _HEADS[has_pyramid, "decoder" in scopes]
    if given not in (None, found):
        raise InputError(f"{path}: its head is {found}, not {given}; leave it out")
    return found


def _num_classes(path, arrays, num_classes):
    kernel = arrays.get(f"{_CLASSES}/weights")
    if kernel is None or kernel.ndim != 4:
        raise InputError(f"{path}: has no class layer {_CLASSES}; it is no network of this kind")
    return find_num_classes(path, kernel.shape[-1:], num_classes)


def scope_of(layer, root):
    """The authors' scope of the variables of one of our layers; None if they have none.

    Args:
      layer: name of a convolution or batch normalization.
      root: first part of the names of the backbone's variables.
    """
    name = re.sub(r"_(conv|bn|BN)$", "", layer)
    for pattern, scope in _SCOPES:
        if match := pattern.fullmatch(name):
            return match.expand(scope).format(r=root)
    return None


def _names(layer, scope, arrays):
    """Names of the variables that a layer takes, in the order of its weights."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = f"{scope}/depthwise_weights" if depthwise else f"{scope}/weights"
        return [kernel, f"{scope}/biases"] if layer.use_bias else [kernel]
    if f"{scope}/biases" in arrays:  # folded in
        return [f"{scope}/biases"]
    return [f"{scope}/BatchNorm/{name}" for name in _BATCH_NORM]


def _weights(layer, arrays):
    """A layer's weights from its variables; a folded normalization only adds its bias."""
    if isinstance(layer, keras.layers.BatchNormalization) and len(arrays) == 1:
        (bias,) = arrays
        ones = np.ones_like(bias)
        return [ones, bias, np.zeros_like(bias), ones - layer.epsilon]
    return arrays


def _fill(path, model, arrays, origins, root, drop_classes):
    """Set the weights of every layer that the file has; the result as `Imported`."""
    used, missing, taken = {}, [], set()
    for layer in (layer for layer in model.layers if layer.weights):
        scope = scope_of(layer.name, root)
        names = _names(layer, scope, arrays)
        if (
            scope is None
            or (drop_classes and scope == _CLASSES)
            or not all(name in arrays for name in names)
        ):
            missing.append(layer.name)
            continue
        weights = _weights(layer, [arrays[name] for name in names])
        source = f"{path}: the variables of {scope} have shapes"
        fill_layer(layer, weights, source, "it is another kind of network than its names tell")
        layers = (origins[name].partition("/")[0] if origins else scope for name in names)
        used[layer.name] = tuple(dict.fromkeys(layers))
        taken.update(names)
    unused = tuple(origins.get(name, name) for name in arrays if name not in taken)
    return Imported(model, used, unused, tuple(missing))
