"""What convolutions compute from their weights alone, done once for many images.

A fused network folds its batch normalization and transforms its kernels in every call, because its
weights may change in between. Scoring an image at three scales is three calls, and those at small
scales then spend much of their time on the weights.
"""

import contextlib

import tensorflow as tf

from deeplab_tf.models.fast.layers import PREPARED, FusedConvolution
from deeplab_tf.models.walk import leaf_layers


class PreparedWeights:
    """The weights of a fused network in the form in which its convolutions use them.

    Args:
      network: what `deeplab_tf.fuse` returned.

    Example:
      >>> prepared = PreparedWeights(fused)
      >>> weights = prepared.compute()
      >>> with prepared.used(weights):
      ...     scores = [fused(images, training=False) for images in batches]
    """

    def __init__(self, network):
        found = [layer for layer in leaf_layers(network) if isinstance(layer, FusedConvolution)]
        self._layers = list({id(layer): layer for layer in found}.values())
        self._compute = tf.function(self._prepare, input_signature=[])

    def _prepare(self):
        return [layer.prepare() for layer in self._layers]

    def compute(self):
        """The weights as they are now: for every convolution a kernel, and a bias if it has one."""
        return self._compute()

    def specs(self):
        """The `tf.TensorSpec` of everything that `compute` returns, in the same structure."""
        found = self._compute.get_concrete_function().structured_outputs
        return tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), found)

    @contextlib.contextmanager
    def used(self, weights):
        """Let the network compute with weights that `compute` returned, while the context lasts."""
        pairs = [(*found, None)[:2] for found in weights]
        token = PREPARED.set(dict(zip(map(id, self._layers), pairs, strict=True)))
        try:
            yield
        finally:
            PREPARED.reset(token)
