"""Reads Caffe's `.caffemodel` files, without Caffe.

A file is one protocol buffer message of type caffe.NetParameter. The wire format in short: a
message is a sequence of fields, each a key (field number and wire type) and a value; the wire type
is enough to skip a value of unknown meaning. The field numbers below are those of Caffe's public
`caffe.proto`. The protobuf package would parse such files far more slowly, and copy the weights.
"""

import math
import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab_tf.errors import InputError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}

_NET_LAYER, _NET_OLD_LAYER = 100, 2  # NetParameter: layer; layers of Caffe before 2015
_MOST_AXES, _LONGEST_AXIS = 32, 1 << 31  # Caffe's own limits
_BLOB_SHAPE, _BLOB_DATA, _BLOB_DOUBLES = 7, 5, 8
_OLD_SHAPE = (1, 2, 3, 4)  # num, channels, height, width, instead of a shape
_SHAPE_DIM = 1
_CONVOLUTION_HOLE, _CONVOLUTION_DILATION = 17, 18
_POOLING_METHOD, _POOLING_SIZE, _POOLING_STRIDE, _POOLING_PAD = 1, 2, 3, 4
_BATCH_NORM_EPSILON, EPSILON = 3, 1e-5  # field number; Caffe's default


class _LayerFields(NamedTuple):
    """Field numbers of a layer; `dilation` are the convolution's fields for its dilation rate."""

    name: int
    blobs: int
    convolution: int
    pooling: int
    batch_norm: int | None
    dilation: tuple


# In old files field 17 is DeepLab v1's own "hole", its dilation rate; in new files it is another.
_LAYER = _LayerFields(1, 7, 106, 121, 139, (_CONVOLUTION_DILATION,))
_OLD_LAYER = _LayerFields(4, 6, 10, 19, None, (_CONVOLUTION_HOLE, _CONVOLUTION_DILATION))


class Pooling(NamedTuple):
    """The window of a pooling layer: side, stride and padding in cells; maximum or average."""

    size: int
    stride: int
    pad: int
    average: bool


class CaffeLayer(NamedTuple):
    """One layer of a file.

    Attributes:
      name: the layer's name.
      blobs: its weights, float32 arrays in Caffe's order and shapes; read-only.
      rate: dilation rate of a convolution; None if the file does not store it.
      pooling: of a pooling layer, its `Pooling`, else None.
      epsilon: added to the variance by a batch normalization.
    """

    name: str
    blobs: tuple = ()
    rate: int | None = None
    pooling: Pooling | None = None
    epsilon: float = EPSILON


class _MalformedError(ValueError):
    """The bytes are not a valid message; the error's text says where."""


