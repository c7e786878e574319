"""keras.applications networks by name: their constructors, preprocessing and dense form."""

import dataclasses

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.atrous import rewrite
from deeplab_tf.models.preprocessing import ImagePreprocessing


@dataclasses.dataclass(frozen=True)
class Family:
    """How one family of keras.applications wants its images.

    Attributes:
      members: names in keras.applications.
      mode: what `ImagePreprocessing` does for it; None where the network does it itself.
    """

    members: tuple
    mode: str | None


FAMILIES = (
    Family(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), "caffe"),
    Family(("ResNet50V2", "ResNet101V2", "ResNet152V2"), "tf"),
    Family(("MobileNet", "MobileNetV2", "Xception"), "tf"),
    Family(("DenseNet121", "DenseNet169", "DenseNet201"), "torch"),
    Family(("MobileNetV3Small", "MobileNetV3Large"), None),
    Family(tuple(f"EfficientNetB{i}" for i in range(8)), None),
    Family(tuple(f"EfficientNetV2B{i}" for i in range(4)), None),
    Family(tuple(f"EfficientNetV2{size}" for size in "SML"), None),
    Family(tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large")), None),
)
_BY_NAME = {name.lower(): (name, family) for family in FAMILIES for name in family.members}


def backbone_names():
    """Return the names `build_backbone` takes, in lower case."""
    return tuple(_BY_NAME)


def build_backbone(
    name, output_stride, weights, input_shape=(None, None, 3), pool_size=2, preprocessing=None
):
    """A keras.applications network with one cell per `output_stride` pixels, centred on them.

    Args:
      name: lower-case name, see `backbone_names`.
      output_stride: pixels per cell of the last map: 8, 16 or 32, or less.
      weights: list of arrays in Keras's order, or None for random ones.
      input_shape: `(H, W, 3)`, None for sizes that vary.
      pool_size: side of the windows of VGG's poolings, which are 2x2 in keras.applications.
      preprocessing: mode of `ImagePreprocessing` in place of the network's own.

    Returns:
      A functional keras.Model: RGB images 0..255 `(B, H, W, 3)` in, its own preprocessing
      included; `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, C)` out.

    Raises:
      InputError: unknown name, or an output stride that the network cannot have.
    """
    images = keras.Input(input_shape, name="images")
    original = original_backbone(name, images, weights, preprocessing)
    if pool_size != 2:
        original = _with_pool_size(original, pool_size)
    dense = rewrite(original, output_stride, centred=True)
    return keras.Model(dense.inputs[0], dense.output, name=name)


def original_backbone(name, images, weights, preprocessing=None):
    """A keras.applications network as it is, with its preprocessing.

    Args:
      name, weights, preprocessing: see `build_backbone`.
      images: symbolic tensor of RGB images 0..255 `(B, H, W, 3)`.

    Returns:
      A functional keras.Model.
    """
    constructor, mode = look_up(name)
    mode = preprocessing or mode
    x = ImagePreprocessing(mode, name="preprocessing")(images) if mode else images
    network = constructor(weights=None, include_top=False, input_tensor=x)
    if weights is not None:
        network.set_weights(weights)
    return network


def _with_pool_size(network, pool_size):
    """The same layers, those of pooling with other windows."""

    def resized(layer):
        if not isinstance(layer, keras.layers.MaxPooling2D):
            return layer
        return keras.layers.MaxPooling2D.from_config(
            {**layer.get_config(), "pool_size": pool_size, "padding": "same"}
        )

    return keras.models.clone_model(network, clone_function=resized)


def look_up(name):
    """Return the constructor in keras.applications, and the preprocessing it needs or None.

    Raises:
      InputError: for an unknown name.
    """
    if name not in _BY_NAME:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(_BY_NAME)}")
    constructor, family = _BY_NAME[name]
    return getattr(keras.applications, constructor), family.mode
