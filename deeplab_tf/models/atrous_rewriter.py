"""The dense form of every layer of a network, for `to_atrous`.

Every tensor carries the stride of its original grid and a rate: how many cells the dense grid has
for each original cell along an axis. A layer whose stride would lead beyond the wanted output
stride loses its stride. It is itself dilated by the old rate, and the layers after it by the new.
"""

import dataclasses

import keras

from deeplab_tf.errors import InputError, one_line
from deeplab_tf.models.atrous_checks import ATROUS, check_ends_in_map, functional, unsupported
from deeplab_tf.models.atrous_layers import (
    CONVOLUTIONS,
    GLOBAL_POOLINGS,
    POOLINGS,
    AtrousConv2D,
    AtrousPooling2D,
    WindowPadding2D,
)
from deeplab_tf.models.cellwise import along_channels, is_cellwise, is_for_vectors, why_not
from deeplab_tf.models.fast.fuse import check_not_fused
from deeplab_tf.models.normalization import SampledGroupNormalization, VariableNormalization
from deeplab_tf.models.resize import UpsampleToMap
from deeplab_tf.models.walk import leaf_layers


@dataclasses.dataclass(frozen=True)
class _Grid:
    """The grid of a tensor's cells.

    Attributes:
      stride: pixels per cell of the original grid.
      rate: cells of the dense grid per cell of the original one, along an axis.
      extra: cells that a ZeroPadding2D just before has added, in the original grid.
      padded: whether a WindowPadding2D just before has padded for the next window.
      channels_only: True for a global mean, which has no grid and can be merged with any.
    """

    stride: int = 1
    rate: int = 1
    extra: tuple = (0, 0)
    padded: bool = False
    channels_only: bool = False

    @property
    def pixels(self):
        """Pixels per cell of the dense grid."""
        return self.stride // self.rate


def rewrite(model, output_stride, keep_size, centered):
    """The dense form of a model with one input and one output.

    Args:
      model: a functional `keras.Model`, see `functional`; it may be dense already.
      output_stride, keep_size, centered: see `to_atrous`.

    Returns:
      A new keras.Model with a copy of the weights, in the same order.

    Raises:
      InputError: for a fused network, a layer that cannot be rewritten, or an output stride that
        the model's strides do not divide into.
    """
    check_not_fused(model)
    upsamples = any(isinstance(layer, UpsampleToMap) for layer in leaf_layers(model))
    rewriter = _Rewriter(output_stride, keep_size, centered, upsamples)
    (entry,) = (layer for layer in model.layers if isinstance(layer, keras.layers.InputLayer))
    images = keras.Input(batch_shape=entry.batch_shape, dtype=entry.dtype, name=entry.name)
    dense = _clone(model, images, rewriter)
    rewriter.copy_weights()
    grid = rewriter.grid(dense.outputs[0])
    check_ends_in_map(model, not grid.channels_only)
    if grid.pixels != output_stride and not upsamples:
        raise InputError(
            f"to_atrous: {model.name!r} already has {grid.pixels} pixels per cell; output_stride "
            f"{output_stride} would make its map coarser; give {grid.pixels} or less"
        )
    return dense


def _clone(model, images, rewriter):
    """The model that `rewriter` makes of every layer of a functional model, from `images` on."""
    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: images, model.input),
        clone_function=lambda layer: layer,
        call_function=rewriter,
    )


