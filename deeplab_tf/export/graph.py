"""The graph that every export holds: from images to labels and probabilities of their size."""

import tensorflow as tf

from crf.dense import ENGINES, check_options
from crf.memory import GRAPH_FACTOR
from crf.strips import plan_strips
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.compiled import upsampled_scores
from deeplab_tf.evaluation.depth import depth_from_log
from deeplab_tf.evaluation.inference import check_settings
from deeplab_tf.head_labels import HeadLabels
from deeplab_tf.models.depth import predicts_depth
from deeplab_tf.models.fast.convertible import convertible
from deeplab_tf.models.resize import find_output_stride
from deeplab_tf.models.score_heads import labels_of, probabilities_of, score_heads, slices_of


def check_export(model, label_set, scales, flip, pad_to, image_size):
    """Raise `InputError` if a network cannot be exported with these classes and settings.

    The arguments are those of `export_model`.
    """
    check_settings(scales, flip, pad_to=pad_to)
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise InputError(f"image_size {image_size!r}; give (height, width) in pixels, or None")
    if predicts_depth(model):
        if tuple(scales) != (1.0,):
            raise InputError(f"scales {tuple(scales)}: are for classes; the network predicts depth")
        return
    num_classes = model.output_shape[-1]
    if label_set.num_classes != num_classes:
        raise InputError(
            f"{label_set.num_classes} class names for a model of {num_classes} classes;"
            " give one name for each class"
        )
    heads = score_heads(model)
    given = slices_of(label_set.sizes) if isinstance(label_set, HeadLabels) else {}
    if given != heads:
        wanted = f"HeadLabels of the heads {', '.join(heads)}" if heads else "a LabelSet"
        raise InputError(f"label_set is not of the model's score heads; give {wanted}")


def check_crf_options(crf, options, num_classes, image_size):
    """The options with which a graph computes the CRF, as keywords of `crf.dense_crf`.

    Args:
      crf: `CRFParams`, or None.
      options: dict of `engine`, `prune_below`, `max_memory` and `overlap`, or None.
      num_classes: number of the network's classes.
      image_size: (height, width) in pixels, or None.

    Raises:
      InputError: if they cannot be used.
    """
    options = options or {}
    unknown = options.keys() - {"engine", "prune_below", "max_memory", "overlap"}
    if unknown:
        raise InputError(f"unknown options of the CRF: {', '.join(sorted(unknown))}")
    if options and crf is None:
        raise InputError(f"{', '.join(options)}: have no effect without the CRF; give crf")
    options = {"engine": "lattice", **options}
    if options["engine"] == "numba":
        exported = ", ".join(name for name in ENGINES if name != "numba")
        raise InputError(f"the CRF's engine 'numba' cannot be exported; available: {exported}")
    try:
        checked = check_options(crf, **options)
        if checked.max_memory is not None and image_size is not None:
            limits = checked.max_memory, checked.overlap
            shape = *image_size, num_classes
            plan_strips(shape, checked.params, *limits, "dense_crf", GRAPH_FACTOR)
    except ValueError as error:
        raise InputError(str(error)) from None
    return options


def predict_depth_maps(network, images, stride, settings):
    """The depth of every pixel, (B, H, W) float32 in meters.

    Args:
      network: Keras model from images to the logarithm of the depth.
      images: (B, H, W, C) float32, values 0..255.
      stride: the network's output stride in pixels.
      settings: (scales, flip, pad_to).
    """
    return depth_from_log(upsampled_scores(network, images, stride, *settings)[..., 0])


def most_probable(probabilities):
    """The classes of one head with the highest probabilities or scores, (B, H, W) uint8."""
    return labels_of(probabilities, {})


def named_results(probabilities, heads, scores=None):
    """The outputs of an exported network by their names.

    Args:
      probabilities: (B, H, W, classes) float32.
      heads: the network's score heads, see `score_heads`.
      scores: those before the softmax, of which runtimes that are asked for labels alone compute
        these; None: the labels are those of the probabilities.

    Returns:
      dict of `labels`, (B, H, W) uint8, and `probabilities`; of several heads `HEAD_labels` and
      `HEAD_probabilities` for each.
    """
    found = {}
    for prefix, part in output_parts(heads):
        own = probabilities[..., part] if heads else probabilities
        of = own if scores is None else scores[..., part]
        found |= {f"{prefix}labels": most_probable(of), f"{prefix}probabilities": own}
    return found


def output_parts(heads):
    """Pairs of what the outputs' names of each score head begin with, and the head's channels."""
    return [(f"{name}_", part) for name, part in heads.items()] or [("", slice(None))]


def convertible_graph(model, settings, image_size=None, batch=None):
    """The graph of a network in a form that converters to other runtimes take.

    Args:
      model: Keras model from images to scores.
      settings: (scales, flip, pad_to).
      image_size: (height, width) in pixels; None: any.
      batch: number of images; None: any.

    Returns:
      `tf.function` from `images` (B, H, W, channels) float32 to the dict of `named_results`,
      or of `depth`.
    """
    network, stride, heads = convertible(model), find_output_stride(model), score_heads(model)
    shape = [batch, *(image_size or (None, None)), model.input_shape[-1]]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "images")])
    def predict(images):
        if predicts_depth(model):
            return {"depth": predict_depth_maps(network, images, stride, settings)}
        scores = upsampled_scores(network, images, stride, *settings)
        return named_results(probabilities_of(scores, heads), heads, scores)

    return predict
