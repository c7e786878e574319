"""DeepLab networks: a dense backbone and a head."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import build_backbone, look_up
from deeplab_tf.models.heads import apply_head
from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.weights import load_whole, read_weights, subsample_classifier


def build_deeplab(
    backbone="resnet101",
    head="aspp_l",
    num_classes=21,
    output_stride=8,
    weights="imagenet",
    scales=(1.0,),
    input_shape=(None, None, 3),
):
    """A DeepLab v2 network (LargeFOV: v1's as well), from RGB images to class scores.

    VGG-16 has the published fc6-fc7-fc8 branches, 1,024 filters wide with dropout, and its fifth
    pooling without holes; the other backbones have ResNet-101's head, a 3x3 convolution for each
    rate straight to the classes. Branches are summed.

    Args:
      backbone: lower-case name of a keras.applications network, as "vgg16", "resnet101",
        "mobilenetv2"; see `backbones.backbone_names`.
      head: "large_fov", "aspp_s" or "aspp_l".
      num_classes: classes, void not counted.
      output_stride: pixels per score cell; 8 in the papers.
      weights: "imagenet" (downloaded), None (random), or the path of a file: a backbone's or a
        whole DeepLab's `.h5`, `.weights.h5` or `.keras`. VGG-16's fc6 and fc7 are made from the
        ImageNet classifier's where the file has it.
      scales: input scales whose scores are fused by their maximum; (1.0,) is none.
      input_shape: `(H, W, 3)`, None for sizes that vary.

    Returns:
      keras.Model: images `(B, H, W, 3)`, values 0..255, preprocessing included, to float32
      scores `(B, (H-1)//output_stride+1, (W-1)//output_stride+1, num_classes)`. Cell (i, j) is
      centred on pixel (output_stride * i, output_stride * j).

    Raises:
      InputError: unknown names, or weights that cannot be had or do not fit.

    Example:
      >>> model = build_deeplab("vgg16", "large_fov", weights=None)
      >>> model.predict(numpy.zeros((1, 321, 321, 3))).shape
      (1, 41, 41, 21)
    """
    _check(num_classes, scales)
    found = read_weights(look_up(backbone)[0], backbone, weights)
    network = build_backbone(backbone, output_stride, found.backbone, input_shape)
    published = backbone == "vgg16"
    features = _unholed_pool5(network, output_stride) if published else network.output
    scores = apply_head(features, head, num_classes, fully_connected=published)
    model = keras.Model(network.input, scores, name=f"deeplab_{backbone}_{head}")
    if found.classifier and published:
        _fill_branches(model, subsample_classifier(found.classifier))
    if found.whole:
        load_whole(model, found.whole, backbone)
    return fuse_scales(model, scales, output_stride) if tuple(scales) != (1.0,) else model


def _check(num_classes, scales):
    if not isinstance(num_classes, int) or not 1 <= num_classes <= 255:
        raise InputError(f"num_classes must be 1 to 255 (255 is void), got {num_classes!r}")
    if not scales or any(not 0 < scale <= 4 for scale in scales):
        raise InputError(f"scales must be numbers above 0 and at most 4, got {scales!r}")


def _unholed_pool5(network, output_stride):
    """VGG-16's last pooling as published: a stride of 1 and no holes, though conv5 has them."""
    if output_stride == 32:
        return network.output
    pool5 = keras.layers.MaxPooling2D(2, strides=1, padding="same", name="block5_pool")
    return pool5(network.get_layer("block5_conv3").output)


def _fill_branches(model, fully_connected):
    """Start every branch's fc6 and fc7 from the same ImageNet classifier."""
    for layer in model.layers:
        if layer.name.startswith("fc6"):
            layer.set_weights(fully_connected[:2])
        elif layer.name.startswith("fc7"):
            layer.set_weights(fully_connected[2:])
