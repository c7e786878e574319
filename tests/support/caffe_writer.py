"""Writes `.caffemodel` files, and computes what Caffe would compute with the same layers.

`CaffeNetwork` does both at once: each of its methods is one of Caffe's layers, which draws random
weights, records them for the file, and returns its result in float64 NumPy. It follows Caffe's
conventions (padding on both sides, poolings rounded up, separate BatchNorm and Scale) and shares
no code with the package.
"""

import struct

import numpy as np

EPSILON = 1e-5


def varint(number):
    """An integer as 7 bits per byte, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def number_field(field, number):
    return varint(field << 3) + varint(number)


def bytes_field(field, contents):
    contents = contents.encode() if isinstance(contents, str) else contents
    return varint(field << 3 | 2) + varint(len(contents)) + contents


def float_field(field, number):
    return varint(field << 3 | 5) + struct.pack("<f", number)


def blob(array, kind="packed"):
    """A BlobProto: "packed" floats, "unpacked" ones, packed "doubles", or "old" 4-D shape."""
    array = np.asarray(array, np.float32)
    if kind == "old":
        shape = (1,) * (4 - array.ndim) + array.shape
        start = b"".join(number_field(1 + axis, size) for axis, size in enumerate(shape))
        return start + bytes_field(5, array.tobytes())
    shape = bytes_field(7, bytes_field(1, b"".join(map(varint, array.shape))))
    if kind == "unpacked":
        return shape + b"".join(float_field(5, number) for number in array.ravel())
    if kind == "doubles":
        return shape + bytes_field(8, array.astype("<f8").tobytes())
    return bytes_field(5, array.tobytes()) + shape  # fields may come in any order


def layer(name, kind, blobs=(), settings=b""):
    """A field of NetParameter: one layer in the format of Caffe since 2015."""
    contents = [bytes_field(1, name), bytes_field(2, kind), bytes_field(3, "bottom")]
    contents += [bytes_field(7, blob(array)) for array in blobs]
    return bytes_field(100, b"".join(contents) + settings)


def old_layer(name, kind, blobs=(), settings=b""):
    """One layer in the format of DeepLab v1's Caffe: other fields, a number as the type."""
    contents = [bytes_field(2, "bottom"), bytes_field(4, name), number_field(5, kind)]
    contents += [bytes_field(6, blob(array, "old")) for array in blobs]
    contents += [float_field(7, 1.0), float_field(7, 2.0)]  # its learning rates
    return bytes_field(2, b"".join(contents) + settings)


