"""The fastest way to compute a convolution of stride 1 on a CPU, with its gradients."""

import tensorflow as tf

from deeplab_tf.models.atrous_layers import native_dilation_works, runs_on_cpu
from deeplab_tf.models.fast.winograd import convolve_transformed, transform_kernel

# With fewer channels, the transforms of Winograd convolution take longer than they save, and
# TensorFlow's own kernel gradient is faster than one matrix product per kernel element.
MANY_CHANNELS = 128


def is_supported(layer):
    """Whether `fast_conv2d` can compute a `keras.layers.Conv2D`, and may be faster."""
    rows, columns = layer.dilation_rate
    return (
        all(size % 2 for size in layer.kernel_size)
        and rows == columns
        and layer.groups == 1
        and tuple(layer.strides) == (1, 1)
        and layer.padding == "same"
        and (rows == 1 or native_dilation_works(layer.compute_dtype))
        and runs_on_cpu()
    )


def fast_conv2d(x, kernel, rate=1, with_gradients=False):
    """Compute `tf.nn.conv2d(x, kernel, 1, "SAME", dilations=rate)`, up to rounding.

    Args:
      x: (B, H, W, C) floats.
      kernel: (h, w, C, F), h and w odd, of the same dtype; without gradients also what
        `prepare_kernel` made of it.
      rate: dilation rate.
      with_gradients: True makes the kernel's gradient faster. Winograd convolution is then not
        used, because its gradients take more memory.

    Returns:
      (B, H, W, F) of the same dtype.
    """
    if with_gradients:
        return _dilated_conv2d(rate)(x, kernel) if rate > 1 else tf.nn.conv2d(x, kernel, 1, "SAME")
    prepared = prepare_kernel(kernel, rate)
    if len(prepared.shape) == 3:
        return convolve_transformed(x, prepared, rate)
    return tf.nn.conv2d(x, prepared, 1, "SAME", dilations=rate)


def prepare_kernel(kernel, rate=1):
    """What `fast_conv2d` without gradients computes from a kernel alone, whatever the map.

    Args:
      kernel: (h, w, C, F) floats, h and w odd; or what this function returned.
      rate: dilation rate.

    Returns:
      The transformed kernel of Winograd convolution, (points, C, F) float32, if that is faster;
      else the kernel itself.
    """
    *window, channels, filters = kernel.shape
    is_large_3x3 = window == [3, 3] and min(channels, filters) >= MANY_CHANNELS
    if is_large_3x3 and kernel.dtype == tf.float32:
        return transform_kernel(kernel, rate)
    return kernel


def _dilated_conv2d(rate):
    """The native dilated convolution, with a kernel gradient that may be faster."""
    window = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, rate, rate, 1]}

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            input_gradient = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, **window
            )
            if _products_are_faster(x, kernel, rate):
                return input_gradient, _kernel_gradient(x, kernel, upstream, rate)
            return input_gradient, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=upstream, **window
            )

        return tf.raw_ops.Conv2D(input=x, filter=kernel, **window), gradients

    return convolve


def _products_are_faster(x, kernel, rate):
    if min(kernel.shape[2:]) >= MANY_CHANNELS:
        return True
    # TensorFlow's own gradient takes many times as long for a window larger than the map.
    reach = (max(kernel.shape[:2]) - 1) * rate
    return any(length is None or length <= reach for length in x.shape[1:3])


def _kernel_gradient(x, kernel, upstream, rate):
    """The kernel's gradient by one matrix product per kernel element.

    A kernel element connects each output cell with the input cell at a fixed offset. Output cells
    whose input cell would lie in the zero padding are left out.
    """
    height, width, channels, filters = kernel.shape
    elements = []
    for row in range(height):
        for column in range(width):
            offsets = (row - height // 2) * rate, (column - width // 2) * rate
            # Wait for the upstream gradient: otherwise, the crops of x could be made early and
            # take memory throughout the forward pass.
            with tf.control_dependencies([upstream]):
                inputs = _crop(x, offsets)
            outputs = _crop(upstream, [-offset for offset in offsets])
            inputs, outputs = tf.reshape(inputs, [-1, channels]), tf.reshape(outputs, [-1, filters])
            elements.append(tf.matmul(inputs, outputs, transpose_a=True))
    return tf.reshape(tf.stack(elements), kernel.shape)


def _crop(x, offsets):
    """The cells of a map (B, H, W, C) whose position minus `offsets` is also inside the map."""
    rows, columns = (
        slice(offset, None) if offset > 0 else slice(None, offset or None) for offset in offsets
    )
    return x[:, rows, columns]
