"""Rewrites any keras.applications network to give a denser map with the same weights."""

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_checks import check_ends_in_map, check_not_atrous, functional
from deeplab_tf.models.atrous_rewriter import rewrite

OUTPUT_STRIDES = (1, 2, 4, 8, 16, 32)


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
    check_ends_in_map(model)
    check_not_atrous(model, output_stride)
    return rewrite(model, output_stride, keep_size, centered)
