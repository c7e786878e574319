"""From an image of any size to the class of every pixel, with the papers' test-time settings."""

import math

import numpy as np

from crf import dense_crf, refine
from deeplab_tf.data.shrink import shrink
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.compiled import FixedNetwork
from deeplab_tf.evaluation.opened import OpenedModel, refuse_second_crf
from deeplab_tf.evaluation.photographs import enlarge, enlarged_planes
from deeplab_tf.models.depth import refuse_depth
from deeplab_tf.models.score_heads import find_head, labels_of, probabilities_of, score_heads


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
    head=None,
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
      head: name of the score head whose classes are meant, if the model has several.

    Returns:
      Labels (H, W) uint8, or probabilities (H, W, C) float32.

    Raises:
      InputError: as for `predict_probabilities`, or if the CRF refuses its parameters.

    Example:
      >>> label = segment(model, image, crf=CRFParams(w1=4, sigma_alpha=67, sigma_beta=3))
    """
    check_image(image, model.input_shape[-1])
    heads = heads_of(model)
    chosen = find_head(heads, head, "the model") if heads or head else slice(None)
    if crf is not None:
        refuse_second_crf(model)
    seen = shrink(image, max_side)
    if crf is None and not return_probabilities and seen.shape == image.shape:
        labels = predict_labels(model, seen, scales, flip, tile, pad_to)
        return labels[..., list(heads).index(head)] if heads else labels
    probabilities = predict_probabilities(model, seen, scales, flip, tile, pad_to)[..., chosen]
    if crf is not None:
        probabilities = apply_crf(probabilities, seen, crf, max_memory)
    size = image.shape[:2]
    return (enlarge if return_probabilities else most_probable)(probabilities, size)


def predict_probabilities(model, image, scales=(1.0,), flip=False, tile=None, pad_to=None):
    """Predict the probabilities of the classes at every pixel of one image.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores, which may be
        trained between calls; what `deeplab_tf.open_model` gives; or a `FixedNetwork`.
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
      (H, W, C) float32, summing to one over the classes; of a network with several score heads,
      over those of each head, in the order of `score_heads`.

    Raises:
      InputError: if the image is not uint8 with the model's channels, a setting is out of its
        range, or the model is not a segmentation network for images of any size.
    """
    settings = {"scales": scales, "flip": flip, "tile": tile, "pad_to": pad_to}
    refuse_depth(model)
    if isinstance(model, OpenedModel):
        check_settings(**settings)
        return model.probabilities(image, **settings)
    network = fix_weights(model)
    return probabilities_of(pixel_scores(network, image, settings), network.heads).numpy()


def predict_labels(model, image, scales=(1.0,), flip=False, tile=None, pad_to=None):
    """Predict the class of every pixel of one image, without the time for probabilities.

    The arguments are those of `predict_probabilities`.

    Returns:
      (H, W) uint8: `most_probable` of the probabilities, and where two of them are equal after
      rounding, the class of the higher score; (H, W, heads) of a network with several score heads.

    Raises:
      InputError: as for `predict_probabilities`.
    """
    settings = {"scales": scales, "flip": flip, "tile": tile, "pad_to": pad_to}
    refuse_depth(model)
    if isinstance(model, OpenedModel):
        check_settings(**settings)
        return model.labels(image, **settings)
    network = fix_weights(model)
    return labels_of(pixel_scores(network, image, settings), network.heads).numpy()


def predict_batch(model, images, scales=(1.0,), flip=False, pad_to=None):
    """`predict_probabilities` of several images of one size at once, which suits a GPU.

    Args:
      model: Keras model from RGB images (B, H, W, 3), values 0..255, to scores, or what
        `fix_weights` gives of it.
      images: (B, H, W, C) uint8.
      scales, flip, pad_to: see `predict_probabilities`.

    Returns:
      (B, H, W, num_classes) float32, those of single images up to rounding.
    """
    refuse_depth(model)
    network = fix_weights(model)
    scores = network.batch_scores(images, scales, flip, pad_to)
    return probabilities_of(scores, network.heads).numpy()


def fix_weights(model):
    """What scores many images fastest, if the model is not trained in between.

    Args:
      model: Keras model; or what `deeplab_tf.open_model` or this function gave.

    Returns:
      `FixedNetwork` of the Keras model; another model as it is.

    Example:
      >>> network = fix_weights(model)
      >>> labels = [predict_labels(network, image) for image in images]
    """
    return model if isinstance(model, OpenedModel | FixedNetwork) else FixedNetwork(model)


def heads_of(model):
    """The score heads of a Keras model, or of what `fix_weights` takes; see `score_heads`."""
    is_ready = isinstance(model, OpenedModel | FixedNetwork)
    return model.heads if is_ready else score_heads(model)


def pixel_scores(model, image, settings):
    """Scores of every pixel by a network of Keras, before the softmax.

    Args:
      model: Keras model or `FixedNetwork`.
      image: (H, W, C) uint8.
      settings: dict of `scales`, `flip`, `tile` and `pad_to` as in `predict_probabilities`.

    Returns:
      (H, W, classes) float32, as a tensor; of a network for depth, its logarithm (H, W, 1).

    Raises:
      InputError: as for `predict_probabilities`.
    """
    check_settings(**settings)
    network = fix_weights(model)
    check_image(image, network.channels)
    minimum, tile = 2 * network.output_stride + 1, settings["tile"]
    if tile is not None and tile < minimum:
        raise InputError(f"tile {tile}; this model needs at least {minimum} pixels")
    return network.scores(image, **settings)


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
