"""Which maps of a backbone the heads of DeepLab v3 and v3+ and the skips of FCN take."""

import keras

from deeplab_tf.models.atrous_layers import (
    CONVOLUTIONS,
    GLOBAL_POOLINGS,
    POOLINGS,
    WindowPadding2D,
)
from deeplab_tf.models.caffe_layers import WholeWindows
from deeplab_tf.models.heads import DECODER_STRIDE

_LAST = {  # where the authors' networks end, if not at the backbone's last layer
    "mobilenetv2": "block_16_project_BN",
    "mobilenetv2half": "block_16_project_BN",
    "mobilenetv2halfrounded": "block_16_project_BN",
}
_DECODER = {  # the authors' choices
    "mobilenetv2": "block_2_depthwise_relu",
    "mobilenetv2half": "block_2_depthwise_relu",
    "mobilenetv2halfrounded": "block_2_depthwise_relu",
    "xception41": "entry2_unit1_sep2_pointwise_bn",
    "xception65": "entry2_unit1_sep2_pointwise_bn",
    "xception71": "entry3_unit1_sep2_pointwise_bn",
    "resnet101beta": "block1_unit2_conv3_bn",
}
# Their maps are larger than the grid.
_PADDINGS = keras.layers.ZeroPadding2D, WindowPadding2D, WholeWindows


def last_map(network, backbone):
    """The map before the pyramid pooling, a symbolic tensor `(B, h, w, C)`.

    Args:
      network: keras.Model, see `deeplab_tf.models.backbones.build_backbone`.
      backbone: its name.
    """
    name = _LAST.get(backbone)
    return network.get_layer(name).output if name else network.output


def decoder_map(network, backbone):
    """The features of stride 4 for the decoder: the authors' choice, else the last widest map.

    Args:
      network, backbone: see `last_map`.

    Returns:
      symbolic tensor `(B, (H-1)//4+1, (W-1)//4+1, C)`.
    """
    if backbone in _DECODER:
        return network.get_layer(_DECODER[backbone]).output
    return widest_last_map(network, DECODER_STRIDE)


def widest_last_map(network, stride):
    """The last of the maps with the most channels among those with `stride` pixels per cell.

    Args:
      network: functional keras.Model of images, without nested models.
      stride: pixels per cell of the map.

    Returns:
      symbolic tensor `(B, h, w, C)`.
    """
    pixels, maps = {}, []  # id of a tensor -> pixels per cell, 0 for one vector
    for step in network.operations:  # inputs come before what takes them
        before = [pixels.get(id(x), 1) for x in keras.tree.flatten(getattr(step, "input", []))]
        step_size = step.strides[0] if isinstance(step, CONVOLUTIONS + POOLINGS) else 1
        cell = 0 if isinstance(step, tuple(GLOBAL_POOLINGS)) else max(before, default=1) * step_size
        for output in keras.tree.flatten(step.output):
            pixels[id(output)] = cell
            if cell == stride and not isinstance(step, _PADDINGS):
                maps.append(output)
    widest = max(x.shape[-1] for x in maps)
    return [x for x in maps if x.shape[-1] == widest][-1]
