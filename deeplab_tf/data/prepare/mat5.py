"""Reading MATLAB files of the versions 5 to 7.

SciPy's reader trusts the sizes and types that a file claims, and a damaged one can end the process.
Here every size is compared with the bytes that are there, and damage is an exception.
The names are those of MathWorks' "MAT-File Format".
"""

import itertools
import math
import struct
import zlib
from types import SimpleNamespace

import numpy as np

HEADER_SIZE = 128  # bytes of text, version and byte order before the variables
MAX_BYTES = 1 << 28  # of a variable after decompression
MAX_NAMES = 1 << 20  # bytes of the names of a struct's fields
MAX_LEVELS = 30  # of structs and cells within others
MAX_VALUES = 500_000  # in all structs and cells of a file

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
            13: "u8"}  # fmt: skip
_CODECS = {1: "latin-1", 2: "latin-1", 4: "utf-16-{}", 16: "utf-8", 17: "utf-16-{}",
           18: "utf-32-{}"}  # fmt: skip
_CELL, _STRUCT, _OBJECT, _TEXT, _SPARSE = 1, 2, 3, 4, 5
_NUMERIC = range(6, 16)
_COMPLEX = 8  # a bit of the flags
_EMPTY = np.zeros(0)


def version_of(contents):
    """The version in a file's header: 1 for 5 to 7, 2 for 7.3; None for anything else."""
    order = {b"IM": "<", b"MI": ">"}.get(contents[126:HEADER_SIZE])
    return struct.unpack_from(order + "H", contents, 124)[0] >> 8 if order else None


def read_mat5(contents):
    """Read all variables of a MATLAB file of the versions 5 to 7.

    Args:
      contents: bytes of the file, of which `version_of` is 1.

    Returns:
      {name: value}. Axes of length 1 are left out, and an array of one value is this value. A
      struct is an object with its fields as attributes; numbers have the type that the file stores
      them in; sparse matrices, functions and objects of classes are None.

    Raises:
      ValueError, OverflowError, zlib.error: if the file is damaged.

    Example:
      >>> read_mat5(Path("trainval/2008_000002.mat").read_bytes())["LabelMap"].shape
      (375, 500)
    """
    order = "<" if contents[126:HEADER_SIZE] == b"IM" else ">"
    data, found = _Elements(contents[HEADER_SIZE:], order), {}
    while data.left:
        kind, element = data.take(padded=False)
        if kind == _COMPRESSED:
            kind, element = data.inside(_inflated(element)).take(padded=False)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} instead of a variable")
        name, value = _variable(data.inside(element), 0)
        found[name] = value
    return found


class _Elements:
    """The elements of a file or of a variable, which are taken one after the other."""

    def __init__(self, data, order, counter=None):
        self._data, self.order, self._place = memoryview(data), order, 0
        self.counter = counter or itertools.count()  # of the values of the whole file

    def inside(self, data):
        """The elements of a part of the same file."""
        return _Elements(data, self.order, self.counter)

    @property
    def left(self):
        """The number of bytes that are not taken yet."""
        return len(self._data) - self._place

    def take(self, padded=True):
        """The type and the bytes of the next element, which `padded` elements fill up to 8."""
        if self.left < 8:
            raise ValueError("cut off in the head of an element")
        kind, size = struct.unpack_from(self.order + "II", self._data, self._place)
        start = self._place + 8
        if kind >> 16:  # a small element: its size, its type, and up to 4 bytes
            kind, size, start = kind & 0xFFFF, kind >> 16, self._place + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
            self._place += 8
        else:
            if size > len(self._data) - start:
                raise ValueError(f"an element of {size} bytes, of which {self.left - 8} are there")
            # The last padding may be missing.
            end = start + size + (-size % 8 if padded else 0)
            self._place = min(end, len(self._data))
        return kind, self._data[start : start + size]

    def numbers(self):
        """The next element as a 1-D array."""
        kind, data = self.take()
        if kind not in _NUMBERS:
            raise ValueError(f"an element of type {kind} instead of numbers")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(data, dtype.newbyteorder(self.order)).astype(dtype)


