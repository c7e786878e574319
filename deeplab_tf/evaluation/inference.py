"""From an image of any size to the class of every pixel, with the papers' test-time settings.

`upsampled_scores` runs the network, at several scales if wanted, and interpolates its scores. It is
made of TensorFlow operations only, so that an exported model computes the same.
"""

import math
import weakref

import numpy as np
import tensorflow as tf
from keras import ops

from crf import dense_crf, refine
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.opened import OpenedModel, refuse_second_crf
from deeplab_tf.evaluation.photographs import enlarge, enlarged_planes
from deeplab_tf.evaluation.tiling import tiled_scores
from deeplab_tf.models.fast.fuse import fuse
from deeplab_tf.models.multiscale import maximum_over_scales
from deeplab_tf.models.padding import pad_to_cells
from deeplab_tf.models.resize import crop_to_images, find_output_stride, resize_aligned


def segment(
    model,
    image,
    crf=None,
    scales=(1.0,),
    flip=False,
    tile=None,
    return_probabilities=False,
    pad_to=None,
    max_side=None,
    max_memory=None,
):
    """Predict the class of every pixel of one image.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores; or what
        `deeplab_tf.open_model` gives.
      image: (H, W, 3) uint8 RGB; (H, W, C) for a model of images with C channels.
      crf: `crf.CRFParams` of the fully connected CRF that refines the probabilities; None: no
        CRF.
      scales, flip, tile, pad_to: see `predict_probabilities`.
      return_probabilities: whether to return the probabilities instead of the labels.
      max_side: for large photographs: an image with a longer side is reduced to this many pixels
        there, network and CRF see the small image, and the probabilities are interpolated to the
        size of `image`; None: no limit.
      max_memory: as for `apply_crf`.

    Returns:
      Labels (H, W) uint8, or probabilities (H, W, C) float32.

    Raises:
      InputError: as for `predict_probabilities`, or if the CRF refuses its parameters.

    Example:
      >>> label = segment(model, image, crf=CRFParams(w1=4, sigma_alpha=67, sigma_beta=3))
    """
    check_image(image, model.input_shape[-1])
    if crf is not None:
        refuse_second_crf(model)
    seen = shrink(image, max_side)
    probabilities = predict_probabilities(model, seen, scales, flip, tile, pad_to)
    if crf is not None:
        probabilities = apply_crf(probabilities, seen, crf, max_memory)
    size = image.shape[:2]
    return (enlarge if return_probabilities else most_probable)(probabilities, size)


def predict_probabilities(model, image, scales=(1.0,), flip=False, tile=None, pad_to=None):
    """Predict the probabilities of the classes at every pixel of one image.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores, which may be
        trained between calls; or what `deeplab_tf.open_model` gives.
      image: (H, W, 3) uint8 RGB; (H, W, C) for a model of images with C channels.
      scales: the padded image is scored at each of these scales, and the maximum of the scores is
        kept. Scales up to 1 give what a network built with these scales gives (DeepLab v2, section
        4.1.2: 1, 0.75, 0.5).
      flip: whether to average the scores with those of the mirrored image.
      tile: side in pixels of overlapping tiles, for images too large to be scored at once;
        None: no tiles. Where tiles overlap, their scores are averaged with weights that fall
        from a tile's center to its border.
      pad_to: minimum height and width, in pixels, that the network sees at scale 1; 513 in the
        papers.

    Returns:
      (H, W, C) float32, summing to one over the classes.

    Raises:
      InputError: if the image is not uint8 with the model's channels, a setting is out of its
        range, or the model is not a segmentation network for images of any size.
    """
    check_settings(scales, flip, tile, pad_to)
    if isinstance(model, OpenedModel):
        return model.probabilities(image, scales=scales, flip=flip, tile=tile, pad_to=pad_to)
    network = _compiled(model)
    check_image(image, network.channels)
    minimum = 2 * network.output_stride + 1
    if tile is not None and tile < minimum:
        raise InputError(f"tile {tile}; this model needs at least {minimum} pixels")

    def score(images):
        return network.scores(images, tuple(scales), flip, pad_to)

    images = tf.cast(image[None], tf.float32)
    scores = (
        score(images) if tile is None else tiled_scores(score, images, tile, network.output_stride)
    )
    return tf.nn.softmax(scores)[0].numpy()


def predict_batch(model, images, scales=(1.0,), flip=False, pad_to=None):
    """`predict_probabilities` of several images of one size at once, which suits a GPU.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores.
      images: (B, H, W, C) uint8.
      scales, flip, pad_to: see `predict_probabilities`.

    Returns:
      (B, H, W, num_classes) float32, those of single images up to rounding.
    """
    scores = _compiled(model).scores(tf.cast(images, tf.float32), tuple(scales), flip, pad_to)
    return tf.nn.softmax(scores).numpy()


