"""The networks that can be backbones: their preprocessing, and their dense form."""

import re
from typing import NamedTuple

import keras
from keras import ops
from keras.applications import imagenet_utils

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_FURTHER, MEAN_RGB, mean_color
from deeplab_tf.models import (
    authors_backbones,
    caffe_backbones,
    efficientnet_lite,
    torch_backbones,
)
from deeplab_tf.models.atrous import to_atrous
from deeplab_tf.models.channels import with_channels
from deeplab_tf.models.walk import leaf_layers


class Backbone(NamedTuple):
    """One network of keras.applications, or of this package where that has none.

    Attributes:
      class_name: its constructor's name.
      preprocessing: mode of `ImagePreprocessing`; None: the network contains its own.
    """

    class_name: str
    preprocessing: str | None

    @property
    def name(self):
        """Its name in this package: that of the constructor in lower case."""
        return self.class_name.lower()

    @property
    def constructor(self):
        """The function that builds it, with the arguments that keras.applications has."""
        ours = efficientnet_lite, authors_backbones, caffe_backbones, torch_backbones
        for module in (*ours, keras.applications):
            if constructor := getattr(module, self.class_name, None):
                return constructor
        raise AttributeError(self.class_name)


# To add a backbone, add its constructor's name to the row of its preprocessing.
_NAMES = {
    "caffe": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
    "tf": (
        *("ResNet50V2", "ResNet101V2", "ResNet152V2"),
        *("MobileNet", "MobileNetV2", "Xception", "InceptionV3", "InceptionResNetV2"),
        *("MobileNetV2Half", "MobileNetV2HalfRounded"),
        *("Xception41", "Xception65", "Xception71", "ResNet101Beta"),
    ),
    "ilsvrc": ("AlexNet", "BVLCAlexNet"),
    "googlenet": ("GoogLeNet",),
    "torch": (
        *("DenseNet121", "DenseNet169", "DenseNet201"),
        *("ResNet50Torch", "ResNet101Torch", "MobileNetV3LargeTorch"),
    ),
    None: (
        *("MobileNetV3Small", "MobileNetV3Large"),
        *(f"EfficientNetB{i}" for i in range(8)),
        *(f"EfficientNetV2B{i}" for i in range(4)),
        *(f"EfficientNetLite{i}" for i in range(5)),
        *("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"),
        *("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"),
    ),
}
_BACKBONES = {
    name.lower(): Backbone(name, preprocessing)
    for preprocessing, names in _NAMES.items()
    for name in names
}
_CAFFE_MEANS = {  # of red, green and blue, by the mode of preprocessing; its result is BGR
    "deeplab": MEAN_RGB,
    "ilsvrc": (122.67892, 116.66877, 104.00699),
    "googlenet": (123.0, 117.0, 104.0),
}


def backbone_names():
    """Return the names of all backbones, in lower case."""
    return tuple(_BACKBONES)


def find_backbone(name):
    """The `Backbone` of a name.

    Args:
      name: see `backbone_names`; also in keras.applications' and the DeepLab authors' spellings,
        such as "MobileNetV2", "mobilenet_v2", "efficientnetv2-b0" and "resnet101_beta".

    Raises:
      InputError: for an unknown name.
    """
    short = re.sub(r"[-_ ]", "", str(name)).lower()
    if short in _BACKBONES:
        return _BACKBONES[short]
    if short.startswith("nasnet"):
        raise InputError(
            f"backbone {name!r}: NASNet has no atrous form, because it shifts maps against each "
            f"other by fractions of a cell; available: {', '.join(_BACKBONES)}"
        )
    raise InputError(f"unknown backbone {name!r}; available: {', '.join(_BACKBONES)}")