def read_caffemodel(path):
    """Read the layers of a `.caffemodel` file.

    The arrays are views of the file, which is mapped into memory; only arrays stored in an unusual
    way are copied.

    Args:
      path: the file.

    Returns:
      tuple of `CaffeLayer` in the file's order, including those without weights.

    Raises:
      InputError: if the file is missing, truncated, damaged or not a `.caffemodel`.

    Example:
      >>> {layer.name: layer.blobs[0].shape for layer in read_caffemodel(path) if layer.blobs}
      {'conv1_1': (64, 3, 3, 3), ...}
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the authors' .caffemodel")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; download it again")
    with path.open("rb") as file:
        contents = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        layers = tuple(_layers(contents))
    except _MalformedError as error:
        raise InputError(
            f"{path}: truncated, or not a .caffemodel ({error}); download it again"
        ) from error
    if not layers:
        raise InputError(f"{path}: has no Caffe layers; give the authors' .caffemodel")
    return layers


def _layers(contents):
    for number, wire, value in _fields(contents, (0, len(contents))):
        if number == _NET_LAYER:
            yield _layer(contents, _span(wire, value), _LAYER)
        elif number == _NET_OLD_LAYER:
            yield _layer(contents, _span(wire, value), _OLD_LAYER)


def _layer(contents, span, fields):
    name, blobs, settings = "", [], {}
    for number, wire, value in _fields(contents, span):
        if number == fields.name:
            start, end = _span(wire, value)
            try:
                name = contents[start:end].decode("utf-8")
            except UnicodeDecodeError as error:
                raise _MalformedError(f"name is not UTF-8 text at byte {start}") from error
        elif number == fields.blobs:
            blobs.append(_blob(contents, _span(wire, value)))
        elif number == fields.convolution:
            numbers = _numbers(contents, _span(wire, value))
            settings["rate"] = next(filter(None, map(numbers.get, fields.dilation)), 1)
        elif number == fields.pooling:
            numbers = _numbers(contents, _span(wire, value))
            settings["pooling"] = Pooling(
                numbers.get(_POOLING_SIZE, 0),
                numbers.get(_POOLING_STRIDE, 1),
                numbers.get(_POOLING_PAD, 0),
                numbers.get(_POOLING_METHOD, 0) == 1,
            )
        elif number == fields.batch_norm:
            settings["epsilon"] = _epsilon(contents, _span(wire, value))
    return CaffeLayer(name, tuple(blobs), **settings)


def _epsilon(contents, span):
    for number, wire, value in _fields(contents, span):
        if number == _BATCH_NORM_EPSILON:
            return float(_array(contents, wire, value, _FIXED32, "<f4")[-1])
    return EPSILON


def _numbers(contents, span):
    """The integers of a message, {field number: value}."""
    return {number: value for number, wire, value in _fields(contents, span) if wire == _VARINT}


def _blob(contents, span):
    shape, old_shape, chunks = None, {}, []
    for number, wire, value in _fields(contents, span):
        if number == _BLOB_SHAPE:
            shape = _shape(contents, _span(wire, value))
        elif number in _OLD_SHAPE and wire == _VARINT:
            old_shape[number] = value
        elif number == _BLOB_DATA:
            chunks.append(_array(contents, wire, value, _FIXED32, "<f4"))
        elif number == _BLOB_DOUBLES:
            chunks.append(_array(contents, wire, value, _FIXED64, "<f8").astype(np.float32))
    values = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.float32), *chunks])
    if shape is None:
        shape = [old_shape.get(field, 0) for field in _OLD_SHAPE] if old_shape else values.shape
    if len(shape) > _MOST_AXES or max(shape, default=0) > _LONGEST_AXIS:
        raise _MalformedError(f"an array of {len(shape)} axes, the longest of {max(shape)}")
    if math.prod(shape) != len(values):
        raise _MalformedError(f"{len(values)} values for the shape {tuple(shape)}")
    return values.reshape(shape)


def _shape(contents, span):
    dims = []
    for number, wire, value in _fields(contents, span):
        if number == _SHAPE_DIM and wire == _VARINT:
            dims.append(value)
        elif number == _SHAPE_DIM:
            position, end = _span(wire, value)
            while position < end:
                dim, position = _varint(contents, position, end)
                dims.append(dim)
    return dims


def _array(contents, wire, value, fixed, dtype):
    """A repeated number field as an array; it is packed into one value, or a run of single fields.

    Args:
      contents: the file's bytes.
      wire, value: as `_fields` yields them.
      fixed: wire type of a single number.
      dtype: NumPy type of the numbers.
    """
    start, end = value if wire in (_BYTES, fixed) else _span(wire, value)
    width = _WIDTHS[fixed]
    if wire == fixed:
        record = np.dtype([("key", "u1", (1,)), ("number", dtype)])
        return np.frombuffer(contents, record, (end - start) // (width + 1), start)["number"]
    if (end - start) % width:
        raise _MalformedError(f"{end - start} bytes at byte {start} are not a multiple of {width}")
    return np.frombuffer(contents, dtype, (end - start) // width, start)


def _span(wire, value):
    if wire != _BYTES:
        raise _MalformedError(f"a field has wire type {wire} instead of {_BYTES}")
    return value


def _fields(contents, span):
    """Iterate over a message's fields.

    Args:
      contents: the file's bytes.
      span: first byte of the message, and the one after its last.

    Yields:
      (field number, wire type, value): an int for wire type 0, else the span of the value. For
      numbers of fixed width it is the span of a whole run of equal fields, keys included.
    """
    position, end = span
    while position < end:
        start = position
        key, position = _varint(contents, position, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(contents, position, end)
        elif wire == _BYTES:
            length, position = _varint(contents, position, end)
            value = position, position + length
            position += length
        elif wire in _WIDTHS:
            position = _run_end(contents, start, position + _WIDTHS[wire], end)
            value = start, position
        if not number or wire not in (_VARINT, _BYTES, *_WIDTHS) or position > end:
            raise _MalformedError(f"field {number} at byte {start} does not end by byte {end}")
        yield number, wire, value


def _run_end(contents, start, stop, end):
    """The end of the run of fields with the one-byte key of the field from `start` to `stop`."""
    width = stop - start
    if contents[start] > 127 or stop >= end or contents[stop] != contents[start]:
        return stop
    records = np.frombuffer(contents, np.uint8, (end - start) // width * width, start)
    differs = records[::width] != contents[start]
    return start + width * int(np.argmax(differs) if differs.any() else len(differs))


def _varint(contents, position, end):
    """An integer stored as 7 bits per byte, lowest first, and the position after it."""
    value = 0
    for index in range(10):
        if position + index >= end:
            break
        byte = contents[position + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, position + index + 1
    raise _MalformedError(f"no integer at byte {position}")
