"""Builds DeepLab v2's ResNets with the weights of their PyTorch port.

The port is github.com/kazuto1011/deeplab-pytorch. Its names, after the "base." of its network for
several scales:

- layer1.conv1.conv and layer1.conv1.bn; layer2.block1.reduce.conv, then conv3x3, increase and, in
  the first block of a layer, shortcut; each has a conv and a bn;
- aspp.c0 .. aspp.c3 in ascending order of rates, or fc in the network that was trained on COCO.

A convolution has `weight` (outputs, inputs, rows, columns) and sometimes `bias`; a normalization
`weight`, `bias`, `running_mean` and `running_var`. The other ports have layers that differ from
ours in ways that change scores, so their files are recognized and refused.
"""

import re

import keras
import numpy as np

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import find_backbone
from deeplab_tf.models.deeplab import build_deeplab
from deeplab_tf.models.released.imported import Imported, fill_layer, find_num_classes
from deeplab_tf.models.released.state_dict import read_state_dict

_EPSILON = 1e-5  # of the port's batch normalization
_UNITS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # blocks in layer4
BACKBONES = tuple(_UNITS.values())
SUFFIXES = (".pth", ".pt", ".pth.tar")
_PARTS = ("shortcut", "reduce", "conv3x3", "increase")  # ours: 0 to 3
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_NOT_WEIGHTS = "num_batches_tracked"
_BLOCK = re.compile(r"conv(\d)_block(\d+)_(\d)_(conv|bn)")
# Names that only one port has, and why its networks cannot be imported.
_OTHER_PORTS = {
    "aspp.aspp1.atrous_conv.weight": (
        "jfzhang95/pytorch-deeplab-xception, whose ResNets dilate the last three blocks by 1, 2 "
        "and 4, and whose MobileNetV2 pads before the first convolution of a block"
    ),
    "classifier.aspp.project.0.weight": (
        "VainF/DeepLabV3Plus-Pytorch, whose decoder has one 3x3 convolution and resizes without "
        "aligned corners"
    ),
    "classifier.classifier.0.project.0.weight": (
        "VainF/DeepLabV3Plus-Pytorch, whose head has one more 3x3 convolution"
    ),
    "classifier.0.project.0.weight": (
        "torchvision, whose ResNets stride in the 3x3 convolutions, and whose head has one more "
        "3x3 convolution"
    ),
    "aspp.stages.c0.conv.weight": (
        "kazuto1011/deeplab-pytorch's v3 and v3+, whose last three blocks are dilated by 1, 2 and 4"
    ),
}


def import_pytorch(
    path, backbone=None, head=None, num_classes=None, output_stride=8, drop_classes=False
):
    """Build a DeepLab v2 network with the weights of its PyTorch port, without PyTorch.

    It takes the same images as all networks of this package, and gives the port's scores of one
    scale for heights and widths of 8 k + 1 pixels, to which inference pads. The port's network of
    three scales is that with `scales` 0.5, 0.75 and 1 here, but for the alignment of its resizing.

    Args:
      path: a state dictionary, see `read_state_dict`.
      backbone: "resnet50", "resnet101" or "resnet152"; None: as the names in the file tell.
      head: "aspp_l" or "plain"; None: as the names tell.
      num_classes: classes that the file must have, without void; None: any number.
      output_stride: of the result, see `build_deeplab`; trained at 8.
      drop_classes: whether to leave out the file's class layers, for fine-tuning on `num_classes`
        other classes.

    Returns:
      `Imported`; its names of the file's layers are those of the port.

    Raises:
      InputError: if the file cannot be read, is of another port, or has another backbone, head,
        number of classes or other shapes.

    Example:
      >>> import_pytorch("deeplabv2_resnet101_msc-vocaug-20000.pth").model
    """
    if drop_classes and num_classes is None:
        raise InputError("drop_classes needs num_classes, the number of new classes")
    arrays = {
        name.removeprefix("base."): array
        for name, array in read_state_dict(path).items()
        if not name.endswith(_NOT_WEIGHTS)
    }
    backbone = _find_backbone(path, arrays, backbone)
    classifiers = _classifiers(arrays)
    head = _find_head(path, classifiers, head)
    if not drop_classes:
        counts = [(arrays[f"{name}.weight"].shape or (1,))[0] for name in classifiers]
        num_classes = find_num_classes(path, counts, num_classes)
    model = build_deeplab(
        backbone, head, num_classes, output_stride, weights=None, preprocessing="deeplab"
    )
    dropped = classifiers if drop_classes else ()
    filled = _fill(path, model, arrays, classifiers, dropped)
    return filled._replace(backbone=backbone, head=head)


