"""Trained networks at a finer output stride than the one they were trained with."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous import OUTPUT_STRIDES
from deeplab_tf.models.atrous_rewriter import rewrite
from deeplab_tf.models.multiscale import MaxFusion, ScaleImages, fuse_scales
from deeplab_tf.models.resize import UpsampleToMap, find_output_stride
from deeplab_tf.models.score_heads import head_sizes, score_heads, with_heads
from deeplab_tf.models.walk import leaf_layers


def with_output_stride(model, output_stride):
    """The same trained network with a score for more of the pixels, as DeepLab v3 is tested.

    All dilation rates grow with the density, those of the head too, so that every kernel sees the
    pixels that it was trained on: every (old stride / new stride)-th score is that of `model`.
    The head of `build_deeplab(output_stride=8)`, without a trained network to start from, has the
    published rates instead.

    Args:
      model: functional `keras.Model` from images `(B, H, W, 3)` of any size to scores
        `(B, (H-1)//s+1, (W-1)//s+1, C)`, such as `build_deeplab` makes, of one or several scales.
      output_stride: pixels per score cell of the result: 1, 2, 4, 8, 16 or 32, at most s.

    Returns:
      A new keras.Model with a copy of the weights, in the same order; `model` itself if it has
      this output stride.

    Raises:
      InputError: if the model's scores are coarser, or a layer has no dilated form.

    Example:
      >>> model = with_output_stride(load_model("trained_at_16.keras"), 8)
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output stride must be one of {OUTPUT_STRIDES}, got {output_stride!r}")
    present = find_output_stride(model)
    if output_stride > present:
        raise InputError(
            f"network {model.name!r} has output stride {present}, and {output_stride} would make "
            f"its scores coarser than it was trained for; give {present} or less"
        )
    if output_stride == present:
        return model
    network = single_scale(model)
    if any(isinstance(layer, UpsampleToMap) for layer in leaf_layers(network)):
        raise InputError(
            f"network {model.name!r} has a decoder, which scores every {present}th pixel; for a "
            "denser map before the decoder build it with build_deeplab(..., output_stride=8, "
            "weights=FILE), or leave the output stride out"
        )
    dense = rewrite(network, output_stride, keep_size=True, centered=False)
    if network is model:
        return dense
    scales = [layer.scale for layer in model.layers if isinstance(layer, ScaleImages)]
    _, *maps = model.get_layer("fused_scores").input
    scales += [1.0] * (len(maps) - len(scales))  # scale 1 has no layer
    fused, heads = fuse_scales(dense, scales, output_stride), score_heads(model)
    return with_heads(fused, head_sizes(heads)) if heads else fused


def single_scale(model):
    """The network that a model of several scales calls at each; another model itself."""
    if not any(isinstance(layer, MaxFusion) for layer in model.layers):
        return model
    (network,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return network
