"""Writes small `.tflite` files, after TensorFlow's public schema."""

import flatbuffers
import numpy as np

CONV_2D, DEPTHWISE_CONV_2D, RESIZE_BILINEAR = 3, 4, 23
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}


class TfliteFile:
    """Tensors and operators, in the order in which they are added."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1024)
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [self._table({}, 1)]  # the first buffer is empty

    def tensor(self, name, array=None, scale=None, zero=None, axis=0):
        """Add a tensor, constant with an array; scale and zero: numbers or a list for each."""
        array_or_map = np.zeros(0, "uint8") if array is None else array
        buffer = 0
        if array is not None:
            data = self.builder.CreateNumpyVector(np.frombuffer(array.tobytes(), np.uint8))
            buffer = len(self.buffers)
            self.buffers.append(self._table({0: ("offset", data)}, 1))
        fields = {
            0: ("offset", self.builder.CreateNumpyVector(np.int32(array_or_map.shape))),
            1: ("Int8", TYPES[str(array_or_map.dtype)]),
            2: ("Uint32", buffer),
            3: ("offset", self.builder.CreateString(name)),
        }
        if scale is not None:
            scales = self.builder.CreateNumpyVector(np.atleast_1d(np.float32(scale)))
            quantization = {2: ("offset", scales), 6: ("Int32", axis)}
            if zero is not None:
                zeros = self.builder.CreateNumpyVector(np.atleast_1d(np.int64(zero)))
                quantization[3] = ("offset", zeros)
            fields[4] = ("offset", self._table(quantization, 7))
        self.tensors.append(self._table(fields, 5))
        return len(self.tensors) - 1

    def operator(self, code, inputs, output):
        """Add an operator on the numbers of tensors."""
        if code not in self.codes:
            self.codes.append(code)
        fields = {
            0: ("Uint32", self.codes.index(code)),
            1: ("offset", self.builder.CreateNumpyVector(np.int32(inputs))),
            2: ("offset", self.builder.CreateNumpyVector(np.int32([output]))),
        }
        self.operators.append(self._table(fields, 3))

    def contents(self):
        """The file, as bytes."""
        codes = [self._table({0: ("Int8", code)}, 4) for code in self.codes]
        graph = {0: self._vector(self.tensors), 3: self._vector(self.operators)}
        fields = {1: self._vector(codes), 2: self._vector([self._table(graph, 5)])}
        fields[4] = self._vector(self.buffers)
        self.builder.Finish(self._table(fields, 5), file_identifier=b"TFL3")
        return bytes(self.builder.Output())

    def _vector(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return "offset", self.builder.EndVector()

    def _table(self, fields, count):
        self.builder.StartObject(count)
        for number, (kind, value) in fields.items():
            if kind == "offset":
                self.builder.PrependUOffsetTRelativeSlot(number, value, 0)
            else:
                getattr(self.builder, f"Prepend{kind}Slot")(number, value, 0)
        return self.builder.EndObject()
