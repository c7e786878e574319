"""Networks compiled for images of all sizes: scores of every pixel.

`upsampled_scores` runs the network, at several scales if wanted, and interpolates its scores. It is
made of TensorFlow operations only, so that an exported model computes the same.
"""

import weakref

import tensorflow as tf
from keras import ops

from deeplab_tf.evaluation.tiling import tiled_scores
from deeplab_tf.models.backbones import padding_color
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.fast.prepared import PreparedWeights
from deeplab_tf.models.multiscale import maximum_over_scales
from deeplab_tf.models.padding import pad_to_cells
from deeplab_tf.models.resize import crop_to_images, find_output_stride, resize_aligned
from deeplab_tf.models.score_heads import score_heads


def upsampled_scores(model, images, output_stride, scales=(1.0,), flip=False, pad_to=None):
    """Scores of every pixel, interpolated from a network's coarse map.

    The order is that of the DeepLab authors: the image is padded with the network's
    `padding_color`, the padded image is resized to each scale, the maximum is taken at the cells of
    the largest scale, or of scale 1 if none is larger, and the result is interpolated and cropped.

    Args:
      model: Keras model from RGB images, values 0..255, to scores.
      images: (B, H, W, 3) float32.
      output_stride: pixels between two cells of the scores.
      scales: see `predict_probabilities`.
      flip: whether to average the scores with those of the mirrored images.
      pad_to: minimum height and width that the network sees, in pixels; None: no minimum.

    Returns:
      (B, H, W, C) float32.
    """
    if flip:
        settings = output_stride, scales, False, pad_to
        plain = upsampled_scores(model, images, *settings)
        with tf.control_dependencies([plain]):  # to save memory, as `maximum_over_scales`
            mirrored = upsampled_scores(model, images[:, :, ::-1], *settings)
        return (plain + mirrored[:, :, ::-1]) / 2

    def score(resized):
        # Models in mixed precision may give 16-bit scores.
        return tf.cast(model(resized, training=False), tf.float32)

    color = padding_color(model, images.shape[-1])
    padded = pad_to_cells(images, output_stride, pad_to, color)
    scores = maximum_over_scales(score, padded, scales, output_stride)
    height, width = ops.shape(padded)[1:3]
    return crop_to_images(resize_aligned(scores, height, width), images)


class FixedNetwork:
    """A network with the weights that it has now, to score many images faster.

    What the convolutions compute from their weights alone is kept, which may take four times the
    memory of the weights. Later training has no effect.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores.

    Attributes:
      output_stride: pixels between two cells of the scores before they are interpolated.
      channels: of the images.
      heads: as of `score_heads`.
      output_shape: that of the model.
    """

    def __init__(self, model):
        self.heads = score_heads(model)
        if model not in _networks:
            _networks[model] = _CompiledNetwork(model)
        self._model, self._network = model, _networks[model]  # the model must stay alive
        self.output_stride, self.channels = self._network.output_stride, self._network.channels
        self.output_shape = model.output_shape
        self._weights = self._network.prepared.compute()

    def scores(self, image, scales=(1.0,), flip=False, tile=None, pad_to=None):
        """Scores of every pixel of an image (H, W, channels) uint8, as a tensor (H, W, C) float32.

        The other arguments are those of `predict_probabilities`; they are not checked.
        """

        def score(images):
            return self.batch_scores(images, scales, flip, pad_to)

        if tile is None:
            return score(image[None])[0]
        return tiled_scores(score, image[None], tile, self.output_stride)[0]

    def batch_scores(self, images, scales=(1.0,), flip=False, pad_to=None):
        """Scores of images of one size: (B, H, W, channels) uint8 to (B, H, W, C) float32."""
        graph = self._network.graph(tuple(scales), flip, pad_to)
        return graph(tf.cast(images, tf.float32), self._weights)


class _CompiledNetwork:
    """A fused network compiled once for each combination of settings, for images of all sizes."""

    def __init__(self, model):
        fused = fuse(model)
        # A strong reference would keep the model alive in `_networks` forever. The fused network
        # owns only the model's layers, unless the model could not be fused.
        self._model = weakref.ref(model) if fused is model else lambda: fused
        self._graphs = {}
        self.prepared = PreparedWeights(fused)
        self.output_stride = find_output_stride(model)
        self.channels = model.input_shape[-1]

    def graph(self, *settings):
        """`upsampled_scores` with (scales, flip, pad_to), of images and prepared weights."""
        if settings not in self._graphs:

            def score(images, weights):
                with self.prepared.used(weights):
                    return upsampled_scores(self._model(), images, self.output_stride, *settings)

            images = tf.TensorSpec([None, None, None, self.channels], tf.float32)
            self._graphs[settings] = tf.function(
                score, input_signature=[images, self.prepared.specs()]
            )
        return self._graphs[settings]


# Model -> `_CompiledNetwork`; an entry ends with its model.
_networks = weakref.WeakKeyDictionary()
