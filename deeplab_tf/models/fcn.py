"""Fully convolutional networks FCN-32s, 16s and 8s on VGG (Long et al., CVPR 2015).

The convolutional VGG scores the classes once per 32 pixels. Transposed convolutions, which start
as bilinear interpolation, bring the scores to 16 and 8 pixels per cell, where 1x1 scores of pool4
and pool3 are added to them; a last one, which stays bilinear, brings them to the image's size.
"""

import keras
import numpy as np
from keras import layers, ops

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import look_up, original_backbone
from deeplab_tf.models.heads import Head
from deeplab_tf.models.init_from import start_from
from deeplab_tf.models.resize import pad_with_mean
from deeplab_tf.models.weights import read_weights, subsample_classifier

BACKBONES = ("vgg16", "vgg19")
STRIDES = (8, 16, 32)
FC = Head((1,), 7, 4096)  # the ImageNet classifier's own size


def build_fcn(backbone="vgg16", stride=8, num_classes=21, weights="imagenet"):
    """FCN-32s, FCN-16s or FCN-8s, from RGB images to class scores at the image's size.

    The new scoring layers start at zero, as published.

    Args:
      backbone: "vgg16" or "vgg19".
      stride: pixels per cell of the finest scores: 32, 16 or 8.
      num_classes: classes, void not counted.
      weights: "imagenet" (downloaded), None (random), or the path of a file: of a
        keras.applications VGG, or of the FCN with the next larger stride, from which the
        published ones were trained in turn (32s starts 16s starts 8s).

    Returns:
      keras.Model: images `(B, H, W, 3)`, values 0..255, preprocessing included, to float32
      scores `(B, H, W, num_classes)`.

    Raises:
      InputError: for unknown names, or weights that cannot be had or do not fit.

    Example:
      >>> build_fcn(stride=16, weights="fcn32s/best.keras")
    """
    _check(backbone, stride, num_classes)
    found = read_weights(look_up(backbone)[0], backbone, weights)
    network = _padded_backbone(backbone, found.backbone)
    scores = _fully_connected(network.output, num_classes)
    scores, pixels = _add_skips(network, scores, stride, num_classes)
    scores = upsampling(num_classes, pixels, trainable=False, name=f"upscore{pixels}")(scores)
    scores = CropToImages(name="scores")([scores, network.input])
    model = keras.Model(network.input, scores, name=f"fcn{stride}s_{backbone}")
    if found.classifier:
        kernel6, bias6, kernel7, bias7 = subsample_classifier(found.classifier, FC)
        model.get_layer("fc6").set_weights([kernel6, bias6])
        model.get_layer("fc7").set_weights([kernel7, bias7])
    if found.whole:
        start_from(model, found.whole)
    return model


def upsampling(num_classes, factor, trainable=True, name=None):
    """A transposed convolution of each class alone that starts as bilinear interpolation.

    Args:
      num_classes: channels.
      factor: cells of the result per cell, even.
      trainable: whether it is learned; published: all but the last.
      name: of the layer.

    Returns:
      A layer from `(B, h, w, num_classes)` to `(B, factor h, factor w, num_classes)`, float32.
    """
    return layers.Conv2DTranspose(
        num_classes,
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=trainable,
        dtype="float32",
        name=name,
    )


@keras.saving.register_keras_serializable(package="deeplab_tf")
class Bilinear(keras.initializers.Initializer):
    """Kernel of a transposed convolution of stride s that interpolates bilinearly.

    Shape `(2 s, 2 s, C, C)`: 1 - |i - (s - 1/2)| / s along each axis, from every channel to
    itself.
    """

    def __call__(self, shape, dtype=None):
        """Return the kernel."""
        size, _, filters, _ = shape
        factor = size // 2
        column = 1 - np.abs(np.arange(size) - (factor - 0.5)) / factor
        kernel = np.outer(column, column)[:, :, None, None] * np.eye(filters)
        return ops.convert_to_tensor(kernel, dtype or "float32")


@keras.saving.register_keras_serializable(package="deeplab_tf")
class PadToMultiple(layers.Layer):
    """Pads images with the mean colour, at the bottom and right, to whole cells.

    Args:
      multiple: pixels per cell.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.multiple = multiple

    def call(self, images):
        """Pad `(B, H, W, 3)`."""
        missing = [-length % self.multiple for length in ops.shape(images)[1:3]]
        return pad_with_mean(images, *missing)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="deeplab_tf")
class CropToImages(layers.Layer):
    """Cuts `[scores, images]` to the images' height and width; the scores become float32."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        """Crop `(B, H', W', C)` for images `(B, H, W, 3)`."""
        scores, images = inputs
        height, width = ops.shape(images)[1:3]
        return scores[:, :height, :width]


def _check(backbone, stride, num_classes):
    if backbone not in BACKBONES:
        raise InputError(f"no FCN on backbone {backbone!r}; give one of {', '.join(BACKBONES)}")
    if stride not in STRIDES:
        raise InputError(f"no FCN with stride {stride!r}; give one of 8, 16, 32")
    if not isinstance(num_classes, int) or not 1 <= num_classes <= 255:
        raise InputError(f"num_classes must be 1 to 255 (255 is void), got {num_classes!r}")


def _padded_backbone(backbone, weights):
    images = keras.Input((None, None, 3), name="images")
    padded = PadToMultiple(32, name="pad_to_cells")(images)
    return keras.Model(images, original_backbone(backbone, padded, weights).output)


def _fully_connected(x, num_classes):
    for name, size in (("6", FC.kernel_size), ("7", 1)):
        x = layers.Conv2D(FC.channels, size, padding="same", name=f"fc{name}")(x)
        x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.Dropout(0.5, name=f"drop{name}")(x)
    return _score(num_classes, "score_fc7")(x)


def _add_skips(network, scores, stride, num_classes):
    """Scores at `stride` pixels per cell, and that number."""
    pixels = 32
    for pool in ("pool4", "pool3"):
        if pixels == stride:
            break
        pixels //= 2
        finer = upsampling(num_classes, 2, name=f"upscore2_{pool}")(scores)
        tap = network.get_layer(f"block{pool[-1]}_pool").output
        skip = _score(num_classes, f"score_{pool}")(tap)
        scores = layers.Add(dtype="float32", name=f"fuse_{pool}")([finer, skip])
    return scores, pixels


def _score(num_classes, name):
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", dtype="float32", name=name)
