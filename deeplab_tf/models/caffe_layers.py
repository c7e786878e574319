"""Layers of the first ImageNet networks, as Caffe computes them.

AlexNet's convolutions in groups, local response normalization, and poolings whose last window may
reach beyond the map.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="deeplab_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` whose groups are computed one after the other.

    Keras compiles a grouped convolution with XLA, once for every size of the images, since some
    kernels of TensorFlow for CPUs have no gradient of it. Arguments, weights and results are those
    of Conv2D.

    Example:
      >>> GroupedConv2D(256, 5, padding="same", groups=2)(x)
    """

    def convolution_op(self, inputs, kernel):
        """Convolve `(B, H, W, C)` with a kernel `(h, w, C / groups, F)`; called by Keras."""
        parts = zip(
            ops.split(inputs, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        convolved = [super(GroupedConv2D, self).convolution_op(*part) for part in parts]
        return ops.concatenate(convolved, axis=-1)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides every value by a power of the mean square of its neighbors among the channels.

    AlexNet (Krizhevsky et al., NIPS 2012), section 3.3, with Caffe's meaning of alpha:
    y = x / (bias + alpha / size * sum)^beta, where the sum is over the squares of the channels
    from size // 2 before to size // 2 after; `tf.nn.local_response_normalization` and the paper
    take alpha / size as alpha. Computed as a matrix product over the channels, whose gradient is
    many times as fast on CPUs as that of TensorFlow's own operation, and in float32 in mixed
    precision, since float16 has no squares above 65,504.

    Args:
      size: number of channels in the sum, odd.
      alpha, beta, bias: see above.

    Raises:
      ValueError: for an even size.
    """

    def __init__(self, size=5, alpha=1e-4, beta=0.75, bias=1.0, **kwargs):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd and positive, got {size!r}")
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def call(self, x):
        """Normalize `(B, H, W, C)`."""
        channel = np.arange(x.shape[-1])
        is_neighbor = np.abs(channel[:, None] - channel) <= self.size // 2
        wide = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        sums = ops.matmul(ops.square(wide), ops.cast(is_neighbor, wide.dtype))
        factors = ops.power(self.bias + self.alpha / self.size * sums, -self.beta)
        return ops.cast(wide * factors, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape unchanged."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        names = ("size", "alpha", "beta", "bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class WholeWindows(keras.layers.Layer):
    """Zeros at the bottom and right, so that a "valid" window ends where Caffe's pooling does.

    Caffe rounds the number of windows up. The zeros change no maximum of values that are at least
    zero, such as those after a ReLU.

    Args:
      size: side of the pooling window in cells.
      stride: cells between two windows.
    """

    def __init__(self, size, stride, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride = size, stride

    def call(self, x):
        """Pad `(B, H, W, C)`."""
        rows, columns = ((self.size - length) % self.stride for length in ops.shape(x)[1:3])
        return ops.pad(x, [(0, 0), (0, rows), (0, columns), (0, 0)])

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "size": self.size, "stride": self.stride}
