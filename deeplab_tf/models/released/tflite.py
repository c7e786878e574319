"""Reads the convolutions of a `.tflite` file, without running it.

A file is one FlatBuffer of TensorFlow's public schema `schema.fbs`. The format in short: a table
begins with the offset of its vtable, which holds the place of every field, 0 for an absent one;
strings, vectors and tables inside a table are offsets from where they are noted. The field numbers
below are the positions in the schema. A reader of our own cannot be made to run anything, and a
damaged file gives an error instead of a crash.
"""

import math
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab_tf.errors import InputError

_MODEL_CODES, _MODEL_GRAPHS, _MODEL_BUFFERS = 1, 2, 4
_CODE_OLD, _CODE_NEW = 0, 3  # numbers above 127 are only in the newer field
_GRAPH_TENSORS, _GRAPH_OPERATORS = 0, 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME, _TENSOR_QUANTIZATION = range(5)
_SCALE, _ZERO_POINT, _AXIS = 2, 3, 6  # of the quantization
_BUFFER_DATA = 0
_CONV_2D, _DEPTHWISE_CONV_2D, _RESIZE_BILINEAR = 3, 4, 23  # BuiltinOperator
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}  # TensorType
# What the converters append to the name of a layer's weights.
_ENDING = re.compile(r"/(weights|depthwise_weights)(_quant)?(/.*)?$")


class Convolutions(NamedTuple):
    """The convolutions of a `.tflite` file.

    Attributes:
      variables: {name: float32 array} with the names and shapes of the authors' variables:
        `SCOPE/weights` (rows, columns, inputs, outputs), `SCOPE/depthwise_weights` (rows, columns,
        channels, 1) and `SCOPE/biases`. Batch normalization is folded into them.
      magnified: {scope: factor} of the convolutions whose result the interpreter multiplies: its
        bilinear resizing copies 8-bit numbers even where the file gives its result another scale.
    """

    variables: dict
    magnified: dict


def read_tflite(path):
    """The kernels and biases of a network's convolutions, dequantized.

    Args:
      path: `.tflite` file with float or 8-bit weights, quantized per tensor or per channel.

    Returns:
      `Convolutions`.

    Raises:
      InputError: if the file is truncated or no `.tflite` file.

    Example:
      >>> read_tflite("deeplabv3_mnv2_pascal.tflite").variables["logits/semantic/biases"].shape
      (21,)
    """
    data = Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        raise InputError(f"{path}: not a .tflite file, or damaged; download it again")
    try:
        return _convolutions(data)
    except (struct.error, IndexError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: truncated, or not a .tflite file; download it again") from error


def _convolutions(data):
    model = _Table(data, _number(data, 0, "I"))
    codes = [
        max(code.scalar(_CODE_OLD, "b"), code.scalar(_CODE_NEW, "i"))
        for code in model.tables(_MODEL_CODES)
    ]
    buffers = model.tables(_MODEL_BUFFERS)
    graph = model.tables(_MODEL_GRAPHS)[0]
    tensors = graph.tables(_GRAPH_TENSORS)
    variables, magnified, makers = {}, {}, {}  # makers: number of a tensor -> scope
    for operator in graph.tables(_GRAPH_OPERATORS):
        code = codes[operator.scalar(_OPERATOR_CODE, "I")]
        inputs = operator.vector(_OPERATOR_INPUTS, "<i4")
        output = operator.vector(_OPERATOR_OUTPUTS, "<i4")[0]
        if code in (_CONV_2D, _DEPTHWISE_CONV_2D):
            scope = _ENDING.sub("", tensors[inputs[1]].text(_TENSOR_NAME))
            kind = "weights" if code == _CONV_2D else "depthwise_weights"
            # Stored as (outputs, rows, columns, inputs) and as (1, rows, columns, channels).
            kernel = _dequantized(tensors[inputs[1]], buffers)
            variables[f"{scope}/{kind}"] = kernel.transpose(1, 2, 3, 0)
            if inputs.size > 2 and inputs[2] >= 0:
                variables[f"{scope}/biases"] = _dequantized(tensors[inputs[2]], buffers)
            makers[output] = scope
        elif code == _RESIZE_BILINEAR and inputs[0] in makers:
            before, after = (_quantization(tensors[number])[0] for number in (inputs[0], output))
            if before.size == after.size == 1 and before != after:
                magnified[makers[inputs[0]]] = float(after[0] / before[0])
    return Convolutions(variables, magnified)


def _dequantized(tensor, buffers):
    """A constant tensor as float32: (stored number - zero point) x scale."""
    shape = [int(size) for size in tensor.vector(_TENSOR_SHAPE, "<i4")]
    contents = buffers[tensor.scalar(_TENSOR_BUFFER, "I")].vector(_BUFFER_DATA, "u1")
    values = contents.view(_DTYPES[tensor.scalar(_TENSOR_TYPE, "b")])
    if min(shape, default=1) < 0 or values.size != math.prod(shape):
        raise ValueError("a tensor whose size is not that of its shape")
    values = values.reshape(shape).astype(np.float32)
    scale, zero = _quantization(tensor)
    if not scale.size:
        return values
    if scale.size > 1:  # along one axis
        along = [1] * values.ndim
        along[tensor.table(_TENSOR_QUANTIZATION).scalar(_AXIS, "i")] = -1
        scale, zero = scale.reshape(along), zero.reshape(along)
    return (values - zero) * scale


def _quantization(tensor):
    """Scales and zero points of a tensor, one of each or as many as channels; empty: floats."""
    quantization = tensor.table(_TENSOR_QUANTIZATION)
    scale = quantization.vector(_SCALE, "<f4") if quantization else np.empty(0, np.float32)
    zero = quantization.vector(_ZERO_POINT, "<i8") if scale.size else np.empty(0)
    return scale, (zero if zero.size else np.zeros(scale.shape)).astype(np.float32)


def _number(data, place, kind):
    if place < 0:
        raise IndexError(place)
    return struct.unpack_from(f"<{kind}", data, place)[0]


class _Table:
    """One table of a FlatBuffer; every place is checked against the end of the file."""

    def __init__(self, data, place):
        self.data, self.place = data, place
        self.vtable = place - _number(data, place, "i")
        self.fields = (_number(data, self.vtable, "H") - 4) // 2

    def _place(self, field):
        """Where a field is; 0 if it is absent."""
        if field >= self.fields:
            return 0
        offset = _number(self.data, self.vtable + 4 + 2 * field, "H")
        return offset and self.place + offset

    def scalar(self, field, kind):
        """A number; 0, the default of all fields that are read here, if it is absent."""
        place = self._place(field)
        return _number(self.data, place, kind) if place else 0

    def _target(self, field):
        """Where a field's offset leads; 0 if it is absent."""
        place = self._place(field)
        return place and place + _number(self.data, place, "I")

    def table(self, field):
        """A table inside this one, or None."""
        place = self._target(field)
        return _Table(self.data, place) if place else None

    def vector(self, field, dtype):
        """A vector of numbers, empty if it is absent."""
        place = self._target(field)
        count = _number(self.data, place, "I") if place else 0
        return np.frombuffer(self.data, dtype, count, place + 4 if count else 0)

    def tables(self, field):
        """A list of tables, empty if it is absent."""
        place = self._target(field)
        starts = range(place + 4, place + 4 + 4 * len(self.vector(field, "<u4")), 4)
        return [_Table(self.data, start + _number(self.data, start, "I")) for start in starts]

    def text(self, field):
        """A string, empty if it is absent."""
        return self.vector(field, "u1").tobytes().decode("utf-8")
