"""Which Keras layers compute every cell of a map separately, at any density of the cells.

`to_atrous` copies these layers as they are; it has a dilated form or a refusal for all others.
"""

import keras

_CELLWISE = (
    keras.layers.Activation,
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout2D,
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply),
    *(keras.layers.Average, keras.layers.Maximum, keras.layers.Minimum),
)
# These are cellwise if their axis is that of the channels.
_ALONG_AN_AXIS = (
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.RMSNormalization,
    keras.layers.Softmax,
    keras.layers.UnitNormalization,
)
# Layers of keras.applications that Keras does not publish, and those of images of this package.
_BY_NAME = (
    *("CustomScaleLayer", "LayerScale", "StochasticDepth"),
    *("ImagePreprocessing", "ColorChannels", "FurtherChannels", "HHAChannels", "SpreadOverMap"),
    "LocalResponseNormalization",
)
# Functions of keras.ops called in a network, which become operations of these names.
_OPERATIONS = (
    *("Absolute", "Add", "Clip", "Divide", "Maximum", "Minimum", "Multiply", "Negative"),
    *("Power", "Sqrt", "Square", "Subtract"),
    *("Celu", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "Relu", "Relu6"),
    *("Selu", "Sigmoid", "Silu", "Softplus", "Softsign", "Tanh"),
)
_OPERATIONS_ALONG_AN_AXIS = ("Concatenate", "LogSoftmax", "Softmax")
_UPSAMPLING = (keras.layers.Conv2DTranspose, keras.layers.UpSampling2D)


def is_cellwise(layer):
    """Whether a layer gives a cell the same values on a grid of any density.

    Args:
      layer: a `keras.Layer` called on maps `(B, H, W, C)`, or the operation that a function of
        keras.ops has become.

    Returns:
      bool; False too for layers that are not known.
    """
    name = type(layer).__name__
    if not isinstance(layer, keras.Layer):
        return name in _OPERATIONS or (name in _OPERATIONS_ALONG_AN_AXIS and along_channels(layer))
    if isinstance(layer, keras.layers.PReLU):
        return {1, 2} <= set(layer.shared_axes or ())
    if isinstance(layer, _ALONG_AN_AXIS):
        return along_channels(layer)
    of_a_library = type(layer).__module__.startswith(("keras.", "deeplab_tf."))
    return isinstance(layer, _CELLWISE) or (of_a_library and name in _BY_NAME)


def is_for_vectors(layer):
    """Whether a layer turns one vector for the whole image, such as a global mean, into another."""
    reshapes = keras.layers.Flatten, keras.layers.PReLU, keras.layers.Reshape
    return is_cellwise(layer) or isinstance(layer, _ALONG_AN_AXIS + reshapes)


def along_channels(layer):
    """Whether the `axis` of a layer is the last one of a map `(B, H, W, C)`, or none."""
    axis = layer.axis
    axes = axis if isinstance(axis, list | tuple) else () if axis is None else (axis,)
    return all(axis in (-1, 3) for axis in axes)


def why_not(layer):
    """Why a layer is not cellwise and has no dilated form, as the end of a sentence."""
    if isinstance(layer, keras.layers.PReLU):
        return "learns a slope for every cell of a map of fixed size; give it shared_axes=[1, 2]"
    if isinstance(layer, _UPSAMPLING):
        return (
            "upsamples, which has no atrous form; give the network that ends before it: "
            f"keras.Model(model.input, model.get_layer({layer.name!r}).input)"
        )
    if hasattr(layer, "axis") and not along_channels(layer):
        return f"works along axis {layer.axis}, across the cells; only axis -1 has an atrous form"
    if isinstance(layer, keras.layers.Cropping2D):
        return "shifts maps against each other, as in NASNet, and has no atrous form"
    return "has no atrous form"
