"""Rewrites any keras.applications network to give a denser map with the same weights.

Every tensor carries the stride of its original grid and a rate: how many cells the dense grid has
for each original cell along an axis. A layer whose stride would exceed the wanted output stride
loses it and keeps the old rate for its own window; the layers after it are dilated by the new rate.
"""

import dataclasses

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_layers import (
    AtrousConv2D,
    AtrousPooling2D,
    SampledGlobalAveragePooling2D,
    WindowPadding2D,
)
from deeplab_tf.models.walk import assign_weights

OUTPUT_STRIDES = (1, 2, 4, 8, 16, 32)
_SUPPORTED = (
    "supported are the networks of deeplab_tf.models.backbone_names(), built with include_top=False"
)

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_MERGES = (keras.layers.Add, keras.layers.Multiply, keras.layers.Concatenate)
# Layers that compute every cell by itself, so the density of the grid does not matter.
_CELLWISE = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)
_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide")  # bare keras.ops, as in MobileNetV3
_CELLWISE_NAMES = (
    *("LayerScale", "StochasticDepth"),
    *("ImagePreprocessing", "ColorChannels", "FurtherChannels"),
)


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The grid of a tensor's cells.

    Attributes:
      stride: pixels per cell of the original grid.
      rate: cells of the dense grid per cell of the original one, along an axis.
      extra: cells that a ZeroPadding2D just before has added, in the original grid.
      channels_only: True for a global mean, which has no grid and can be merged with any.
    """

    stride: int = 1
    rate: int = 1
    extra: tuple = (0, 0)
    channels_only: bool = False


def to_atrous(model, output_stride, keep_size=True, *, centered=False):
    """Rewrite a network so that its last map has `output_stride` pixels per cell.

    Strides beyond the output stride become dilation of the later windows (the papers' atrous
    algorithm), so every (original stride / output stride)-th cell of the result equals the
    original network's cell, also at the borders.

    Args:
      model: a functional `keras.Model` of keras.applications, built with `include_top=False`;
        images `(B, H, W, 3)` in, one map `(B, h, w, C)` out.
      output_stride: pixels per cell of the new map: 1, 2, 4, 8, 16 or 32.
      keep_size: True keeps the size of a map whose layer loses its stride, as far as exactness
        at the borders allows; False pads as the original does, which may give fewer cells.
      centered: whether to center cell (i, j) on pixel (s i, s j) for output stride s, at every
        image size: every window is then padded by (kernel_size - 1) // 2 cells before, and as
        many after as `ceil(size / stride)` cells need. keras.applications pads odd sizes this
        way; even sizes are then padded like odd ones.

    Returns:
      A new keras.Model with a copy of the weights, in the same order.

    Raises:
      InputError: for a layer that cannot be rewritten, or an output stride that the network's
        strides do not divide into.

    Example:
      >>> model = keras.applications.ResNet50(include_top=False)
      >>> to_atrous(model, 8).output_shape  # one cell per 8 pixels instead of 32
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(f"output_stride must be one of {OUTPUT_STRIDES}, got {output_stride!r}")
    is_model = isinstance(model, keras.Model) and not isinstance(model, keras.Sequential)
    # A subclassed model has no graph and no `inputs`.
    if not is_model or len(getattr(model, "inputs", None) or ()) != 1:
        raise InputError(
            f"to_atrous takes a functional keras.Model with one input, got "
            f"{type(model).__name__}; {_SUPPORTED}"
        )
    rewriter = _Rewriter(output_stride, keep_size, centered)
    (entry,) = (layer for layer in model.layers if isinstance(layer, keras.layers.InputLayer))
    images = keras.Input(batch_shape=entry.batch_shape, dtype=entry.dtype, name=entry.name)
    dense = keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: images, model.input),
        clone_function=lambda layer: layer,
        call_function=rewriter,
    )
    rewriter.copy_weights()
    reached = rewriter.pixels_per_cell(dense.output)
    if reached != output_stride:
        raise InputError(
            f"to_atrous: {model.name!r} already has {reached} pixels per cell; output_stride "
            f"{output_stride} would make its map coarser; give {reached} or less"
        )
    return dense


