"""Builds DeepLab networks with the weights of their ports for PyTorch.

Of v3 and v3+ see `torch_v3`. Of v2 the port is github.com/kazuto1011/deeplab-pytorch. Its names,
after the "base." of its network for several scales:

- layer1.conv1.conv and layer1.conv1.bn; layer2.block1.reduce.conv, then conv3x3, increase and, in
  the first block of a layer, shortcut; each has a conv and a bn;
- aspp.c0 .. aspp.c3 in ascending order of rates, or fc in the network that was trained on COCO.

A convolution has `weight` (outputs, inputs, rows, columns) and sometimes `bias`; a normalization
`weight`, `bias`, `running_mean` and `running_var`. Other ports have layers that differ from ours in
ways that change scores, so their files are recognized and refused.
"""

import re

import keras
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.released import torch_v3
from deeplab_tf.models.released.imported import Imported, Port, fill_layer, find_num_classes
from deeplab_tf.models.released.state_dict import read_state_dict

_UNITS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # blocks in layer4
BACKBONES = (*_UNITS.values(), *torch_v3.BACKBONES)
SUFFIXES = (".pth", ".pt", ".pth.tar")
_PARTS = ("shortcut", "reduce", "conv3x3", "increase")  # ours: 0 to 3
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_NOT_WEIGHTS = "num_batches_tracked"
# Names that only one port has, and why its networks cannot be imported.
_OTHER_PORTS = {
    "aspp.aspp1.atrous_conv.weight": (
        "jfzhang95/pytorch-deeplab-xception, whose ResNets dilate the last three blocks by 1, 2 "
        "and 4, and whose MobileNetV2 pads before the first convolution of a block"
    ),
    "backbone.low_level_features.0.0.weight": (
        "VainF/DeepLabV3Plus-Pytorch on MobileNetV2, which pads before the first convolution of a "
        "block; its ResNets can be imported"
    ),
    "aspp.stages.c0.conv.weight": (
        "kazuto1011/deeplab-pytorch's v3 and v3+, whose last three blocks are dilated by 1, 2 and 4"
    ),
}


def import_pytorch(
    path,
    backbone=None,
    head=None,
    num_classes=None,
    output_stride=None,
    drop_classes=False,
    half_pixel_upsampling=None,
):
    """Build a DeepLab network with the weights of a port for PyTorch, without PyTorch.

    It takes the same images as all networks of this package. Of v3 and v3+ it gives the port's
    scores of every pixel, for images of all sizes. Of v2 it gives the scores of one scale for
    heights and widths of 8 k + 1 pixels, to which inference pads; the port's network of three
    scales is that with `scales` 0.5, 0.75 and 1 here, but for the alignment of its resizing.

    Args:
      path: a state dictionary, see `read_state_dict`.
      backbone: "resnet50", "resnet101", "resnet152", "resnet50torch", "resnet101torch" or
        "mobilenetv3largetorch"; None: as the names in the file tell.
      head: "aspp_l", "plain", "aspp_v3_torch" or "v3plus_torch"; None: as the names tell.
      num_classes: classes that the file must have, without void; None: any number.
      output_stride: of the result, see `build_deeplab`; None: that of the training, which is 8 in
        v2 and torchvision's ResNets, and 16 in torchvision's MobileNetV3 and VainF's networks. Of
        the latter's that were trained at 8 no name tells that.
      drop_classes: whether to leave out the file's class layers, for fine-tuning on `num_classes`
        other classes.
      half_pixel_upsampling: see `build_deeplab`; None: as the port does in v3 and v3+, False in v2.

    Returns:
      `Imported`; its names of the file's layers are those of the port.

    Raises:
      InputError: if the file cannot be read, is of another port, or has another backbone, head,
        number of classes or other shapes.

    Example:
      >>> import_pytorch("deeplabv3_resnet101_coco-586e9e4e.pth").model
    """
    if drop_classes and num_classes is None:
        raise InputError("drop_classes needs num_classes, the number of new classes")
    arrays = {
        name.removeprefix("base."): array
        for name, array in read_state_dict(path).items()
        if not name.endswith(_NOT_WEIGHTS)
    }
    port = _find_port(path, arrays, backbone, head)
    if not drop_classes:
        num_classes = _count_classes(path, arrays, port.classifiers, num_classes)
    options = dict(port.options)
    if half_pixel_upsampling is not None:
        options["half_pixel_upsampling"] = half_pixel_upsampling
    output_stride = output_stride or port.output_stride
    model = build_deeplab(
        port.backbone, port.head, num_classes, output_stride, weights=None, **options
    )
    filled = _fill(path, model, arrays, port, port.classifiers if drop_classes else ())
    return filled._replace(
        notes=port.notes,
        backbone=port.backbone,
        head=port.head,
        output_stride=output_stride,
        **options,
    )


