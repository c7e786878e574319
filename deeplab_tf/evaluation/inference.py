"""From an image of any size to labels of every pixel, with the papers' test-time settings.

`upsampled_scores` runs the network and `maximum_over_scales` repeats it at several scales; both
are TensorFlow ops alone, so that an exported model computes the same.
"""

import math
import weakref

import numpy as np
import tensorflow as tf

from crf import dense_crf
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models.fast.fuse import fused_call
from deeplab_tf.models.multiscale import resized_length

_IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32)


def segment(
    model,
    image,
    crf=None,
    scales=(1.0,),
    flip=False,
    tile=None,
    return_probabilities=False,
    pad_to=None,
):
    """The class of every pixel of one image.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores.
      image: (H, W, 3) uint8 RGB.
      crf: `crf.CRFParams` of the fully connected CRF that refines the probabilities; None: no
        CRF.
      scales, flip, tile, pad_to: as in `predict_probabilities`.
      return_probabilities: give the probabilities instead of the labels.

    Returns:
      Labels (H, W) uint8, or probabilities (H, W, C) float32.

    Raises:
      InputError: as `predict_probabilities`, and where the CRF refuses its parameters.

    Example:
      >>> label = segment(model, image, crf=CRFParams(w1=4, sigma_alpha=67, sigma_beta=3))
    """
    probabilities = predict_probabilities(model, image, scales, flip, tile, pad_to)
    if crf is not None:
        probabilities = refine(probabilities, image, crf)
    return probabilities if return_probabilities else most_probable(probabilities)


def predict_probabilities(model, image, scales=(1.0,), flip=False, tile=None, pad_to=None):
    """The probabilities of the classes at every pixel of one image.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores. It may be
        trained on between calls.
      image: (H, W, 3) uint8 RGB.
      scales: the image is scored at each of these scales and the maximum of the scores kept
        (DeepLab v2, section 4.1.2: 0.5, 0.75, 1).
      flip: whether to average the scores with those of the mirrored image.
      tile: side in pixels of overlapping tiles for images too large to be scored at once;
        None: no tiles. Weights fall from the centre of a tile to its border.
      pad_to: least height and width the network sees, in pixels; the papers have 513.

    Returns:
      (H, W, C) float32, summing to one over the classes.

    Raises:
      InputError: where the image is no uint8 RGB image, a setting is out of its range, or the
        model is no segmentation network for images of any size.
    """
    _check_image(image)
    check_settings(scales, flip, tile, pad_to)
    predictor = _predictors.get(model)
    if predictor is None:
        predictor = _predictors.setdefault(model, _Predictor(model))
    images = tf.cast(image[None], tf.float32)
    scores = maximum_over_scales(predictor.scores(flip, tile, pad_to), images, scales)
    return tf.nn.softmax(scores)[0].numpy()


def refine(probabilities, image, params, **options):
    """Probabilities of one image after the fully connected CRF.

    Args:
      probabilities: (H, W, C) float32.
      image: (H, W, 3) uint8 RGB.
      params: `crf.CRFParams`.
      options: `engine` and `num_threads` as in `crf.dense_crf`.

    Returns:
      (H, W, C) float32, summing to one over the classes.

    Raises:
      InputError: where the CRF refuses its parameters or the image.
    """
    try:
        refined = dense_crf(probabilities[None], image[None], params, **options)
    except ValueError as error:
        raise InputError(f"CRF: {error}") from error
    return np.asarray(refined)[0]


def most_probable(probabilities):
    """The most probable class of every pixel, (H, W) uint8, of probabilities (H, W, C)."""
    return np.argmax(probabilities, axis=-1).astype(np.uint8)


def upsampled_scores(model, images, output_stride, flip=False, pad_to=None):
    """Scores of every pixel, by bilinear interpolation of the network's coarse map.

    The images are padded with the mean colour at the bottom and right to a size k s + 1 for
    output stride s, so that the first and last cells of the map are centred on the first and
    last pixels; interpolation with aligned corners then puts every cell on its own pixel.

    Args:
      model: Keras model from RGB images, values 0..255, to scores.
      images: (B, H, W, 3) float32.
      output_stride: pixels between two cells of the scores.
      flip: whether to average the scores with those of the mirrored images.
      pad_to: least padded height and width in pixels.

    Returns:
      (B, H, W, C) float32.
    """
    if flip:
        mirrored = upsampled_scores(model, images[:, :, ::-1], output_stride, pad_to=pad_to)
        plain = upsampled_scores(model, images, output_stride, pad_to=pad_to)
        return (plain + mirrored[:, :, ::-1]) / 2
    height, width = tf.unstack(tf.shape(images)[1:3])
    scores = fused_call(model, _pad(images, output_stride, pad_to))
    # Mixed precision models may give half floats.
    scores = tf.cast(scores, tf.float32)
    fine = (tf.shape(scores)[1:3] - 1) * output_stride + 1
    return _resize(scores, fine)[:, :height, :width]