class CaffeNetwork:
    """A network that computes its result and can be written; maps are (C, H, W) float64.

    Args:
      old: whether to write the format of DeepLab v1's Caffe.
      seed: of the weights.
    """

    def __init__(self, old=False, seed=0):
        self.old, self.rng = old, np.random.default_rng(seed)
        self.written = [bytes_field(1, "DeepLab")]

    def write(self, path):
        with path.open("wb") as file:
            file.writelines(self.written)
        return path

    def note(self, name, kind, blobs=(), settings=b""):
        kinds = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17}
        kinds |= {"Dropout": 6, "ReLU": 18, "Softmax": 20, "Split": 22, "Deconvolution": 39}
        writer = old_layer if self.old else layer
        self.written.append(writer(name, kinds[kind] if self.old else kind, blobs, settings))

    def draw(self, *shape, scale=1.0, shift=0.0):
        return self.rng.standard_normal(shape, np.float32) * np.float32(scale) + np.float32(shift)

    def conv(self, name, x, filters, size, pad=0, rate=1, stride=1, bias=True, copies=(), groups=1):
        inputs = len(x) // groups
        kernel = self.draw(filters, inputs, size, size, scale=(2 / inputs / size**2) ** 0.5)
        blobs = [kernel, self.draw(filters, scale=0.1)] if bias else [kernel]
        settings = number_field(1, filters) + number_field(3, pad) + number_field(4, size)
        if groups > 1:
            settings += number_field(5, groups)
        if rate > 1:
            settings += number_field(17 if self.old else 18, rate)
        settings = bytes_field(10 if self.old else 106, settings)
        for copy in (name, *copies):
            self.note(copy, "Convolution", blobs, settings)
        pairs = zip(np.split(x, groups), np.split(kernel.astype(np.float64), groups), strict=True)
        y = np.concatenate([convolve(*pair, pad, rate, stride) for pair in pairs])
        return y + blobs[1][:, None, None] if bias else y

    def pool(self, name, x, size, stride, pad, average=False):
        settings = number_field(1, int(average)) + number_field(2, size)
        settings += number_field(3, stride) + number_field(4, pad)
        self.note(name, "Pooling", (), bytes_field(19 if self.old else 121, settings))
        return pool(x, size, stride, pad, average)

    def inner_product(self, name, x, filters):
        """A fully connected layer over a map of one fixed size, or a vector."""
        matrix, bias = self.draw(filters, x.size, scale=(2 / x.size) ** 0.5), self.draw(filters)
        self.note(name, "InnerProduct", [matrix, bias])
        return matrix.astype(np.float64) @ x.ravel() + bias

    def deconv(self, name, x, size, stride, grouped=False):
        """A transposed convolution of all channels, or of each by itself, without bias."""
        count = len(x)
        kernel = self.draw(count, 1 if grouped else count, size, size, scale=1 / size)
        self.note(name, "Deconvolution", [kernel])
        if grouped:
            kernel = np.eye(count)[:, :, None, None] * kernel
        return spread(x, kernel.astype(np.float64), stride)

    def lrn(self, name, x):
        self.note(name, "LRN")
        return local_response(x, 5, 1e-4, 0.75)

    def batch_norm(self, name, x, factor=1.0):
        mean = self.draw(len(x), scale=0.3)
        variance = 0.2 + self.draw(len(x)) ** 2
        blobs = [mean * np.float32(factor), variance * np.float32(factor), np.float32([factor])]
        self.note(name, "BatchNorm", blobs)
        centered = x - mean.astype(np.float64)[:, None, None]
        return centered / np.sqrt(variance.astype(np.float64) + EPSILON)[:, None, None]

    def scale(self, name, x, gain=1.0):
        gamma, beta = self.draw(len(x), scale=0.1, shift=gain), self.draw(len(x), scale=0.1)
        self.note(name, "Scale", [gamma, beta])
        return x * gamma[:, None, None] + beta[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def local_response(x, size, alpha, beta):
    """(C, H, W) divided by (1 + alpha times the mean square of `size` channels)^beta."""
    padded = np.pad(np.square(x), ((size // 2, size // 2), (0, 0), (0, 0)))
    total = sum(padded[i : i + len(x)] for i in range(size))
    return x / (1 + alpha / size * total) ** beta


def spread(x, kernel, stride):
    """(C, H, W) by a (C, D, k, k) kernel: every cell adds its kernel to the (D, ...) result."""
    size = kernel.shape[2]
    height, width = x.shape[1:]
    y = np.zeros((kernel.shape[1], (height - 1) * stride + size, (width - 1) * stride + size))
    for row, column in np.ndindex(size, size):
        rows = slice(row, row + (height - 1) * stride + 1, stride)
        columns = slice(column, column + (width - 1) * stride + 1, stride)
        y[:, rows, columns] += np.tensordot(kernel[:, :, row, column], x, (0, 0))
    return y


def crop(x, offset, like):
    """Cut (C, H, W) to the height and width of another map."""
    return x[:, offset : offset + like.shape[1], offset : offset + like.shape[2]]


def convolve(x, kernel, pad, rate, stride):
    """(C, H, W) by an (F, C, k, k) kernel, `pad` zeros on every side."""
    size = kernel.shape[2]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    span = (size - 1) * rate
    height, width = ((length - span - 1) // stride + 1 for length in x.shape[1:])
    total = 0
    for row in range(size):
        for column in range(size):
            rows = slice(row * rate, row * rate + (height - 1) * stride + 1, stride)
            columns = slice(column * rate, column * rate + (width - 1) * stride + 1, stride)
            total = total + np.tensordot(kernel[:, :, row, column], x[:, rows, columns], 1)
    return total


def pool(x, size, stride, pad, average=False):
    """Caffe's pooling: lengths rounded up, no window entirely in the padding, zeros averaged."""
    lengths = []
    for length in x.shape[1:]:
        count = -((length + 2 * pad - size) // -stride) + 1
        lengths.append(count - (pad > 0 and (count - 1) * stride >= length + pad))
    fill = 0.0 if average else -np.inf
    reach = [(count - 1) * stride + size for count in lengths]
    after = [max(r - n - pad, 0) for r, n in zip(reach, x.shape[1:], strict=True)]
    x = np.pad(x, ((0, 0), (pad, after[0]), (pad, after[1])), constant_values=fill)
    views = np.stack(
        [
            x[:, i : i + reach[0] - size + 1 : stride, j : j + reach[1] - size + 1 : stride]
            for i in range(size)
            for j in range(size)
        ]
    )
    return views.mean(0) if average else views.max(0)