def build_backbone(
    name, output_stride, weights, input_shape=(None, None, 3), pool_size=2, preprocessing=None
):
    """A backbone with one cell per `output_stride` pixels, centered on them.

    Args:
      name: see `find_backbone`.
      output_stride: pixels per cell of the last map: 1, 2, 4, 8, 16 or 32.
      weights: list of arrays in Keras's order, or None for random ones.
      input_shape: `(H, W, C)`, H and W None for sizes that vary; see `with_channels` for C > 3.
      pool_size: window size of VGG's poolings, which is 2 in keras.applications.
      preprocessing: mode of `ImagePreprocessing` in place of the network's own.

    Returns:
      A functional keras.Model from images 0..255 `(B, H, W, C)`, preprocessing included, to
      `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, features)`.

    Raises:
      InputError: for an unknown name, or an output stride that the network cannot have.
    """
    *size, channels = input_shape
    images = keras.Input((*size, 3), name="images")
    original = original_backbone(name, images, weights, preprocessing)
    if pool_size != 2:
        original = with_pool_size(original, pool_size)
    dense = to_atrous(original, output_stride, centered=True)
    mode = preprocessing or find_backbone(name).preprocessing
    # Further channels get the range of the preprocessed colors: levels, or about -1..1.
    scale = 1 / MEAN_FURTHER if mode in ("tf", "torch", None) else 1.0
    wide = with_channels(dense, channels, scale)
    return keras.Model(wide.inputs[0], wide.output, name=find_backbone(name).name)


def original_backbone(name, images, weights, preprocessing=None, zeros=0, **options):
    """A backbone at its original stride, with its preprocessing.

    Args:
      name, weights, preprocessing: see `build_backbone`.
      images: symbolic tensor of RGB images 0..255 `(B, H, W, 3)`.
      zeros: cells of zeros around the preprocessed image, on every side.
      options: further arguments of the network's constructor.

    Returns:
      A functional keras.Model.
    """
    backbone = find_backbone(name)
    mode = preprocessing or backbone.preprocessing
    x = ImagePreprocessing(mode, name="preprocessing")(images) if mode else images
    if zeros:
        x = keras.layers.ZeroPadding2D(zeros, name="zeros")(x)
    network = backbone.constructor(weights=None, include_top=False, input_tensor=x, **options)
    if weights is not None:
        network.set_weights(weights)
    return network


def with_pool_size(network, pool_size):
    """The same network with max pooling windows of another size, whose number is rounded up.

    Args:
      network: functional keras.Model.
      pool_size: side of the windows, in cells.

    Returns:
      A new keras.Model with a copy of the weights.
    """

    def resized(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.MaxPooling2D):
            config.update(pool_size=pool_size, padding="same")
        return type(layer).from_config(config)

    clone = keras.models.clone_model(network, clone_function=resized)
    clone.set_weights(network.get_weights())
    return clone


def padding_color(model, channels=3):
    """The color that images for a network are padded with, in training and afterwards.

    For a network that maps images to -1..1 it is 127.5, which the network sees as zero, as in the
    v3+ authors' code. For all others it is the `mean_color`, as in the papers before.

    Args:
      model: keras.Model, also one with nested or fused layers; or any function of images.
      channels: of its images.

    Returns:
      Tuple of `channels` levels 0..255.
    """
    steps = leaf_layers(model) if isinstance(model, keras.Model) else ()
    inner = (step.layer if isinstance(step, keras.layers.Wrapper) else step for step in steps)
    modes = {layer.mode for layer in inner if isinstance(layer, ImagePreprocessing)}
    return (MEAN_FURTHER,) * channels if modes == {"tf"} else mean_color(channels)


@keras.saving.register_keras_serializable(package="deeplab_tf")
class ImagePreprocessing(keras.layers.Layer):
    """RGB values 0..255 to the values that a keras.applications backbone was trained on.

    Computed in float32 even in mixed precision: 8-bit levels minus a mean need it.

    Args:
      mode: "caffe" (BGR minus the ImageNet mean), "deeplab" (the same with the mean of the
        DeepLab authors, so that padding with `MEAN_RGB` is exactly zero), "ilsvrc" (with that of
        CaffeNet and the FCN authors), "googlenet" (with that of Caffe's GoogLeNet), "tf" (to
        -1..1) or "torch" (each channel normalized by the ImageNet mean and standard deviation).

    Raises:
      ValueError: for another mode.
    """

    MODES = ("caffe", "deeplab", "ilsvrc", "googlenet", "tf", "torch")

    def __init__(self, mode, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if mode not in self.MODES:
            raise ValueError(f"mode must be one of {self.MODES}, got {mode!r}")
        self.mode = mode

    def call(self, images):
        """Preprocess `(B, H, W, 3)`."""
        if self.mode in _CAFFE_MEANS:
            mean = ops.convert_to_tensor(_CAFFE_MEANS[self.mode], "float32")
            return ops.flip(ops.cast(images, "float32") - mean, axis=-1)
        return imagenet_utils.preprocess_input(images, "channels_last", self.mode)

    def compute_output_shape(self, input_shape):
        """Return the shape unchanged."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}
