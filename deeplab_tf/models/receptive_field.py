"""Receptive field, stride and depth of a network's maps, by arithmetic over its graph.

A window of k cells, d apart, of a map whose cells are s pixels apart sees (k - 1) d s more pixels
than one cell does. Where branches join, a cell sees what any of them sees.
"""

import math
from typing import NamedTuple

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_layers import (
    CONVOLUTIONS,
    GLOBAL_POOLINGS,
    POOLINGS,
    AtrousPooling2D,
    WindowPadding2D,
)
from deeplab_tf.models.caffe_layers import WholeWindows
from deeplab_tf.models.cellwise import is_cellwise
from deeplab_tf.models.padding import PadToCells, PadToMultiple

_GLOBAL = (*GLOBAL_POOLINGS, *GLOBAL_POOLINGS.values())
# They pad at the bottom and right alone, which moves no cell.
_PADDED_AT_THE_END = PadToCells, PadToMultiple, WholeWindows


class Field(NamedTuple):
    """What a cell of a map sees, along one axis.

    Attributes:
      stride: pixels between two cells.
      first, last: the first and last pixel that cell 0 sees, if nothing is cut off at the borders;
        pixels before the image are negative.
      depth: number of convolutions on the longest path from the image.
    """

    stride: int = 1
    first: float = 0
    last: float = 0
    depth: int = 0

    @property
    def size(self):
        """Number of pixels that a cell sees; infinite if it sees the whole image."""
        return self.last - self.first + 1

    @property
    def center(self):
        """The pixel under the center of cell 0; between two pixels for an even size."""
        return (self.first + self.last) / 2

    def shifted(self, cells):
        """The field if so many cells are added before cell 0."""
        pixels = cells * self.stride
        return self._replace(first=self.first - pixels, last=self.last - pixels)

    def windowed(self, size, stride=1):
        """The field of windows of `size` cells, `stride` cells apart; the first is at cell 0."""
        last = self.last + (size - 1) * self.stride
        return self._replace(stride=self.stride * stride, last=last)


def receptive_field(network, output=None):
    """The receptive field of a map.

    Args:
      network: functional keras.Model with one input, images `(B, H, W, C)`.
      output: symbolic tensor of the network, a map `(B, h, w, D)`; None: the network's output.

    Returns:
      `Field`, along the rows. Where a window is padded as TensorFlow's "same", its position is
      that for sizes which all strides divide.

    Raises:
      InputError: for a layer whose arithmetic is not known, such as upsampling, and for nested
        networks.

    Example:
      >>> network = keras.applications.VGG16(weights=None, include_top=False)
      >>> receptive_field(network).size
      212
    """
    if output is not None:
        network = keras.Model(network.input, output)
    fields = {id(tensor): Field() for tensor in network.inputs}
    for step in network.operations:  # inputs come before what takes them
        if isinstance(step, keras.layers.InputLayer):
            continue
        before = [fields.get(id(x)) for x in keras.tree.flatten(step.input)]
        if None in before:  # Keras tells a layer's first call alone, and a network's own input
            raise InputError(
                f"receptive field: {step.name!r} is a network inside the network, or comes after "
                "one or after a layer that is called twice; give networks without these"
            )
        after = _after(step, _joined(before))
        fields.update((id(tensor), after) for tensor in keras.tree.flatten(step.output))
    return fields[id(network.outputs[0])]


def _joined(fields):
    # A vector for the whole image, as in squeeze-and-excite, has no stride.
    strides = {field.stride for field in fields if field.size < math.inf}
    return Field(
        max(strides, default=fields[0].stride),
        min(field.first for field in fields),
        max(field.last for field in fields),
        max(field.depth for field in fields),
    )


def _after(step, field):
    """The field of a layer's output, if its input has this one."""
    if isinstance(step, CONVOLUTIONS):
        field = field._replace(depth=field.depth + 1)
        return _window(step, field, step.kernel_size[0], step.strides[0], step.dilation_rate[0])
    if isinstance(step, POOLINGS):
        return _window(step, field, step.pool_size[0], step.strides[0], 1)
    if isinstance(step, keras.layers.ZeroPadding2D):
        return field.shifted(step.padding[0][0])
    if isinstance(step, WindowPadding2D | AtrousPooling2D):
        return _former_window(step, field)
    if isinstance(step, _GLOBAL):
        return field._replace(first=-math.inf, last=math.inf)
    if is_cellwise(step) or isinstance(step, _PADDED_AT_THE_END):
        return field
    raise InputError(
        f"receptive field: layer {step.name!r} ({type(step).__name__}) is unknown; give the output "
        "of a layer before it"
    )


def _window(layer, field, size, stride, rate):
    """The field of windows of `size` cells, `rate` apart, padded as the layer says."""
    span = (size - 1) * rate + 1
    before = max(span - stride, 0) // 2 if layer.padding == "same" else 0
    return field.shifted(before).windowed(span, stride)


def _former_window(layer, field):
    """The field after the padding or pooling of a window that has lost its stride."""
    reach, lost = layer.kernel_size[0] - 1, layer.strides[0] - 1
    before = {"valid": 0, "same": max(reach - lost, 0) // 2, "centered": reach // 2}
    field = field.shifted(before[layer.padding] * layer.dilation_rate)
    pools = isinstance(layer, AtrousPooling2D)
    return field.windowed(reach * layer.dilation_rate + 1) if pools else field
