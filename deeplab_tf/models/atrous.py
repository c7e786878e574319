"""Rewrites any keras.applications network to give a denser map with the same weights."""

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_layers import (
    AtrousConv2D,
    AtrousPooling2D,
    SampledGlobalAveragePooling2D,
    SampledGlobalMaxPooling2D,
    WindowPadding2D,
)
from deeplab_tf.models.atrous_rewriter import functional, rewrite
from deeplab_tf.models.normalization import SampledGroupNormalization
from deeplab_tf.models.walk import leaf_layers

OUTPUT_STRIDES = (1, 2, 4, 8, 16, 32)
# A network with one of these was dense before.
_ATROUS = (
    *(AtrousConv2D, AtrousPooling2D, WindowPadding2D),
    *(SampledGlobalAveragePooling2D, SampledGlobalMaxPooling2D, SampledGroupNormalization),
)


def to_atrous(model, output_stride, keep_size=True, *, centered=False):
    """Rewrite a network so that its last map has `output_stride` pixels per cell.

    Strides beyond the output stride become dilation of the later windows (the papers' atrous
    algorithm), so every (original stride / output stride)-th cell of the result equals the
    original network's cell, also at the borders.

    Args:
      model: a network of keras.applications, built with `include_top=False`, or another
        functional or Sequential `keras.Model` of the same kinds of layers; images `(B, H, W, 3)`
        in, one map `(B, h, w, C)` out. Nested models are rewritten too.
      output_stride: pixels per cell of the new map: 1, 2, 4, 8, 16 or 32.
      keep_size: True keeps the size of a map whose layer loses its stride, as far as exactness
        at the borders allows; False pads as the original does, which may give fewer cells.
      centered: whether to center cell (i, j) on pixel (s i, s j) for output stride s, at every
        image size: every window is then padded by (kernel_size - 1) // 2 cells before, and as
        many after as `ceil(size / stride)` cells need. keras.applications pads odd sizes this
        way; even sizes are then padded like odd ones.

    Returns:
      A new functional keras.Model with a copy of the weights, in the same order.

    Raises:
      InputError: for a network with a classifier, a layer that cannot be rewritten, a network
        that is atrous already, or an output stride that the network's strides do not divide into.

    Example:
      >>> model = keras.applications.ResNet50(include_top=False)
      >>> to_atrous(model, 8).output_shape  # one cell per 8 pixels instead of 32
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride must be one of {OUTPUT_STRIDES}, got {output_stride!r}")
    model = functional(model)
    _check_ends_in_map(model)
    _check_not_atrous(model, output_stride)
    return rewrite(model, output_stride, keep_size, centered)


def _check_ends_in_map(model):
    if len(model.outputs[0].shape) != 4:
        raise InputError(
            f"to_atrous: {model.name!r} ends in one result for the whole image, of shape "
            f"{model.outputs[0].shape}, not in a map; build it without its classifier: "
            "include_top=False and no pooling"
        )


def _check_not_atrous(model, output_stride):
    for layer in leaf_layers(model):
        if isinstance(layer, _ATROUS):
            raise InputError(
                f"to_atrous: {model.name!r} is already atrous (layer {layer.name!r} is "
                f"{type(layer).__name__}); build it with another output stride instead: "
                f"to_atrous(ORIGINAL_NETWORK, {output_stride}) or "
                f"build_deeplab(..., output_stride={output_stride}, weights=FILE)"
            )
