"""Writes files as PyTorch's `torch.save` does, and computes its networks, both without PyTorch."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import tensorflow as tf

_TORCH, _UTILS = types.ModuleType("torch"), types.ModuleType("torch._utils")


def _named(module, name, what):
    what.__module__, what.__qualname__, what.__name__ = module.__name__, name, name
    setattr(module, name, what)
    return what


_rebuild_tensor = _named(_UTILS, "_rebuild_tensor_v2", lambda *_: None)
_rebuild_parameter = _named(_UTILS, "_rebuild_parameter", lambda *_: None)
_KINDS = {
    np.dtype(dtype): _named(_TORCH, name, type(name, (), {}))
    for dtype, name in (("f4", "FloatStorage"), ("f2", "HalfStorage"), ("i8", "LongStorage"))
}
BFLOAT16 = _named(_TORCH, "BFloat16Storage", type("BFloat16Storage", (), {}))


class TensorOf:
    """A tensor in a file: a view of the numbers of an array.

    Args:
      numbers: array of one axis.
      sizes, strides, offset: of the view, in numbers; None: all of them.
      kind: class of the storage; None: that of the array's dtype.
      parameter: whether it is wrapped as a parameter of a layer.
    """

    def __init__(self, numbers, sizes=None, strides=None, offset=0, kind=None, parameter=False):
        self.numbers, self.offset, self.parameter = numbers, offset, parameter
        self.sizes = (numbers.size,) if sizes is None else sizes
        self.strides = strides if strides is not None else (1,)
        self.kind = kind or _KINDS[numbers.dtype]

    @classmethod
    def whole(cls, array):
        array = np.ascontiguousarray(array)
        strides = tuple(step // array.itemsize for step in array.strides)
        return cls(array.reshape(-1), array.shape, strides)

    def __reduce__(self):
        view = (_Numbers(self), self.offset, self.sizes, self.strides, False, OrderedDict())
        if self.parameter:
            return _rebuild_parameter, (TensorOf(*self._arguments()), True, OrderedDict())
        return _rebuild_tensor, view

    def _arguments(self):
        return self.numbers, self.sizes, self.strides, self.offset, self.kind


class _Numbers:
    def __init__(self, tensor):
        self.tensor = tensor


class _Pickler(pickle.Pickler):
    """Notes the storages by key."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, obj):
        if not isinstance(obj, _Numbers):
            return None
        numbers = obj.tensor.numbers
        key = next((k for k, x in self.storages.items() if x is numbers), str(len(self.storages)))
        self.storages[key] = numbers
        return "storage", obj.tensor.kind, key, "cpu", numbers.size


@contextlib.contextmanager
def _importable():
    """Pickles name functions by their modules, which must be there while they are written."""
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": _TORCH, "torch._utils": _UTILS})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def pickled(content):
    """The pickle of a content, and {key: numbers} of its storages."""
    file = io.BytesIO()
    with _importable():
        pickler = _Pickler(file)
        pickler.dump(content)
    return file.getvalue(), pickler.storages


def state_dict(arrays):
    """What `model.state_dict()` is, with the attribute that PyTorch adds."""
    content = OrderedDict((name, TensorOf.whole(array)) for name, array in arrays.items())
    content._metadata = OrderedDict({"": {"version": 1}})
    return content


def write_torch(path, content, old=False):
    """Write a content as the zip file of today, or as the file of before PyTorch 1.6."""
    data, storages = pickled(content)
    if not old:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/byteorder", "little")
            for key, numbers in storages.items():
                archive.writestr(f"archive/data/{key}", numbers.tobytes())
            archive.writestr("archive/version", "3\n")
        return
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, about)]
    parts += [data, pickle.dumps(list(storages), 2)]
    parts += [struct.pack("<q", x.size) + x.tobytes() for x in storages.values()]
    path.write_bytes(b"".join(parts))


class TorchNetwork:
    """Computes DeepLab v2's ResNets as their PyTorch port does, and draws the weights.

    Attributes:
      arrays: {the port's name: array} of what has been drawn so far.
    """

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.arrays = {}

    def convolution(self, name, x, filters, size=1, stride=1, rate=1, bias=False):
        shape = (filters, x.shape[-1], size, size)
        kernel = self.rng.normal(scale=(1.5 / np.prod(shape[1:])) ** 0.5, size=shape)
        self.arrays[f"{name}.weight"] = kernel = np.float32(kernel)
        pad = (size - 1) // 2 * rate
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        x = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "VALID", dilations=rate)
        if bias:
            self.arrays[f"{name}.bias"] = np.float32(self.rng.normal(size=filters))
            x += self.arrays[f"{name}.bias"]
        return x

    def unit(self, name, x, filters, size=1, stride=1, rate=1, activate=True):
        """Convolution and normalization."""
        x = self.convolution(f"{name}.conv", x, filters, size, stride, rate)
        scale, variance = (np.float32(self.rng.uniform(0.6, 0.9, filters)) for _ in range(2))
        shift, mean = (np.float32(self.rng.normal(scale=0.1, size=filters)) for _ in range(2))
        values = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance}
        self.arrays |= {f"{name}.bn.{part}": value for part, value in values.items()}
        self.arrays[f"{name}.bn.num_batches_tracked"] = np.array(7)
        x = (x - mean) / np.sqrt(variance + np.float32(1e-5)) * scale + shift
        return tf.nn.relu(x) if activate else x

    def block(self, name, x, filters, stride=1, rate=1, first=False):
        y = self.unit(f"{name}.reduce", x, filters // 4, 1, stride)
        y = self.unit(f"{name}.conv3x3", y, filters // 4, 3, 1, rate)
        y = self.unit(f"{name}.increase", y, filters, activate=False)
        if first:
            x = self.unit(f"{name}.shortcut", x, filters, 1, stride, activate=False)
        return tf.nn.relu(x + y)

    def stem(self, x, filters):
        x = self.unit("base.layer1.conv1", x, filters, 7, 2)
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])  # after ReLU nothing is below 0
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    def resnet(self, x, units):
        """The map of output stride 8."""
        x = self.stem(x, 64)
        rows = zip(units, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)
        for number, (count, stride, rate) in enumerate(rows, 2):
            for unit in range(1, count + 1):
                name, first = f"base.layer{number}.block{unit}", unit == 1
                x = self.block(name, x, 64 << number, stride if first else 1, rate, first)
        return x

    def scores(self, x, classes):
        branches = enumerate((6, 12, 18, 24))
        return sum(
            self.convolution(f"base.aspp.c{i}", x, classes, 3, 1, rate, bias=True)
            for i, rate in branches
        )
