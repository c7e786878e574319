"""The fastest way to compute a depthwise convolution of stride 1 on a CPU, with its gradients.

TensorFlow runs a dilated one through space-to-batch, and its kernel gradient is several times
slower for windows wider than 3 cells than for others. Neither is needed:

- TensorFlow's grouped convolution, with one channel in each group, takes a dilation rate. (The
  operation DepthwiseConv2dNative takes one too, but its gradients ignore it.)
- A dilated convolution is a plain one of the same numbers in another shape, see `_Grid`.
- A wide kernel's gradient is put together from gradients of windows of 3 columns.
"""

import tensorflow as tf

from deeplab_tf.models.atrous_layers import native_dilation_works, runs_on_cpu

# oneDNN, which computes TensorFlow's convolutions, has its fast paths only up to these.
_MOST_PADDING = 6  # cells beside the map, for a dilated window
_WIDEST_GRADIENT = 3  # columns of a window, for the kernel's gradient
_STRIDES = [1, 1, 1, 1]


def is_supported(layer):
    """Whether `fast_depthwise_conv2d` can compute a `keras.layers.DepthwiseConv2D`, faster."""
    rows, columns = layer.dilation_rate
    return (
        all(size % 2 for size in layer.kernel_size)
        and rows == columns
        and (rows > 1 or layer.kernel_size[1] > _WIDEST_GRADIENT)
        and layer.depth_multiplier == 1
        and tuple(layer.strides) == (1, 1)
        and layer.data_format == "channels_last"
        # Whether oneDNN is used: without it, grouped convolutions are many times slower.
        and native_dilation_works(layer.compute_dtype)
        and runs_on_cpu()
    )


def fast_depthwise_conv2d(x, kernel, rate=1, padding="same", portable=False):
    """Compute `tf.nn.depthwise_conv2d` with stride 1, up to rounding.

    Args:
      x: (B, H, W, C) floats.
      kernel: (h, w, C, 1), h and w odd, of the same dtype.
      rate: dilation rate.
      padding: "same" or "valid".
      portable: True leaves out grouped convolutions, which are very slow without oneDNN, for graphs
        that may run on other machines.

    Returns:
      (B, H, W, C) of the same dtype; for "valid", (B, H - (h - 1) rate, W - (w - 1) rate, C).
    """
    y = _convolution(rate, portable)(x, kernel)
    if padding == "valid":
        top, left = (size // 2 * rate for size in kernel.shape[:2])
        y = y[:, top : -top or None, left : -left or None]
    return y


def _convolution(rate, portable):
    """The convolution with padding "same", and its gradients."""

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            # The adjoint of a window with odd sizes is the window turned by 180 degrees.
            inputs = _convolve(upstream, tf.reverse(kernel, [0, 1]), rate, portable)
            return inputs, _kernel_gradient(x, kernel, upstream, rate)

        return _convolve(x, kernel, rate, portable), gradients

    return convolve


def _convolve(x, kernel, rate, portable):
    height, width, channels, _ = kernel.shape
    if rate == 1:
        return tf.nn.depthwise_conv2d(x, kernel, _STRIDES, "SAME")
    if width // 2 * rate <= _MOST_PADDING and not portable:
        grouped = tf.reshape(kernel, [height, width, 1, channels])
        return tf.nn.conv2d(x, grouped, 1, "SAME", dilations=rate)
    grid = _Grid(x, rate, gap=width // 2)
    y = tf.nn.depthwise_conv2d(grid.fill(x), tf.tile(kernel, [1, 1, rate, 1]), _STRIDES, "SAME")
    return grid.read(y)


def _kernel_gradient(x, kernel, upstream, rate):
    """The kernel's gradient, three columns of it at a time.

    An element of the kernel connects every output cell with the input cell at a fixed offset.
    Shifting the outputs against the inputs, by the offset of the middle one of three columns, makes
    the columns' offsets -1, 0 and 1.
    """
    height, width, channels, _ = kernel.shape
    most = max(width // 2 - 1, 0)  # offset of the last middle column
    grid = _Grid(x, rate, gap=max(2 * most, 1))
    # Wait for the upstream gradient: otherwise, the copy of x could be made early and take memory
    # throughout the forward pass.
    with tf.control_dependencies([upstream]):
        inputs = grid.fill(x, shift=most)
    columns = []
    for middle in range(-most, most + 1, 2):
        found = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=inputs,
            filter_sizes=[height, _WIDEST_GRADIENT, rate * channels, 1],
            out_backprop=grid.fill(upstream, shift=most + middle),
            strides=_STRIDES,
            padding="SAME",
        )
        # The first column is the last one of those before.
        columns.append(found[:, 1:] if columns else found)
    columns = tf.concat(columns, axis=1)
    if width == 1:
        columns = columns[:, 1:2]
    return tf.reduce_sum(tf.reshape(columns, [height, width, rate, channels, 1]), axis=2)


class _Grid:
    """Another shape of maps, in which a dilated window is a plain one.

    Row q r + i and column p r + j of a map, for a rate of r, become row q and column i P + p of
    channels j C to (j + 1) C. That is the order in which the numbers are stored already, so after
    padding to multiples of r it takes no work. Zeros between the parts keep windows that reach
    across a part's border from seeing the next part.

    Args:
      x: (B, H, W, C), a map of the size.
      rate: r.
      gap: columns of zeros between parts, so P = ceil(W / r) + gap.
    """

    def __init__(self, x, rate, gap):
        sizes = tf.unstack(tf.shape(x))
        self._images, self._height, self._width, self._channels = (
            dynamic if static is None else static
            for static, dynamic in zip(x.shape, sizes, strict=True)
        )
        self._rate = rate
        self._rows = -(-self._height // rate)
        self._columns = -(-self._width // rate) + gap

    def fill(self, x, shift=0):
        """Maps (B, H, W, C) as (B, ceil(H / r), r P, r C), `shift` <= gap columns to the right."""
        rate = self._rate
        below = self._rows * rate - self._height
        right = (self._columns - shift) * rate - self._width
        padded = tf.pad(x, [[0, 0], [0, below], [shift * rate, right], [0, 0]])
        shape = self._images, self._rows, rate * self._columns, rate * self._channels
        return tf.reshape(padded, shape)

    def read(self, y):
        """The maps (B, H, W, C) of a result that has no shift."""
        shape = self._images, self._rows * self._rate, self._columns * self._rate, self._channels
        return tf.reshape(y, shape)[:, : self._height, : self._width]
