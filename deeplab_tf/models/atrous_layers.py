"""Dilated (atrous) layers: convolution, pooling, padding and global means on a denser grid.

`to_atrous` makes the maps of a network denser than those it was trained on. A grid of rate r
holds r x r interleaved copies of the original grid: the original cell i is the dense cell r * i.
Every layer here gives the original network's values at those cells, borders included.
"""

import functools
import itertools

import keras
import tensorflow as tf
from keras import ops

PADDINGS = ("valid", "same", "centered")


def runs_on_cpu():
    """Whether there is no GPU, whose libraries choose the fastest algorithm themselves."""
    return not tf.config.list_physical_devices("GPU")


@functools.cache
def native_dilation_works(dtype="float32"):
    """Whether `tf.nn.conv2d(dilations=...)` has a gradient on this machine; cached.

    Without oneDNN, TensorFlow's CPU kernels compute only the forward pass of a dilated
    convolution. On many processors the same is true of float16.

    Args:
      dtype: name of the dtype that is computed in.

    Returns:
      bool.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    window = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, 2, 2, 1]}
    with tf.init_scope():  # runs eagerly, even while a graph is being traced
        x, kernel, y = (
            tf.ones(shape, dtype) for shape in ((1, 9, 9, 3), (3, 3, 3, 2), (1, 9, 9, 2))
        )
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=y, **window
            )
            tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=y, **window
            )
        except tf.errors.OpError:
            return False
    return True


@keras.saving.register_keras_serializable(package="deeplab_tf")
class AtrousConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` of stride 1 that uses TensorFlow's dilated kernel if that works.

    Keras turns a dilated convolution into space-to-batch, a plain convolution and batch-to-space,
    which copies every map twice. Arguments, weights and results are those of Conv2D.

    Example:
      >>> AtrousConv2D(1024, 3, dilation_rate=12, padding="same")(x)
    """

    def convolution_op(self, inputs, kernel):
        """Convolve `(B, H, W, C)`; called by Keras."""
        supported = self.groups == 1 and self.data_format == "channels_last"
        if not (supported and native_dilation_works(self.compute_dtype)):
            return super().convolution_op(inputs, kernel)
        return tf.nn.conv2d(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding.upper(),
            dilations=self.dilation_rate,
        )


