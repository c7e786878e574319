"""Fully convolutional networks FCN-32s, 16s and 8s on VGG (Long et al., CVPR 2015).

The convolutional VGG scores the classes once per 32 pixels. Transposed convolutions, which start
as bilinear interpolation, upsample the scores to 16 and 8 pixels per cell, where 1x1 scores of
pool4 and pool3 are added; a last one, which stays bilinear, upsamples them to the image's size. In
the paper all but the last are learned; in the networks that its authors released, none is.
"""

import keras
import numpy as np
from keras import layers, ops

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import original_backbone
from deeplab_tf.models.channels import check_input_shape, with_channels
from deeplab_tf.models.files import load_keras
from deeplab_tf.models.heads import Head, check_num_classes
from deeplab_tf.models.padding import PadToMultiple
from deeplab_tf.models.resize import CropToImages
from deeplab_tf.models.weights import copy_layers, read_weights, subsample_classifier

_FC = Head((1,), 7, 4096)  # fc6 and fc7 at the size of the ImageNet classifier


def build_fcn(
    backbone="vgg16",
    stride=8,
    num_classes=21,
    weights="imagenet",
    input_shape=(None, None, 3),
    *,
    fixed_upsampling=False,
):
    """An FCN-32s, FCN-16s or FCN-8s, from images to class scores at the image's size.

    The new scoring layers start at zero, as published.

    Args:
      backbone: "vgg16" or "vgg19".
      stride: pixels per cell of the finest scores: 32, 16 or 8.
      num_classes: classes, without void.
      weights: "imagenet" (downloaded), None (random), or the path of a file: of a
        keras.applications VGG, or of the FCN with the next larger stride, as the published ones
        were trained (32s starts 16s, which starts 8s).
      input_shape: as in `build_deeplab`; more than 3 channels are the authors' early fusion of
        color and depth.
      fixed_upsampling: whether no upsampling is learned, as in the authors' released networks: it
        stays bilinear, or as it is in `weights`. False: all but the last is learned, as in the
        paper.

    Returns:
      keras.Model: images `(B, H, W, C)`, values 0..255, preprocessing included, to float32
      scores `(B, H, W, num_classes)`.

    Raises:
      InputError: for unknown names, or weights that cannot be read or do not fit.

    Example:
      >>> build_fcn(stride=16, weights="fcn32s/best.keras")
    """
    backbone = str(backbone).lower()
    if backbone not in ("vgg16", "vgg19"):
        raise InputError(f"no FCN on backbone {backbone!r}; available: vgg16, vgg19")
    if stride not in (8, 16, 32):
        raise InputError(f"no FCN with stride {stride!r}; available: 8, 16, 32")
    check_num_classes(num_classes)
    check_input_shape(input_shape)
    *size, channels = input_shape
    found = read_weights(backbone, weights)
    images = keras.Input((*size, 3), name="images")
    padded = PadToMultiple(32, name="pad_to_cells")(images)
    network = keras.Model(images, original_backbone(backbone, padded, found.backbone).output)
    network = with_channels(network, channels)
    scores = _fully_connected(network.output, num_classes)
    scores = _add_skips(network, scores, stride, num_classes, not fixed_upsampling)
    scores = _upsampling(num_classes, stride, trainable=False, name=f"upscore{stride}")(scores)
    scores = CropToImages(name="scores")([scores, network.input])
    model = keras.Model(network.input, scores, name=f"fcn{stride}s_{backbone}")
    if found.classifier:
        kernel6, bias6, kernel7, bias7 = subsample_classifier(found.classifier, _FC)
        model.get_layer("fc6").set_weights([kernel6, bias6])
        model.get_layer("fc7").set_weights([kernel7, bias7])
    if found.whole:
        copy_layers(model, load_keras(found.whole), found.whole)
    return model


@keras.saving.register_keras_serializable(package="deeplab_tf")
class Bilinear(keras.initializers.Initializer):
    """The kernel of a transposed convolution of stride s that interpolates bilinearly.

    Shape `(2 s, 2 s, C, C)`: 1 - |i - (s - 1/2)| / s along each axis, and zero
    between different channels.
    """

    def __call__(self, shape, dtype=None):
        """Return the kernel."""
        size, _, filters, _ = shape
        factor = size // 2
        column = 1 - np.abs(np.arange(size) - (factor - 0.5)) / factor
        kernel = np.outer(column, column)[:, :, None, None] * np.eye(filters)
        return ops.convert_to_tensor(kernel, dtype or "float32")


def _upsampling(num_classes, factor, trainable, name=None):
    """A transposed convolution that starts as bilinear interpolation of each class's scores.

    Args:
      num_classes: channels.
      factor: output cells per input cell along each axis, even.
      trainable: whether it is learned.
      name: the layer's name.

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


def _fully_connected(x, num_classes):
    for name, size in (("6", _FC.kernel_size), ("7", 1)):
        x = layers.Conv2D(_FC.channels, size, padding="same", name=f"fc{name}")(x)
        x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.Dropout(0.5, name=f"drop{name}")(x)
    return _score(num_classes, "score_fc7")(x)


def _add_skips(network, scores, stride, num_classes, learn_upsampling):
    """Scores at `stride` pixels per cell, with those of pool4 and pool3 added."""
    pixels = 32
    for pool in ("pool4", "pool3"):
        if pixels == stride:
            break
        pixels //= 2
        finer = _upsampling(num_classes, 2, learn_upsampling, f"upscore2_{pool}")(scores)
        tap = network.get_layer(f"block{pool[-1]}_pool").output
        skip = _score(num_classes, f"score_{pool}")(tap)
        scores = layers.Add(dtype="float32", name=f"fuse_{pool}")([finer, skip])
    return scores


def _score(num_classes, name):
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", dtype="float32", name=name)