def _find_backbone(path, arrays, given):
    """The name of the file's backbone; `InputError` if it is none of ours, or not the given one."""
    for name, port in _OTHER_PORTS.items():
        if name in arrays:
            raise InputError(
                f"{path}: a network of {port}; no network here gives its scores, so it is not "
                "imported"
            )
    units = {name.split(".")[1] for name in arrays if name.startswith("layer4.block")}
    if "layer1.conv1.conv.weight" not in arrays or len(units) not in _UNITS:
        raise InputError(
            f"{path}: none of its {len(arrays)} arrays is of a network that can be imported; "
            "available: DeepLab v2's ResNets of kazuto1011/deeplab-pytorch"
        )
    found = _UNITS[len(units)]
    if given is not None and find_backbone(given).name != found:
        raise InputError(f"{path}: its backbone is {found}, not {given}; leave it out")
    return found


def _classifiers(arrays):
    """The names of the class layers, in ascending order of rates."""
    names = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    return [name for name in names if re.fullmatch(r"aspp\.c\d|fc", name)]


def _find_head(path, classifiers, given):
    """The name of the file's head; `InputError` if it is none of ours, or not the given one."""
    branches = {("aspp.c0", "aspp.c1", "aspp.c2", "aspp.c3"): "aspp_l", ("fc",): "plain"}
    found = branches.get(tuple(classifiers))
    if found is None or given not in (None, found):
        raise InputError(
            f"{path}: its class layers are {', '.join(classifiers) or 'none'}, which is not the "
            f"head {given or 'of a network that can be imported'}; leave it out"
        )
    return found


def _source(layer, classifiers):
    """The port's name of one of our layers; None if it has none."""
    if layer in ("conv1_conv", "conv1_bn"):
        return f"layer1.conv1.{layer.removeprefix('conv1_')}"
    if match := _BLOCK.fullmatch(layer):
        return f"layer{match[1]}.block{match[2]}.{_PARTS[int(match[3])]}.{match[4]}"
    if match := re.fullmatch(r"fc8(?:_rate(\d+))?", layer):
        return classifiers[int(match[1]) // 6 - 1 if match[1] else 0]
    return None


def _fill(path, model, arrays, classifiers, dropped):
    """Set the weights of every layer that the file has; the result as `Imported`."""
    used, missing, taken = {}, [], set()
    for layer in (layer for layer in model.layers if layer.weights):
        source = _source(layer.name, classifiers)
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        names = [f"{source}.{part}" for part in (_BATCH_NORM if is_norm else ("weight", "bias"))]
        if not is_norm and names[1] not in arrays:
            names.pop()
        if source in (None, *dropped) or not all(name in arrays for name in names):
            missing.append(layer.name)
            continue
        convert = _batch_norm if is_norm else _convolution
        weights = convert(layer, *[arrays[name] for name in names])
        fill_layer(layer, weights, f"{path}: {source} has shapes", "it is another network")
        used[layer.name] = (source,)
        taken.update(names)
    unused = tuple(name for name in arrays if name not in taken)
    return Imported(model, used, unused, tuple(missing))


def _convolution(layer, kernel, bias=None):
    """Kernel and bias; those of the backbone have no bias in the file."""
    kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
    if not layer.use_bias:
        return [kernel]
    return [kernel, np.zeros(layer.filters, np.float32) if bias is None else bias]


def _batch_norm(layer, gamma, beta, mean, variance):
    """Gamma is corrected for the different epsilons that the port and Keras add to the variance."""
    if gamma.shape == variance.shape:
        gamma = gamma * np.sqrt((variance + layer.epsilon) / (variance + _EPSILON))
    return [gamma, beta, mean, variance]