class _Rewriter:
    """Called by `clone_model` for every layer in turn; remembers the grid of every tensor."""

    def __init__(self, output_stride, keep_size, centered, upsamples):
        self.output_stride, self.keep_size, self.centered = output_stride, keep_size, centered
        self.upsamples = upsamples
        # id of a tensor -> (the tensor, kept alive so that no other gets its id, its grid)
        self._grids = {}
        # id of an original layer -> (the layer, its inputs' grid, its new layers, their grid)
        self._clones = {}

    def __call__(self, layer, *args, **kwargs):
        """Call the dense form of `layer` on tensors of the dense network."""
        # Keras adds mask=None. ConvNeXt has Sequentials without other arguments.
        if isinstance(layer, keras.Sequential) and kwargs.get("training") is None:
            (x,) = args
            for inner in layer.layers:
                x = self(inner, x)
            return x
        inputs = [x for x in keras.tree.flatten(args) if keras.backend.is_keras_tensor(x)]
        if isinstance(layer, UpsampleToMap):
            return self._upsample(layer, *inputs)
        grid = _common_grid(layer, [self.grid(x) for x in inputs])
        if id(layer) not in self._clones:
            nested = isinstance(layer, keras.Model)
            new = self._nested(layer, grid, *inputs) if nested else self._rewrite(layer, grid)
            self._clones[id(layer)] = (layer, grid, *new)
        _, first_grid, layers, out_grid = self._clones[id(layer)]
        if grid != first_grid:
            raise unsupported(layer, "is called on maps of different strides")
        try:
            y = layers[0](*args, **kwargs)
            for follower in layers[1:]:
                y = follower(y)
        except ValueError as error:  # such as a constant array of the original map's size
            reason = f"cannot take the denser map ({one_line(error, 150)})"
            raise unsupported(layer, reason) from error
        (output,) = keras.tree.flatten(y)
        self._grids[id(output)] = (output, out_grid)
        return y

    def copy_weights(self):
        """Copy every original layer's weights; by layer, since padding layers were added."""
        for original, _, layers, _ in self._clones.values():
            if getattr(original, "weights", None) and not isinstance(original, keras.Model):
                layers[-1].set_weights(original.get_weights())

    def grid(self, tensor):
        """The `_Grid` of a rewritten tensor."""
        return self._grids.get(id(tensor), (None, _Grid()))[1]

    def _upsample(self, layer, coarse, fine):
        """Upsample a map, which may be denser now, to another one."""
        grid = self.grid(fine)
        config = {**layer.get_config(), "factor": self.grid(coarse).pixels // grid.pixels}
        y = type(layer).from_config(config)([coarse, fine])
        self._grids[id(y)] = (y, dataclasses.replace(grid, extra=(0, 0), padded=False))
        return y

    def _nested(self, model, grid, x):
        """The dense form of a model inside the model, and the grid it leads to."""
        model = functional(model)
        entry = keras.Input(batch_shape=x.shape, dtype=x.dtype)
        self._grids[id(entry)] = (entry, grid)
        dense = _clone(model, entry, self)
        return [dense], self.grid(dense.outputs[0])

    def _rewrite(self, layer, grid):
        """The layers to call in place of `layer`, and the grid they lead to."""
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise unsupported(layer, "is not channels_last")
        if isinstance(layer, CONVOLUTIONS):
            return self._window(layer, grid, layer.kernel_size, self._convolution)
        if isinstance(layer, POOLINGS):
            return self._window(layer, grid, layer.pool_size, self._pooling)
        after = dataclasses.replace(grid, extra=(0, 0), padded=False)
        if isinstance(layer, ATROUS):  # of a network that is dense already
            config = layer.get_config()
            config["dilation_rate"] *= 1 if grid.channels_only else grid.rate
            padded = isinstance(layer, WindowPadding2D)
            vector = grid.channels_only or isinstance(layer, tuple(GLOBAL_POOLINGS.values()))
            after = dataclasses.replace(after, padded=padded, channels_only=vector)
            return [type(layer).from_config(config)], after
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return self._zero_padding(layer, grid)
        if type(layer) in GLOBAL_POOLINGS:
            # Where maps are upsampled no score stays the same, and image pooling is over all cells.
            kind = GLOBAL_POOLINGS[type(layer)]
            clone = _copy(layer) if self.upsamples else _sampled(layer, kind, grid)
            return [clone], dataclasses.replace(after, channels_only=True)
        if type(layer) is keras.layers.GroupNormalization and along_channels(layer):
            dense = grid.rate > 1 and not grid.channels_only
            clone = _sampled(layer, SampledGroupNormalization, grid) if dense else _copy(layer)
            return [clone], after
        if type(layer) is keras.layers.Normalization and is_cellwise(layer):
            return [VariableNormalization.from_config(layer.get_config())], after
        if is_cellwise(layer) or (grid.channels_only and is_for_vectors(layer)):
            return [_copy(layer) if isinstance(layer, keras.Layer) else layer], after
        raise unsupported(layer, why_not(layer))

    def _window(self, layer, grid, kernel_size, build):
        """Rewrite a convolution or pooling with `build`, and decide whether it loses its stride."""
        if grid.channels_only:
            return [_copy(layer)], grid
        stride, other = layer.strides if isinstance(layer.strides, tuple) else (layer.strides,) * 2
        if stride != other:
            raise unsupported(layer, "has different strides for rows and columns")
        kept = stride
        if stride > 1 and grid.pixels * stride > self.output_stride:
            kept = self.output_stride // grid.pixels
            if stride % kept:
                reason = f"has a stride that skips output stride {self.output_stride}"
                raise unsupported(layer, reason)
        layers = build(layer, grid, tuple(kernel_size), stride, kept)
        return layers, _Grid(stride=grid.stride * stride, rate=grid.rate * stride // kept)

    def _padding_mode(self, layer, grid):
        """How to pad a window: as the original does, or so that its cells are centered."""
        explicit = grid.extra != (0, 0)
        return "centered" if self.centered and not explicit else layer.padding

    def _convolution(self, layer, grid, kernel_size, stride, kept):
        pairs = zip(kernel_size, layer.dilation_rate, strict=True)
        window = tuple((size - 1) * rate + 1 for size, rate in pairs)  # of the original layer
        mode = self._padding_mode(layer, grid)
        config = {**layer.get_config(), "padding": "valid", "strides": (kept, kept)}
        config["dilation_rate"] = tuple(rate * grid.rate for rate in layer.dilation_rate)
        if window == (1, 1) or grid.padded:
            return [_build(layer, config)]
        as_same = (mode == "same" and stride == 1) or (mode == "centered" and kept == 1)
        if as_same and all(size % 2 for size in window):  # the native "same" pads exactly like this
            return [_build(layer, {**config, "padding": "same"})]
        if mode == layer.padding and kept == stride and not (grid.rate > 1 and mode == "same"):
            return [_build(layer, {**config, "padding": mode})]
        if mode == "valid" and kept > 1:  # stops where the original does
            return [_build(layer, config)]
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

    def _pooling(self, layer, grid, kernel_size, stride, kept):
        mode = self._padding_mode(layer, grid)
        if kept == stride and grid.rate == 1 and mode == layer.padding:
            return [_copy(layer)]
        if kept == stride and kernel_size == (2, 2) == layer.strides and mode == "centered":
            # "same" pads a 2x2 window after its end, and leaves the padding out of an average.
            return [type(layer).from_config({**layer.get_config(), "padding": "same"})]
        kind = "max" if isinstance(layer, keras.layers.MaxPooling2D) else "average"
        arguments = self._window_arguments(grid, stride, mode)
        if kept == 1:
            return [AtrousPooling2D(kind, kernel_size, **arguments, name=layer.name)]
        # A window that keeps a part of its stride: pool at every cell, then take every kept-th.
        pooling = AtrousPooling2D(kind, kernel_size, **arguments, name=f"{layer.name}_window")
        return [pooling, keras.layers.MaxPooling2D(1, strides=kept, name=layer.name)]

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
        raise unsupported(layer, "joins maps of different strides")
    return next((grid for grid in grids if not grid.channels_only), grids[0])


def _build(layer, config):
    """A layer of the same kind from a changed config; a dilated Conv2D becomes AtrousConv2D."""
    dilated = max(config["dilation_rate"]) > 1
    if type(layer) is keras.layers.Conv2D and dilated:
        return AtrousConv2D.from_config(config)
    return type(layer).from_config(config)


def _sampled(layer, kind, grid):
    """The layer as one that takes its statistics from the original network's cells only."""
    return kind.from_config({**layer.get_config(), "dilation_rate": grid.rate})


def _copy(layer):
    return type(layer).from_config(layer.get_config())
