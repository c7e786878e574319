"""From an image to the depth of every pixel, with a network that predicts depth."""

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab_tf.data.depth_targets import DepthTarget, load_depth_pair
from deeplab_tf.data.prefetch import prefetch_map
from deeplab_tf.data.shrink import shrink
from deeplab_tf.evaluation.inference import check_image, fix_weights, pixel_scores
from deeplab_tf.evaluation.opened import OpenedModel
from deeplab_tf.evaluation.photographs import enlarge
from deeplab_tf.evaluation.predict_dataset import MAX_READERS, memory_error_names
from deeplab_tf.models.depth import check_depth

# The predicted logarithm is limited to depths from a tenth of a millimeter to 10,000 kilometers,
# so that a network that was not trained cannot give 0 or infinity.
LOG_RANGE = float(np.log(1e-4)), float(np.log(1e7))


def predict_depth(model, image, flip=False, tile=None, pad_to=None, max_side=None):
    """Predict the depth of every pixel of one image.

    The depth is that for the camera of the training images: one whose focal length, in pixels, is
    twice as long shows things twice as large, so that the network takes them for half as far away.

    Args:
      model: Keras model that predicts depth (`predict_depth=True`), or what
        `deeplab_tf.open_model` gives.
      image: (H, W, 3) uint8 RGB; (H, W, C) for a model of images with C channels.
      flip: whether to average the logarithm of the depth with that of the mirrored image.
      tile, pad_to: see `deeplab_tf.evaluation.inference.predict_probabilities`.
      max_side: an image with a longer side is reduced to this many pixels there, and the depth
        is interpolated, and multiplied by the factor of the reduction; None: no limit.

    Returns:
      (H, W) float32, meters along the camera's axis.

    Raises:
      InputError: if the network predicts classes, or an argument cannot be used.

    Example:
      >>> depth = predict_depth(load_model("runs/depth"), load_image("kitchen.png"))
    """
    check_depth(model)
    network = fix_weights(model)
    check_image(image, network.channels)
    seen = shrink(image, max_side)
    settings = {"flip": flip, "tile": tile, "pad_to": pad_to}
    if isinstance(network, OpenedModel):
        depth = network.depth(seen, **settings)
    else:
        depth = depth_from_log(
            pixel_scores(network, seen, {"scales": (1.0,), **settings})[..., 0]
        ).numpy()
    if seen.shape == image.shape:
        return depth
    factor = np.float32(max(seen.shape[:2]) / max(image.shape[:2]))
    return factor * enlarge(depth[..., None], image.shape[:2])[..., 0]


def depth_from_log(log_depth):
    """The depth in meters, a float32 tensor, of its natural logarithm."""
    return tf.exp(tf.clip_by_value(log_depth, *LOG_RANGE))


class DepthPrediction(NamedTuple):
    """An image with its depth.

    Args:
      example: `DepthTarget`.
      image: (H, W, 3) uint8 RGB; the first three channels if it has more.
      truth: (H, W) float32 in meters, 0 where it is unknown.
      depth: (H, W) float32 in meters, the prediction.
    """

    example: DepthTarget
    image: np.ndarray
    truth: np.ndarray
    depth: np.ndarray


def predict_depths(model, examples, **settings):
    """Yield the `DepthPrediction` for each example, in order; files are read in advance.

    Args:
      model: as in `predict_depth`. Training it before the last image has no effect.
      examples: list of `DepthTarget`.
      settings: `flip`, `tile` and `pad_to` as in `predict_depth`.

    Raises:
      InputError: naming an example that cannot be read, or that is too large for the memory.
    """
    channels, network = model.input_shape[-1], fix_weights(model)

    def load(example):
        return example, *load_depth_pair(example, channels)

    with contextlib.closing(prefetch_map(load, examples, MAX_READERS)) as loaded:
        for example, image, truth in loaded:
            with memory_error_names(example, image):
                depth = predict_depth(network, image, **settings)
            yield DepthPrediction(example, image[..., :3], truth, depth)