def _window_span(size, kernel_size, stride, rate, padding, extra=0):
    """Where a window that has lost its stride starts, and how many dense cells it gives.

    Args:
      size: cells of the dense input along one axis, an int or an integer tensor.
      kernel_size, stride: of the original window, in cells of the original grid.
      rate: dense cells per original cell.
      padding: "valid" or "same" as the original layer pads.
      extra: cells of zeros, in the original grid, that a padding layer has already added.

    Returns:
      `(before, length)`: dense cells of padding before the first one, and dense output cells;
      every (rate * stride)-th of these is a cell of the original layer's output.
    """
    cells = -(-size // rate)
    if padding == "valid":
        outputs = (cells - kernel_size) // stride + 1
        return 0, _minimum(size - extra * rate, outputs * stride * rate)
    outputs = -(-cells // stride)
    total = _maximum((outputs - 1) * stride + kernel_size - cells, 0)
    return total // 2 * rate, size


# Plain ints stay ints, so that static shapes stay known.
def _minimum(a, b):
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def _maximum(a, b):
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else ops.maximum(a, b)


class _Window(keras.layers.Layer):
    """The base of the layers below: the window of the original layer, and the rate."""

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        dilation_rate=1,
        padding="same",
        extra=(0, 0),
        keep_size=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding == "centred":  # the spelling in files of older versions
            padding = "centered"
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}")
        self.kernel_size, self.strides = tuple(kernel_size), tuple(strides)
        self.dilation_rate, self.padding = dilation_rate, padding
        self.extra, self.keep_size = tuple(extra), keep_size

    def _pad(self, x, value):
        """Pad so that a "valid" window of stride 1 gives the original layer's cells.

        The result is `(B, H' + (kernel_size - 1) * rate, W' + ..., C)` for a layer whose result
        is H' x W', at most H x W.
        """
        pads, lengths = [(0, 0)], [None]
        for axis in (0, 1):
            kernel_size, rate = self.kernel_size[axis], self.dilation_rate
            size, reach = ops.shape(x)[1 + axis], (kernel_size - 1) * rate
            if self.padding == "centered":  # the same at every size, as some converters need it
                before = (kernel_size - 1) // 2 * rate
                pads.append((before, reach - before))
                lengths.append(None)
                continue
            before, cells = _window_span(
                size, kernel_size, self.strides[axis], rate, self.padding, self.extra[axis]
            )
            if not self.keep_size and self.padding == "valid":
                cells = size - reach  # only windows that lie inside the map
            length = cells + reach
            pads.append((before, _maximum(length - before - size, 0)))
            lengths.append(length)
        x = ops.pad(x, (*pads, (0, 0)), constant_values=value)
        return x[:, : lengths[1], : lengths[2]]

    def get_config(self):
        names = ("kernel_size", "strides", "dilation_rate", "padding", "extra", "keep_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class WindowPadding2D(_Window):
    """Zeros around a map, as a window that has lost its stride needs them.

    A "valid" window of stride 1 and of this dilation rate then gives the original layer's cells.

    Args:
      kernel_size, strides: the original layer's window, a pair each.
      dilation_rate: dense cells per original cell, before this window.
      padding: "valid" or "same" as the original layer pads, or "centered": (kernel_size - 1) // 2
        cells before, so that output cell i is centered on input cell i * stride at every size.
      extra: cells already added by a padding layer before this one, in the original grid.
      keep_size: whether the map keeps its size as far as exactness allows.
    """

    def call(self, x):
        """Pad `(B, H, W, C)`."""
        return self._pad(x, 0.0)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class AtrousPooling2D(_Window):
    """Pooling of stride 1 whose window takes every `dilation_rate`-th cell.

    Args:
      pool: "max" or "average"; an average leaves the padding out of its mean.
      kernel_size, strides, dilation_rate, padding, extra, keep_size: see `WindowPadding2D`.
    """

    def __init__(self, pool, kernel_size, **window):
        super().__init__(kernel_size, **window)
        if pool not in ("max", "average"):
            raise ValueError(f'pool must be "max" or "average", got {pool!r}')
        self.pool = pool

    def call(self, x):
        """Pool `(B, H, W, C)`."""
        if self.pool == "max":
            padded = self._pad(x, float("-inf"))
            if self.dilation_rate == 1:
                return ops.max_pool(padded, self.kernel_size, strides=1, padding="valid")
            return self._reduce(padded, ops.maximum)
        count = self._reduce(self._pad(ops.ones_like(x[:1, :, :, :1]), 0.0), ops.add)
        return self._reduce(self._pad(x, 0.0), ops.add) / count

    def _reduce(self, x, combine):
        """Combine the shifted views of the padded map, one for each element of the window."""
        sizes = [
            ops.shape(x)[1 + axis] - (self.kernel_size[axis] - 1) * self.dilation_rate
            for axis in (0, 1)
        ]
        result = None
        for row, column in itertools.product(*map(range, self.kernel_size)):
            top, left = row * self.dilation_rate, column * self.dilation_rate
            view = x[:, top : top + sizes[0], left : left + sizes[1]]
            result = view if result is None else combine(result, view)
        return result

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "pool": self.pool}


class _SampledCells:
    """The base of the global poolings below: they see only every `dilation_rate`-th cell."""

    def __init__(self, dilation_rate=1, **kwargs):
        super().__init__(**kwargs)
        self.dilation_rate = dilation_rate

    def call(self, x):
        """Pool `(B, H, W, C)` to `(B, C)`, or `(B, 1, 1, C)` with `keepdims`."""
        return super().call(x[:, :: self.dilation_rate, :: self.dilation_rate])

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "dilation_rate": self.dilation_rate}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SampledGlobalAveragePooling2D(_SampledCells, keras.layers.GlobalAveragePooling2D):
    """Global mean over every `dilation_rate`-th cell, which are the original network's.

    A squeeze-and-excite block of a network made dense needs the mean that it was trained with.

    Args:
      dilation_rate: dense cells per original cell.
    """


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SampledGlobalMaxPooling2D(_SampledCells, keras.layers.GlobalMaxPooling2D):
    """Global maximum over every `dilation_rate`-th cell, which are the original network's.

    Args:
      dilation_rate: dense cells per original cell.
    """


# Layers of Keras that look at windows of a map, and at the whole map with their form here.
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
POOLINGS = keras.layers.MaxPooling2D, keras.layers.AveragePooling2D
GLOBAL_POOLINGS = {
    keras.layers.GlobalAveragePooling2D: SampledGlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D: SampledGlobalMaxPooling2D,
}
