"""One network at several input scales, fused by the maximum (DeepLab v2, section 4.1.2)."""

import functools

import keras
import tensorflow as tf
from keras import ops

from deeplab_tf.models.resize import resize_aligned, scale_aligned, scaled_size


def maximum_over_scales(score, images, scales, output_stride):
    """The maximum, over input scales, of a network's scores.

    Scales up to 1 are fused as by `fuse_scales`, at the cells of the images' own size; with larger
    ones the maximum is taken at the finer cells of the largest, so that none is sampled down.

    Args:
      score: function from images `(B, H, W, 3)` to scores
        `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, C)`, both float32.
      images: `(B, H, W, 3)` float32, padded to what the network should see at scale 1.
      scales: factors on height and width, each above 0.
      output_stride: pixels per score cell.

    Returns:
      `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, C)` float32, where (H, W) is the size
      of the images at the largest scale, if that is above 1.
    """
    cells = _cells(scaled_size(images, max(1, *scales)), output_stride)
    fused = None
    for scale in scales:
        # One scale after the other, even in a graph: at the same time they would need more memory.
        with tf.control_dependencies([] if fused is None else [fused]):
            fused = _maximum(fused, score(scale_aligned(images, scale)), cells)
    return fused


def _cells(size, output_stride):
    return tuple((length - 1) // output_stride + 1 for length in size)


def _maximum(fused, scores, cells):
    """The maximum of what is fused so far, or None, and scores resized to (height, width)."""
    resized = resize_aligned(scores, *cells)
    return resized if fused is None else ops.maximum(fused, resized)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ScaleImages(keras.layers.Layer):
    """`scale_aligned` as a layer: images at another scale, corners kept.

    Args:
      scale: factor on height and width.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, images):
        """Resize `(B, H, W, 3)`."""
        return scale_aligned(images, self.scale)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class MaxFusion(keras.layers.Layer):
    """The maximum over the score maps of several scales, at the cells of the images' own size.

    Args:
      output_stride: pixels of the images per cell of the result.
    """

    def __init__(self, output_stride, **kwargs):
        super().__init__(**kwargs)
        self.output_stride = output_stride

    def call(self, inputs):
        """Fuse `[images, map, map, ...]` to one map `(B, (H-1)//s+1, (W-1)//s+1, C)`."""
        images, *maps = inputs
        cells = _cells(ops.shape(images)[1:3], self.output_stride)
        return functools.reduce(lambda fused, scores: _maximum(fused, scores, cells), maps, None)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "output_stride": self.output_stride}


def fuse_scales(network, scales, output_stride=8):
    """Run one network at several scales with shared weights, and take the maximum score.

    Args:
      network: keras.Model from images to scores, see `build_deeplab`.
      scales: factors on the images' size, such as (1.0, 0.75, 0.5).
      output_stride: pixels per score cell of `network`.

    Returns:
      keras.Model with the network's input and output shapes.
    """
    images = keras.Input(network.input_shape[1:], name="images")
    maps = [
        network(images if scale == 1 else ScaleImages(scale, name=f"scale_{index}")(images))
        for index, scale in enumerate(scales)
    ]
    scores = MaxFusion(output_stride, dtype="float32", name="fused_scores")([images, *maps])
    return keras.Model(images, scores, name=f"{network.name}_multiscale")


def with_branches(model):
    """A network of several scales that also returns each scale's own scores, for training.

    Args:
      model: what `fuse_scales` returned; it is shared, not copied.

    Returns:
      keras.Model from images to `[fused scores, scores of the first scale, ...]`; each scale's
      scores have the size that its resized images give them.
    """
    _, *maps = model.get_layer("fused_scores").input
    return keras.Model(model.input, [model.output, *maps], name=f"{model.name}_branches")
