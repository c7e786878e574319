"""The names in the state dictionaries of DeepLab v3 and v3+ networks for PyTorch.

- torchvision's v3: deeplabv3_resnet50, deeplabv3_resnet101 and deeplabv3_mobilenet_v3_large.
- github.com/VainF/DeepLabV3Plus-Pytorch: v3 and v3+ on ResNet-50 and ResNet-101.

Modules are numbered: `backbone.layer3.0.conv2`, `backbone.layer3.0.bn2`, `classifier.0.convs.1.0`.
The maps of the pyramid pooling and of the decoder are concatenated in another order than here.
"""

from typing import NamedTuple

from deeplab_tf.models.released.imported import Port
from deeplab_tf.models.torch_backbones import FIRST_FILTERS, MOBILENET_V3_LARGE

RESNETS = {(3, 4, 6, 3): "resnet50torch", (3, 4, 23, 3): "resnet101torch"}  # blocks in each stage
MOBILE = "mobilenetv3largetorch"
BACKBONES = (*RESNETS.values(), MOBILE)
_PYRAMID_BRANCHES = 5  # a 1x1 and three 3x3 convolutions, and image pooling


class _Head(NamedTuple):
    """Where the layers of a head are.

    Attributes:
      name: of the head here.
      pyramid: prefix of the pyramid pooling.
      windows: {layer here: modules of its convolution and normalization}.
      classes: module of the class layer.
      joined: module whose channels come first in the decoder's concatenation, last here; or None.
      output_stride: of the training, with a ResNet.
    """

    name: str
    pyramid: str
    windows: dict
    classes: str
    joined: str | None = None
    output_stride: int = 16


_HEADS = (
    _Head(
        *("aspp_v3_torch", "classifier.0", {"aspp_window1": ("classifier.1", "classifier.2")}),
        *("classifier.4", None, 8),  # torchvision
    ),
    _Head(
        *("aspp_v3_torch", "classifier.classifier.0"),
        {"aspp_window1": ("classifier.classifier.1", "classifier.classifier.2")},
        "classifier.classifier.4",
    ),
    _Head(
        *("v3plus_torch", "classifier.aspp"),
        {
            "decoder_projection": ("classifier.project.0", "classifier.project.1"),
            "decoder1": ("classifier.classifier.0", "classifier.classifier.1"),
        },
        *("classifier.classifier.3", "classifier.project.0"),
    ),
)


def find_v3(arrays):
    """What is needed to build and fill the network of a state dictionary.

    Args:
      arrays: {name: array}.

    Returns:
      `Port`; None if the names are those of no network of v3 or v3+ that can be imported.
    """
    heads = [head for head in _HEADS if f"{head.pyramid}.project.0.weight" in arrays]
    backbone, modules = _find_backbone(arrays)
    if len(heads) != 1 or backbone is None:
        return None
    (head,) = heads
    modules |= _pyramid_modules(head.pyramid) | head.windows
    pooled = modules["image_pooling"][0]
    rolled = {"concat_projection_conv": _outputs(arrays, pooled)}
    if head.joined:
        rolled["decoder1_conv"] = -_outputs(arrays, head.joined)
    notes = []
    if any(name.startswith("aux_classifier.") for name in arrays):
        notes.append("aux_classifier, which only training uses, is left out")
    if head.output_stride == 16:
        notes.append(
            "the file does not tell its output stride, which is 16 unless another is given"
        )
    return Port(
        backbone=backbone,
        head=head.name,
        classifiers=(head.classes,),
        modules=modules | {"fc8": (head.classes, None)},
        output_stride=16 if backbone == MOBILE else head.output_stride,
        options={"half_pixel_upsampling": True},
        rolled=rolled,
        notes=tuple(notes),
    )


def _outputs(arrays, module):
    kernel = arrays.get(f"{module}.weight")
    return kernel.shape[0] if kernel is not None and kernel.ndim == 4 else 0


def _find_backbone(arrays):
    """The name of the backbone, None if it is none of ours, and its modules."""
    stages = [f"backbone.layer{stage}." for stage in range(1, 5)]
    blocks = [{n.split(".")[2] for n in arrays if n.startswith(stage)} for stage in stages]
    units = tuple(map(len, blocks))
    if units in RESNETS:
        return RESNETS[units], _resnet_modules(units)
    last = len(MOBILENET_V3_LARGE) + 1
    ends = [f"backbone.{number}.0.weight" in arrays for number in (0, last, last + 1)]
    if ends == [True, True, False]:
        return MOBILE, _mobile_modules(MOBILENET_V3_LARGE)
    return None, {}


def _numbered(place, first=0):
    """The modules of a convolution and the normalization after it."""
    return f"{place}.{first}", f"{place}.{first + 1}"


def _pyramid_modules(place):
    last = _PYRAMID_BRANCHES - 1
    found = {f"aspp{number}": _numbered(f"{place}.convs.{number}") for number in range(last)}
    found["image_pooling"] = _numbered(f"{place}.convs.{last}", 1)
    return found | {"concat_projection": _numbered(f"{place}.project")}


def _resnet_modules(units):
    found = {"conv1": ("backbone.conv1", "backbone.bn1")}
    for stage, count in enumerate(units, 1):
        for block in range(count):
            place, ours = f"backbone.layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}"
            found[f"{ours}_0"] = _numbered(f"{place}.downsample")
            for part in (1, 2, 3):
                found[f"{ours}_{part}"] = f"{place}.conv{part}", f"{place}.bn{part}"
    return found


def _mobile_modules(blocks):
    found, channels = {"conv_first": _numbered("backbone.0")}, FIRST_FILTERS
    for number, block in enumerate(blocks, 1):
        parts = ["expand"] * (block.expanded != channels) + ["depthwise"]
        parts += ["gate"] * block.has_gate + ["project"]
        for index, part in enumerate(parts):
            place, ours = f"backbone.{number}.block.{index}", f"block{number}_{part}"
            if part == "gate":
                found |= {f"{ours}{i}": (f"{place}.fc{i}", None) for i in (1, 2)}
            else:
                found[ours] = _numbered(place)
        channels = block.filters
    return found | {"conv_last": _numbered(f"backbone.{len(blocks) + 1}")}