def _inflated(data):
    stream = zlib.decompressobj()
    found = stream.decompress(data, MAX_BYTES)
    if stream.unconsumed_tail:
        raise ValueError(f"a variable of more than {MAX_BYTES} bytes")
    if not stream.eof:
        raise ValueError("cut off in a compressed variable")
    return found


def _variable(elements, level):
    """The name and the value of a variable, of a cell, or of a field."""
    if next(elements.counter) > MAX_VALUES or level > MAX_LEVELS:
        raise ValueError(f"more than {MAX_VALUES} values, or {MAX_LEVELS} levels")
    size = elements.left
    if not size:
        return "", _EMPTY
    flags = elements.numbers()
    if len(flags) != 2 or flags.dtype != np.uint32:
        raise ValueError("a variable without flags")
    kind, bits = int(flags[0]) & 0xFF, int(flags[0]) >> 8
    if kind > _NUMERIC[-1]:  # functions and objects of classes have no documented form
        return "", None
    shape = [int(size) for size in elements.numbers()]
    if not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise ValueError(f"an array of the shape {shape[:32]}")
    name = elements.take()[1].tobytes().decode("utf-8", "replace")
    if kind == _SPARSE:
        return name, None
    if math.prod(shape) > size:  # every value takes a byte or more
        raise ValueError(f"an array of the shape {shape} in {size} bytes")
    if kind in _NUMERIC:
        return name, _numbers(elements, shape, bits & _COMPLEX)
    if kind == _TEXT:
        return name, _text(*elements.take(), shape, elements.order)
    if kind not in (_CELL, _STRUCT, _OBJECT):
        raise ValueError(f"a variable of the unknown class {kind}")
    names = _field_names(elements, kind == _OBJECT) if kind != _CELL else [None]
    count = math.prod(shape)
    if count * len(names) > elements.left // 8 or (count > 1 and not names):
        raise ValueError(f"{count} values of {len(names)} fields in {elements.left} bytes")
    values = ([_inner(elements, level) for _ in names] for _ in range(count))
    if kind == _CELL:
        return name, _filled([value for (value,) in values], shape)
    rows = (zip(names, value, strict=True) for value in values)
    return name, _filled([SimpleNamespace(**dict(row)) for row in rows], shape)


def _inner(elements, level):
    kind, element = elements.take()
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind} instead of a value")
    return _variable(elements.inside(element), level + 1)[1]


def _squeezed(array):
    if not array.size:
        return np.zeros(0, array.dtype)
    return array.squeeze() if array.size > 1 else array.item()


def _filled(values, shape):
    """Values of any kind as an array of objects, in MATLAB's order."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):  # NumPy would look into arrays and lists
        array[index] = value
    return _squeezed(array.reshape(shape, order="F"))


def _numbers(elements, shape, is_complex):
    values = elements.numbers()
    if is_complex:
        values = values + 1j * elements.numbers()
    return _squeezed(values.reshape(shape, order="F"))


def _text(kind, data, shape, order):
    if kind not in _CODECS:
        raise ValueError(f"an element of type {kind} instead of a text")
    text = bytes(data).decode(_CODECS[kind].format("le" if order == "<" else "be"), "replace")
    if len(shape) == 2 and shape[0] <= 1:
        return text
    rows = np.array(list(text), "U1").reshape(shape, order="F").reshape(-1, shape[-1])
    return _squeezed(np.array(["".join(row) for row in rows]).reshape(shape[:-1]))


def _field_names(elements, has_class):
    """The names of the fields of a struct, or of an object, whose class comes first."""
    if has_class:
        elements.take()
    lengths, text = elements.numbers(), elements.take()[1].tobytes()
    if len(lengths) != 1 or lengths[0] <= 0 or len(text) > MAX_NAMES:
        raise ValueError("a struct without names of fields")
    length = int(lengths[0])
    names = (text[start : start + length] for start in range(0, len(text), length))
    return [name.partition(b"\0")[0].decode("utf-8", "replace") for name in names]
