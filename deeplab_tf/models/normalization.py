"""Normalization layers for networks whose maps have become denser or whose weights change."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deeplab_tf")
class VariableNormalization(keras.layers.Normalization):
    """A `keras.layers.Normalization` that always computes from its variables.

    Keras copies mean and variance into constants when it loads a file, and keeps the old ones
    after `set_weights`, a restored checkpoint or any other assignment. Arguments, weights and
    results are those of Normalization.
    """

    def call(self, inputs):
        """Subtract the mean and divide by the root of the variance, along the channels."""
        if self.input_mean is not None:  # given to the constructor: there are no variables
            return super().call(inputs)
        mean, variance = (
            ops.cast(variable, self.compute_dtype)
            for variable in (self.adapt_mean, self.adapt_variance)
        )
        deviation = ops.maximum(ops.sqrt(variance), keras.config.epsilon())
        inputs = ops.cast(inputs, self.compute_dtype)
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation


@keras.saving.register_keras_serializable(package="deeplab_tf")
class SampledGroupNormalization(keras.layers.GroupNormalization):
    """Group normalization by the statistics of every `dilation_rate`-th cell.

    These are the cells of the original network, whose statistics its weights were trained with.
    Sixteen-bit maps are normalized in float32. Arguments and weights are those of
    GroupNormalization.

    Args:
      dilation_rate: dense cells per original cell.
    """

    def __init__(self, *args, dilation_rate=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.dilation_rate = dilation_rate

    def call(self, x):
        """Normalize `(B, H, W, C)`."""
        channels = x.shape[-1]
        x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        sampled = x[:, :: self.dilation_rate, :: self.dilation_rate]
        grouped = (*ops.shape(sampled)[:3], self.groups, channels // self.groups)
        moments = ops.moments(ops.reshape(sampled, grouped), axes=(1, 2, 4))  # (B, groups) each
        mean, variance = (
            ops.repeat(moment, channels // self.groups, axis=1)[:, None, None] for moment in moments
        )
        factor = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            factor *= ops.cast(self.gamma, x.dtype)
        y = (x - mean) * factor
        if self.center:
            y += ops.cast(self.beta, x.dtype)
        return ops.cast(y, self.compute_dtype)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "dilation_rate": self.dilation_rate}