def _find_port(path, arrays, backbone, head):
    """The file's network, `Port`; `InputError` if it is none of ours, or not the given one."""
    for name, other in _OTHER_PORTS.items():
        if name in arrays:
            raise InputError(
                f"{path}: a network of {other}; no network here gives its scores, so it is not "
                "imported"
            )
    port = torch_v3.find_v3(arrays) or _find_v2(path, arrays, head)
    if port is None:
        raise InputError(
            f"{path}: none of its {len(arrays)} arrays is of a network that can be imported; "
            "available: DeepLab v2's ResNets of kazuto1011/deeplab-pytorch, v3 of torchvision, and "
            "v3 and v3+ of VainF/DeepLabV3Plus-Pytorch on ResNet"
        )
    if backbone is not None and find_backbone(backbone).name != port.backbone:
        raise InputError(f"{path}: its backbone is {port.backbone}, not {backbone}; leave it out")
    if head not in (None, port.head):
        raise InputError(f"{path}: its head is {port.head}, not {head}; leave it out")
    return port


def _find_v2(path, arrays, given_head):
    """`Port` of a network of v2; None if the names are of no such network."""
    units = {name.split(".")[1] for name in arrays if name.startswith("layer4.block")}
    if "layer1.conv1.conv.weight" not in arrays or len(units) not in _UNITS:
        return None
    names = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    classifiers = tuple(name for name in names if re.fullmatch(r"aspp\.c\d|fc", name))
    pyramid = tuple(f"aspp.c{number}" for number in range(4))
    head = {pyramid: "aspp_l", ("fc",): "plain"}.get(classifiers)
    if head is None or given_head not in (None, head):
        raise InputError(
            f"{path}: its class layers are {', '.join(classifiers) or 'none'}, which is not the "
            f"head {given_head or 'of a network that can be imported'}; leave it out"
        )
    modules = {"conv1": ("layer1.conv1.conv", "layer1.conv1.bn")}
    for place in {name.rpartition(".conv.")[0] for name in arrays if ".block" in name}:
        if match := re.fullmatch(r"layer(\d)\.block(\d+)\.(\w+)", place):
            layer, block, part = match.groups()
            if part in _PARTS:
                ours = f"conv{layer}_block{block}_{_PARTS.index(part)}"
                modules[ours] = f"{place}.conv", f"{place}.bn"
    for number, classifier in enumerate(classifiers, 1):
        ours = f"fc8_rate{6 * number}" if head == "aspp_l" else "fc8"
        modules[ours] = classifier, None
    options = {"preprocessing": "deeplab"}
    return Port(_UNITS[len(units)], head, classifiers, modules, 8, options, epsilon=1e-5)


def _count_classes(path, arrays, classifiers, expected):
    missing = [name for name in classifiers if f"{name}.weight" not in arrays]
    if missing:
        raise InputError(f"{path}: has no class layer {missing[0]}; it is no network of this kind")
    counts = [(arrays[f"{name}.weight"].shape or (1,))[0] for name in classifiers]
    return find_num_classes(path, counts, expected)


def _fill(path, model, arrays, port, dropped):
    """Set the weights of every layer that the file has; the result as `Imported`."""
    used, missing, taken = {}, [], set()
    for layer in (layer for layer in model.layers if layer.weights):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        modules = port.modules.get(re.sub(r"_(conv|bn)$", "", layer.name), (None, None))
        source = modules[is_norm]
        names = [f"{source}.{part}" for part in (_BATCH_NORM if is_norm else ("weight", "bias"))]
        if not is_norm and names[1] not in arrays:
            names.pop()
        if source in (None, *dropped) or not all(name in arrays for name in names):
            missing.append(layer.name)
            continue
        weights = [arrays[name] for name in names]
        convert = _batch_norm if is_norm else _convolution
        weights = convert(layer, port, *weights)
        fill_layer(layer, weights, f"{path}: {source} has shapes", "it is another network")
        used[layer.name] = (source,)
        taken.update(names)
    unused = tuple(name for name in arrays if name not in taken)
    return Imported(model, used, unused, tuple(missing))


def _convolution(layer, port, kernel, bias=None):
    """Kernel and bias, if there is one in the file or in the layer."""
    if kernel.ndim == 4:
        kernel = np.roll(kernel, (port.rolled or {}).get(layer.name, 0), axis=1)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    if bias is None:
        return [kernel, np.zeros(layer.filters, np.float32)] if layer.use_bias else [kernel]
    return [kernel, bias]


def _batch_norm(layer, port, gamma, beta, mean, variance):
    """Gamma is corrected for the different epsilons that the port and Keras add to the variance."""
    if port.epsilon and gamma.shape == variance.shape:
        gamma = gamma * np.sqrt((variance + layer.epsilon) / (variance + port.epsilon))
    return [gamma, beta, mean, variance]
