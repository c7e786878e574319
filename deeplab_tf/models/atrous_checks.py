"""What `to_atrous` refuses, and in which words."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous_layers import (
    AtrousConv2D,
    AtrousPooling2D,
    SampledGlobalAveragePooling2D,
    SampledGlobalMaxPooling2D,
    WindowPadding2D,
)
from deeplab_tf.models.normalization import SampledGroupNormalization
from deeplab_tf.models.walk import leaf_layers

_SUPPORTED = (
    "supported are the networks of deeplab_tf.models.backbone_names(), built with "
    "include_top=False, and networks of the same kinds of layers"
)

# A network with one of these was dense before.
ATROUS = (
    *(AtrousConv2D, AtrousPooling2D, WindowPadding2D),
    *(SampledGlobalAveragePooling2D, SampledGlobalMaxPooling2D, SampledGroupNormalization),
)


def functional(model):
    """The model itself, or the functional form of a Sequential; one input, one output."""
    if isinstance(model, keras.Sequential):
        if not getattr(model, "inputs", None):
            raise InputError(
                f"to_atrous: Sequential {model.name!r} does not know its input's shape; begin it "
                "with keras.Input((None, None, 3))"
            )
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    # A subclassed model has no graph and no `inputs`.
    ends = [getattr(model, name, None) or () for name in ("inputs", "outputs")]
    if not isinstance(model, keras.Model) or any(len(tensors) != 1 for tensors in ends):
        raise InputError(
            f"to_atrous takes a functional or Sequential keras.Model with one input and one "
            f"output, got {type(model).__name__}; {_SUPPORTED}"
        )
    return model


def check_ends_in_map(model, is_map=True):
    """Refuse a network whose output has no rows and columns, or has only one of each."""
    shape = model.outputs[0].shape
    if len(shape) != 4 or not is_map:
        raise InputError(
            f"to_atrous: {model.name!r} ends in one result for the whole image, of shape {shape}, "
            "not in a map; build it without its classifier: include_top=False and no pooling"
        )


def check_not_atrous(model, output_stride):
    """Refuse a network that `to_atrous` or `build_deeplab` has made."""
    for layer in leaf_layers(model):
        if isinstance(layer, ATROUS):
            raise InputError(
                f"to_atrous: {model.name!r} is already atrous (layer {layer.name!r} is "
                f"{type(layer).__name__}); build it with another output stride instead: "
                f"to_atrous(ORIGINAL_NETWORK, {output_stride}) or "
                f"build_deeplab(..., output_stride={output_stride}, weights=FILE)"
            )


def unsupported(layer, reason):
    """The InputError for a layer; `reason` is the end of a sentence that begins with its name."""
    return InputError(
        f"to_atrous: layer {layer.name!r} ({type(layer).__name__}) {reason}; {_SUPPORTED}"
    )