def apply_crf(probabilities, image, params, max_memory=None, **options):
    """Refine the probabilities of one image with the fully connected CRF.

    Args:
      probabilities: (H, W, C) float32.
      image: (H, W, 3) uint8 RGB; of images with more channels, the CRF uses the first three.
      params: `crf.CRFParams`.
      max_memory: bytes that may be used, as in `crf.refine`: an image that needs more is refined
        in strips, on the processors. None: the whole image at once.
      options: `engine`, `num_threads` and `prune_below` as in `crf.dense_crf`; with `max_memory`
        only `num_threads` has an effect.

    Returns:
      (H, W, C) float32, summing to one over the classes.

    Raises:
      InputError: if the CRF refuses its parameters or the image.
    """
    try:
        if max_memory is not None:
            num_threads = options.get("num_threads")
            limits = {"num_threads": num_threads, "max_memory": max_memory}
            return refine(probabilities, image[..., :3], params, **limits)
        refined = dense_crf(probabilities[None], image[None, ..., :3], params, **options)
    except ValueError as error:
        raise InputError(str(error)) from error  # begins with the name of what refuses
    return np.asarray(refined)[0]


def most_probable(probabilities, size=None):
    """The most probable class of every pixel.

    Args:
      probabilities: (h, w, C) floats.
      size: (height, width) to interpolate them to, see `enlarge`; None: (h, w).

    Returns:
      (height, width) uint8, or (h, w).
    """
    if size is None or probabilities.shape[:2] == tuple(size):
        return np.argmax(probabilities, axis=-1).astype(np.uint8)
    labels, highest = np.zeros(size, np.uint8), np.full(size, -1, np.float32)
    for index, plane in enumerate(enlarged_planes(probabilities, size)):
        labels[plane > highest] = index
        np.maximum(highest, plane, out=highest)
    return labels


def upsampled_scores(model, images, output_stride, scales=(1.0,), flip=False, pad_to=None):
    """Scores of every pixel, interpolated from a network's coarse map.

    The order is that of the DeepLab authors: the image is padded, the padded image is resized to
    each scale, the maximum is taken at the cells of the largest scale, or of scale 1 if none is
    larger, and the result is interpolated and cropped.

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

    padded = pad_to_cells(images, output_stride, pad_to)
    scores = maximum_over_scales(score, padded, scales, output_stride)
    height, width = ops.shape(padded)[1:3]
    return crop_to_images(resize_aligned(scores, height, width), images)


def check_image(image, channels=3):
    """Raise `InputError` unless the image is uint8 of shape (H, W, channels)."""
    remedy = f"uint8{' RGB' if channels == 3 else ''} of shape (H, W, {channels})"
    if image is None:
        raise InputError(
            "image is None, which cv2.imread returns for a file that it cannot read; check the "
            f"path, and give {remedy}"
        )
    if not hasattr(image, "dtype"):
        raise InputError(f"image is a {type(image).__name__}; give an array, {remedy}")
    shape, dtype = np.shape(image), image.dtype
    if len(shape) != 3 or shape[2] != channels or 0 in shape or dtype != np.uint8:
        raise InputError(f"image is {dtype} {shape}; give {remedy}")


def check_settings(scales, flip, tile=None, pad_to=None):
    """Check the ranges of test-time settings.

    Args:
      scales, flip, tile, pad_to: see `predict_probabilities`.

    Raises:
      InputError: naming the setting.
    """
    if not len(scales) or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise InputError(f"scales {tuple(scales)}; give one or more numbers above 0")
    if not isinstance(flip, bool):
        raise InputError(f"flip {flip!r}; give True or False")
    for name, value in (("tile", tile), ("pad_to", pad_to)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value}; give a size in pixels, or None")


class _CompiledNetwork:
    """A fused network compiled once for each combination of settings, for images of all sizes."""

    def __init__(self, model):
        fused = fuse(model)
        # A strong reference would keep the model alive in `_networks` forever. The fused network
        # owns only the model's layers, unless the model could not be fused.
        self._model = weakref.ref(model) if fused is model else lambda: fused
        self._graphs = {}
        self.output_stride = find_output_stride(model)
        self.channels = model.input_shape[-1]

    def scores(self, images, *settings):
        """`upsampled_scores` of images (B, H, W, channels) with (scales, flip, pad_to)."""
        if settings not in self._graphs:
            self._graphs[settings] = tf.function(
                lambda images: upsampled_scores(
                    self._model(), images, self.output_stride, *settings
                ),
                input_signature=[tf.TensorSpec([None, None, None, self.channels], tf.float32)],
            )
        return self._graphs[settings](images)


# Model -> `_CompiledNetwork`; an entry ends with its model.
_networks = weakref.WeakKeyDictionary()


def _compiled(model):
    if model not in _networks:
        _networks[model] = _CompiledNetwork(model)
    return _networks[model]