def maximum_over_scales(score, images, scales):
    """Maximum over scales of the scores of resized images.

    Both the images and their scores are resized with aligned corners, as in training.

    Args:
      score: function from images (B, H, W, 3) to scores (B, H, W, C), both float32.
      images: (B, H, W, 3) float32.
      scales: the scales, each above 0.

    Returns:
      (B, H, W, C) float32.
    """
    size = tf.shape(images)[1:3]
    fused = None
    for scale in scales:
        if scale == 1:
            scores = score(images)
        else:
            resized = _resize(
                images, [resized_length(length, scale) for length in tf.unstack(size)]
            )
            scores = _resize(score(resized), size)
        fused = scores if fused is None else tf.maximum(fused, scores)
    return fused


def find_output_stride(model):
    """Pixels between two cells of a network's scores.

    Args:
      model: Keras model from images (B, H, W, 3) of any size to scores
        (B, (H-1)//s + 1, (W-1)//s + 1, C).

    Returns:
      s, a whole number.

    Raises:
      InputError: where the model is none of this kind.
    """
    wanted = "give a network from (None, None, None, 3) to scores at its output stride"
    if tuple(model.input_shape[1:]) != (None, None, 3):
        raise InputError(f"model {model.name!r} takes {model.input_shape}; {wanted}")
    length = 65
    shape = model.compute_output_shape((1, length, length, 3))
    cells = shape[1] if len(shape) == 4 and shape[1] == shape[2] else None
    stride = (length - 1) // (cells - 1) if cells and cells > 1 else 0
    if not stride or (length - 1) // stride + 1 != cells:
        raise InputError(f"model {model.name!r} takes 65x65 pixels to {shape}; {wanted}")
    return stride


def check_settings(scales, flip, tile=None, pad_to=None):
    """Refuse test-time settings that make no sense.

    Args:
      scales, flip, tile, pad_to: as in `predict_probabilities`.

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


class _Predictor:
    # A network compiled once for each flip and padding, for images of all sizes. It must not
    # own the model, or the models it was made for would never be freed.
    def __init__(self, model):
        self._model = weakref.ref(model)
        self._graphs = {}
        self.output_stride = find_output_stride(model)

    def scores(self, flip, tile, pad_to):
        key = flip, pad_to
        if key not in self._graphs:
            self._graphs[key] = tf.function(
                lambda images: upsampled_scores(self._model(), images, self.output_stride, *key),
                input_signature=[_IMAGES],
            )
        whole = self._graphs[key]
        if tile is None:
            return whole
        least = 2 * self.output_stride + 1
        if tile < least:
            raise InputError(f"tile {tile}; this model needs at least {least} pixels")
        return lambda images: _tiled(whole, images, tile, self.output_stride)


_predictors = weakref.WeakKeyDictionary()


def _tiled(score, images, tile, output_stride):
    # A tile that ends on a cell needs no padding, which would disturb its last pixels.
    tile = (tile - 1) // output_stride * output_stride + 1
    height, width = images.shape[1:3]
    tops = _tile_starts(height, tile, output_stride)
    lefts = _tile_starts(width, tile, output_stride)
    if len(tops) == len(lefts) == 1:
        return score(images)
    total, weights = None, np.zeros((height, width, 1), np.float32)
    for rows in (slice(top, top + tile) for top in tops):
        for columns in (slice(left, left + tile) for left in lefts):
            scores = score(images[:, rows, columns])[0].numpy()
            if total is None:
                total = np.zeros((height, width, scores.shape[-1]), np.float32)
            weight = _tent(*scores.shape[:2])
            total[rows, columns] += weight * scores
            weights[rows, columns] += weight
    return tf.constant(total / weights)[None]


def _tile_starts(length, tile, output_stride):
    # On the grid of the network's cells, so that a tile sees what the whole image would have
    # seen there; neighbours overlap by half a tile, give or take a cell.
    if tile >= length:
        return [0]
    last = math.ceil((length - tile) / output_stride)
    count = math.ceil(2 * (length - tile) / tile) + 1
    starts = np.linspace(0, last, count).astype(int) * output_stride
    return np.unique(starts).tolist()


def _tent(height, width):
    # Highest in the centre and never 0; (H, W, 1).
    sides = [np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width)]
    return np.outer(*sides)[..., None].astype(np.float32)


def _pad(images, output_stride, pad_to):
    size = tf.shape(images)[1:3]
    wanted = tf.maximum(size, pad_to or 1)
    cells = (wanted + output_stride - 2) // output_stride
    missing = cells * output_stride + 1 - size
    before_after = [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]]
    is_padding = tf.pad(tf.zeros_like(images[:1, ..., :1]), before_after, constant_values=1)
    return tf.pad(images, before_after) + is_padding * MEAN_RGB


def _resize(images, size):
    return tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=True)


def _check_image(image):
    shape, dtype = np.shape(image), getattr(image, "dtype", None)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise InputError(f"image is {dtype} {shape}; give uint8 RGB of shape (H, W, 3)")