class _Rewriter:
    """Called by `clone_model` for every layer in turn; remembers the grid of every tensor."""

    def __init__(self, output_stride, keep_size, centered):
        self.output_stride, self.keep_size, self.centered = output_stride, keep_size, centered
        # id of a tensor -> (the tensor, kept alive so that no other gets its id, its grid)
        self._grids = {}
        # id of an original layer -> (the layer, its inputs' grid, its new layers, their grid)
        self._clones = {}

    def __call__(self, layer, *args, **kwargs):
        if isinstance(layer, keras.Sequential):  # ConvNeXt wraps its strided layers
            (x,) = args
            for inner in layer.layers:
                x = self(inner, x)
            return x
        inputs = [x for x in keras.tree.flatten(args) if keras.backend.is_keras_tensor(x)]
        grid = _common_grid(layer, [self._grid(x) for x in inputs])
        if id(layer) not in self._clones:
            self._clones[id(layer)] = (layer, grid, *self._rewrite(layer, grid))
        _, first_grid, layers, out_grid = self._clones[id(layer)]
        if grid != first_grid:
            raise _unsupported(layer, "is called on maps of different strides")
        y = layers[0](*args, **kwargs)
        for follower in layers[1:]:
            y = follower(y)
        self._grids[id(y)] = (y, out_grid)
        return y

    def copy_weights(self):
        """Copy every original layer's weights; by layer, since padding layers were added."""
        for original, _, layers, _ in self._clones.values():
            if getattr(original, "weights", None):
                assign_weights(layers[-1], original.get_weights())

    def pixels_per_cell(self, tensor):
        """The output stride of a rewritten tensor."""
        grid = self._grid(tensor)
        return grid.stride // grid.rate

    def _grid(self, tensor):
        return self._grids.get(id(tensor), (None, _Grid()))[1]

    def _rewrite(self, layer, grid):
        """The layers to call in place of `layer`, and the grid they lead to."""
        if isinstance(layer, _CONVOLUTIONS):
            return self._window(layer, grid, layer.kernel_size, self._convolution)
        if isinstance(layer, _POOLINGS):
            return self._window(layer, grid, layer.pool_size, self._pooling)
        after = dataclasses.replace(grid, extra=(0, 0))
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return self._zero_padding(layer, grid)
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            config = {**layer.get_config(), "dilation_rate": grid.rate}
            clone = SampledGlobalAveragePooling2D.from_config(config)
            return [clone], dataclasses.replace(after, channels_only=True)
        if isinstance(layer, keras.layers.Reshape) and grid.channels_only:
            return [_copy(layer)], after
        if isinstance(layer, _MERGES + _CELLWISE) or type(layer).__name__ in _CELLWISE_NAMES:
            return [_copy(layer)], after
        if not isinstance(layer, keras.Layer) and type(layer).__name__ in _ARITHMETIC:
            return [layer], after
        raise _unsupported(layer, "has no atrous form")

    def _window(self, layer, grid, kernel_size, build):
        """Rewrite a convolution or pooling with `build`, and decide whether it loses its stride."""
        if layer.data_format != "channels_last":
            raise _unsupported(layer, "is not channels_last")
        if grid.channels_only:
            return [_copy(layer)], grid
        stride, other = layer.strides if isinstance(layer.strides, tuple) else (layer.strides,) * 2
        if stride != other:
            raise _unsupported(layer, "has different strides for rows and columns")
        present = grid.stride // grid.rate  # pixels per dense cell
        lose = stride > 1 and present * stride > self.output_stride
        if lose and present != self.output_stride:
            raise _unsupported(layer, f"has a stride that skips output stride {self.output_stride}")
        rate = grid.rate * stride if lose else grid.rate
        layers = build(layer, grid, tuple(kernel_size), stride, lose)
        return layers, _Grid(stride=grid.stride * stride, rate=rate)

    def _padding_mode(self, layer, grid):
        """How to pad a window: as the original does, or so that its cells are centered."""
        explicit = grid.extra != (0, 0)
        return "centered" if self.centered and not explicit else layer.padding

    def _convolution(self, layer, grid, kernel_size, stride, lose):
        pairs = zip(kernel_size, layer.dilation_rate, strict=True)
        window = tuple((size - 1) * rate + 1 for size, rate in pairs)  # of the original layer
        mode = self._padding_mode(layer, grid)
        config = {**layer.get_config(), "padding": "valid"}
        config["dilation_rate"] = tuple(rate * grid.rate for rate in layer.dilation_rate)
        if lose:
            config["strides"] = (1, 1)
        if window == (1, 1):
            return [_build(layer, config)]
        symmetric = all(size % 2 for size in window)
        as_same = (mode == "same" and stride == 1) or (mode == "centered" and (stride == 1 or lose))
        if as_same and symmetric:  # the native "same" pads exactly like this
            return [_build(layer, {**config, "padding": "same"})]
        if mode == layer.padding and not (lose or (grid.rate > 1 and mode == "same")):
            return [_build(layer, {**config, "padding": mode})]
        padding = WindowPadding2D(
            window,
            **self._window_arguments(grid, stride, mode),
            name=f"{layer.name}_window_padding",
        )
        return [padding, _build(layer, config)]

    def _window_arguments(self, grid, stride, mode):
        return {
            "strides": (stride, stride),
            "dilation_rate": grid.rate,
            "padding": mode,
            "extra": grid.extra,
            "keep_size": self.keep_size,
        }

    def _pooling(self, layer, grid, kernel_size, stride, lose):
        mode = self._padding_mode(layer, grid)
        if not lose and grid.rate == 1 and mode == layer.padding:
            return [_copy(layer)]
        if not lose and kernel_size == (2, 2) == layer.strides and mode == "centered":
            # "same" pads a 2x2 window after its end, and leaves the padding out of an average.
            return [type(layer).from_config({**layer.get_config(), "padding": "same"})]
        kind = "max" if isinstance(layer, keras.layers.MaxPooling2D) else "average"
        arguments = self._window_arguments(grid, stride, mode)
        if lose or stride == 1:
            return [AtrousPooling2D(kind, kernel_size, **arguments, name=layer.name)]
        # A centered window that keeps its stride: pool at every cell, then take every stride-th.
        pooling = AtrousPooling2D(kind, kernel_size, **arguments, name=f"{layer.name}_window")
        return [pooling, keras.layers.MaxPooling2D(1, strides=stride, name=layer.name)]

    def _zero_padding(self, layer, grid):
        (top, bottom), (left, right) = layer.padding
        if self.centered:
            # keras.applications fixes (k//2 - 1, k//2) for even sizes; (k//2, k//2) centers
            # the windows at every size.
            top, bottom = (max(top, bottom),) * 2
            left, right = (max(left, right),) * 2
        extra = (grid.extra[0] + top + bottom, grid.extra[1] + left + right)
        pads = ((top * grid.rate, bottom * grid.rate), (left * grid.rate, right * grid.rate))
        config = {**layer.get_config(), "padding": pads}
        return [type(layer).from_config(config)], dataclasses.replace(grid, extra=extra)


def _common_grid(layer, grids):
    """The one grid that all inputs of a layer lie on; global means match any grid."""
    spatial = {(grid.stride, grid.rate) for grid in grids if not grid.channels_only}
    if len(spatial) > 1:
        raise _unsupported(layer, "joins maps of different strides")
    return next((grid for grid in grids if not grid.channels_only), grids[0])


def _build(layer, config):
    """A layer of the same kind from a changed config; a dilated Conv2D becomes AtrousConv2D."""
    dilated = max(config["dilation_rate"]) > 1
    if type(layer) is keras.layers.Conv2D and dilated:
        return AtrousConv2D.from_config(config)
    return type(layer).from_config(config)


def _copy(layer):
    return type(layer).from_config(layer.get_config())


def _unsupported(layer, reason):
    return InputError(
        f"to_atrous: layer {layer.name!r} ({type(layer).__name__}) {reason}; {_SUPPORTED}"
    )
