"""Convolutions of stride 1 in the way that is fastest on the processor, with their gradients."""

import tensorflow as tf

from deeplab_tf.models.atrous_layers import native_dilation_works
from deeplab_tf.models.fast.winograd import winograd_conv2d

# With fewer channels Winograd's transforms take longer than what they save, and a kernel's
# gradient is better left to the library.
MANY_CHANNELS = 128


def is_supported(layer):
    """Whether a layer is a `keras.layers.Conv2D` that `fast_conv2d` can compute."""
    rows, columns = layer.dilation_rate
    return (
        all(size % 2 for size in layer.kernel_size)
        and rows == columns
        and layer.groups == 1
        and tuple(layer.strides) == (1, 1)
        and layer.padding == "same"
        and (rows == 1 or native_dilation_works(layer.compute_dtype))
        and not tf.config.list_physical_devices("GPU")  # its libraries choose for themselves
    )


def fast_conv2d(x, kernel, rate=1, with_gradients=False):
    """What `tf.nn.conv2d(x, kernel, 1, "SAME", dilations=rate)` gives, up to rounding.

    Args:
      x: (B, H, W, C) floats.
      kernel: (h, w, C, F), h and w odd, of the same type.
      rate: dilation.
      with_gradients: whether gradients are wanted. The kernel's is then faster, but a SavedModel
        cannot hold it; Winograd's way, whose gradients take more memory, is left out.

    Returns:
      (B, H, W, F).
    """
    if with_gradients:
        return _dilated(rate)(x, kernel) if rate > 1 else tf.nn.conv2d(x, kernel, 1, "SAME")
    if _suits_winograd(kernel):
        return winograd_conv2d(x, kernel, rate)
    return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=rate)


def _suits_winograd(kernel):
    height, width, *channels = kernel.shape
    is_3x3 = height == width == 3
    return is_3x3 and min(channels) >= MANY_CHANNELS and kernel.dtype == tf.float32


def _dilated(rate):
    window = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, rate, rate, 1]}

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            of_input = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, **window
            )
            if _suits_taps(x, kernel, rate):
                return of_input, _kernel_gradient_by_taps(x, kernel, upstream, rate)
            return of_input, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=upstream, **window
            )

        return tf.raw_ops.Conv2D(input=x, filter=kernel, **window), gradients

    return convolve


def _suits_taps(x, kernel, rate):
    if min(kernel.shape[2:]) >= MANY_CHANNELS:
        return True
    # For a window that is larger than the map the library takes many times as long.
    reach = (max(kernel.shape[:2]) - 1) * rate
    return any(length is None or length <= reach for length in x.shape[1:3])


def _kernel_gradient_by_taps(x, kernel, upstream, rate):
    """A matrix product for each cell of the kernel, without the zeros beyond the borders."""
    height, width, channels, filters = kernel.shape
    taps = []
    for row in range(height):
        for column in range(width):
            offsets = (row - height // 2) * rate, (column - width // 2) * rate
            with tf.control_dependencies([upstream]):  # not as soon as there is an x
                seen = _moved(x, offsets)
            given = _moved(upstream, [-offset for offset in offsets])
            seen, given = tf.reshape(seen, [-1, channels]), tf.reshape(given, [-1, filters])
            taps.append(tf.matmul(seen, given, transpose_a=True))
    return tf.reshape(tf.stack(taps), kernel.shape)


def _moved(x, offsets):
    """The cells of (B, H, W, C) that are `offsets` cells from one in the map."""
    rows, columns = (
        slice(offset, None) if offset > 0 else slice(None, offset or None) for offset in offsets
    )
    return x[:, rows, columns]
