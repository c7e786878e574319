"""Trained networks at a finer output stride than the one they were trained with."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous import OUTPUT_STRIDES
from deeplab_tf.models.atrous_rewriter import rewrite
from deeplab_tf.models.multiscale import MaxFusion, ScaleImages, fuse_scales
from deeplab_tf.models.resize import UpsampleToMap, find_output_stride
from deeplab_tf.models.score_heads import head_sizes, score_heads, with_heads


def with_output_stride(model, output_stride):
    """The same trained network with a score for more of the pixels, as DeepLab v3 is tested.

    All dilation rates grow with the density, those of the head too, so that every kernel sees the
    pixels that it was trained on: every (old stride / new stride)-th score is that of `model`.
    The head of `build_deeplab(output_stride=8)`, without a trained network to start from, has the
    published rates instead.

    A network that upsamples inside, such as one with a decoder, has as many scores as before, but
    from a denser map: it becomes what `build_deeplab` makes at the finer output stride.

    Args:
      model: functional `keras.Model` from images `(B, H, W, 3)` of any size to scores
        `(B, (H-1)//s+1, (W-1)//s+1, C)`, such as `build_deeplab` makes, of one or several scales.
      output_stride: pixels per cell of the backbone's last map in the result, and per score cell
        if nothing is upsampled: 1, 2, 4, 8, 16 or 32, at most that of `model`; with a decoder 8,
        16 or 32.

    Returns:
      A new keras.Model with a copy of the weights, in the same order; `model` itself if it has
      this output stride.

    Raises:
      InputError: if the model's scores or its decoder's map would be coarser than now, or a layer
        has no dilated form.

    Example:
      >>> model = with_output_stride(load_model("trained_at_16.keras"), 8)
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output stride must be one of {OUTPUT_STRIDES}, got {output_stride!r}")
    network = single_scale(model)
    present, decoder_stride = _strides(network)
    if output_stride > present:
        raise InputError(
            f"network {model.name!r} has output stride {present}, and {output_stride} would make "
            f"its scores coarser than it was trained for; give {present} or less"
        )
    if output_stride == present:
        return model
    if 1 < decoder_stride >= output_stride:
        raise InputError(
            f"network {model.name!r} has a decoder on a map with {decoder_stride} pixels per cell, "
            f"and output stride {output_stride} would leave nothing to upsample; give "
            f"{2 * decoder_stride} or more"
        )
    dense = rewrite(network, output_stride, keep_size=True, centered=False)
    if network is model:
        return dense
    scales = [layer.scale for layer in model.layers if isinstance(layer, ScaleImages)]
    _, *maps = model.get_layer("fused_scores").input
    scales += [1.0] * (len(maps) - len(scales))  # scale 1 has no layer
    fused = fuse_scales(dense, scales, find_output_stride(dense))
    heads = score_heads(model)
    return with_heads(fused, head_sizes(heads)) if heads else fused


def _strides(network):
    """Pixels per cell of the map that is scored or upsampled first, and of what it is joined with.

    The latter is 1 if that is the image, or there is nothing.
    """
    for layer in network.layers:
        if isinstance(layer, UpsampleToMap):
            return [find_output_stride(keras.Model(network.input, x)) for x in layer.input]
    return find_output_stride(network), 1


def single_scale(model):
    """The network that a model of several scales calls at each; another model itself."""
    if not any(isinstance(layer, MaxFusion) for layer in model.layers):
        return model
    (network,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return network
