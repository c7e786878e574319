"""The global mean over every r-th cell by one matrix product.

Networks made dense have it in their squeeze-and-excite blocks. TensorFlow takes several times as
long to pick the cells, on one thread, as to multiply all cells by zeros and ones.
"""

import keras
import tensorflow as tf

from deeplab_tf.models.atrous_layers import SampledGlobalAveragePooling2D, runs_on_cpu
from deeplab_tf.models.fast.layers import SharedLayer


def is_supported(layer):
    """Whether `SampledMean` can compute a layer, faster."""
    return (
        type(layer) is SampledGlobalAveragePooling2D
        and layer.dilation_rate > 1
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"  # sums of 16 bits would lose precision
        and runs_on_cpu()
    )


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SampledMean(SharedLayer):
    """A `SampledGlobalAveragePooling2D` of another network, faster.

    Args:
      layer: `SampledGlobalAveragePooling2D`, see `is_supported`.
    """

    def call(self, inputs):
        """Pool `(B, H, W, C)` to `(B, C)`, or `(B, 1, 1, C)` with `keepdims`."""
        x = tf.cast(inputs, self.layer.compute_dtype)
        channels = x.shape[3]
        # Sizes that are known while the graph is built make the zeros and ones a constant.
        height, width = (
            tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2)
        )
        rows, columns = (
            tf.range(length) % self.layer.dilation_rate == 0 for length in (height, width)
        )
        cells = tf.reshape(tf.cast(rows[:, None] & columns, x.dtype), [1, 1, -1])
        sums = cells @ tf.reshape(x, [-1, height * width, channels])
        mean = sums / tf.reduce_sum(cells)
        return tf.reshape(mean, [-1, 1, 1, channels] if self.layer.keepdims else [-1, channels])
