"""DeepLab networks: a dense backbone and a head."""

import keras

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import build_backbone, find_backbone
from deeplab_tf.models.channels import check_input_shape
from deeplab_tf.models.heads import (
    DECODER_STRIDE,
    HeadV3,
    apply_direct,
    apply_fully_connected,
    check_num_classes,
    find_head,
    multi_scale_features,
    score_stride,
)
from deeplab_tf.models.heads_v3 import apply_v3
from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.resize import UpsampleToMap
from deeplab_tf.models.taps import decoder_map, last_map
from deeplab_tf.models.weights import read_weights, subsample_classifier
from deeplab_tf.models.whole_weights import load_whole


def build_deeplab(
    backbone="resnet101",
    head="aspp_l",
    num_classes=21,
    output_stride=8,
    weights="imagenet",
    scales=(1.0,),
    input_shape=(None, None, 3),
    *,
    fc_channels=None,
    pool_size=2,
    use_multi_scale_features=False,
    average_pool5=False,
    preprocessing=None,
    separable_convolutions=None,
    half_pixel_upsampling=False,
    predict_depth=False,
):
    """A DeepLab network of version 1, 2, 3 or 3+, from images to class scores.

    In the heads of versions 1 and 2, VGG-16 has the published fc6-fc7-fc8 branches with dropout,
    and an undilated fifth pooling; the other backbones have ResNet-101's head, one 3x3
    convolution straight to the classes for each rate. Branches are summed.

    Args:
      backbone: name of a keras.applications network, such as "vgg16", "resnet101" or
        "mobilenetv2", "efficientnetlite0" to "efficientnetlite4", "alexnet", "bvlc_alexnet",
        "googlenet", or a network of the v3+ authors: "xception41", "xception65", "xception71",
        "resnet101_beta", "mobilenetv2_half" (12 channels in blocks 1 and 2;
        "mobilenetv2_half_rounded" has the 16 of keras.applications); or of torchvision:
        "resnet50_torch", "resnet101_torch", "mobilenetv3large_torch"; see
        `deeplab_tf.models.backbone_names`. Its capitals do not matter.
      head: "large_fov", "aspp_s" or "aspp_l"; for VGG-16 also the larger kernels of DeepLab v1,
        "7x7" and "4x4" (rate 4) and "4x4_fov" (rate 8), with 4,096 filters; for the others also
        "plain", a single 1x1 convolution. Of v3: "aspp_v3", image pooling, a 1x1 and three
        dilated 3x3 convolutions side by side. Of v3+: "v3plus", the same with the decoder, and
        "v3_mobile", image pooling and the 1x1 convolution alone, and "v3plus_mobile", these with
        the decoder. MobileNetV2 loses its last 1x1 convolution in these four, as published. Ports
        for PyTorch have "aspp_v3_torch", with one more 3x3 convolution before the scores, and
        "v3plus_torch", with one instead of two.
      num_classes: classes, without void.
      output_stride: pixels per cell of the backbone's last map, and per score cell; 8 in the
        papers of v1 and v2, 16 and 8 in those of v3 and v3+. Heads with a decoder score every
        fourth pixel whatever it is.
      weights: "imagenet" (downloaded), None (random), or the path of a file: a backbone's or a
        whole DeepLab's `.h5`, `.weights.h5` or `.keras`. VGG-16's fc6 and fc7 are made from the
        ImageNet classifier if the file has it. The dilation rates of a whole network that was
        trained at a coarser output stride grow, see `with_output_stride`.
      scales: input scales whose scores are fused by their maximum; (1.0,): no fusion.
      input_shape: `(H, W, C)`, H and W None for sizes that vary. C is 3 for RGB. Channels after
        the third, such as depth, are also 0..255; they are centered on 127.5, and start with the
        mean of the first convolution's weights for red, green and blue.
      fc_channels: filters in fc6 and fc7. None: for VGG-16 4,096 with the larger kernels, else
        1,024; the branches of others have no fc6 and fc7 then, but lead straight to the classes.
      pool_size: window size of VGG-16's poolings: 2 as its ImageNet weights were trained, 3 as
        in the authors' own files.
      use_multi_scale_features: whether VGG-16's fc8 also takes features of the image and the first
        four poolings (DeepLab v1, section 4.3).
      average_pool5: whether VGG-16's last pooling is followed by an average over 3x3 cells, as in
        the authors' LargeFOV networks of DeepLab v1.
      preprocessing: None (what the backbone's ImageNet weights were trained on), or "deeplab" for
        VGG and ResNet: the mean color of the DeepLab authors, which their released weights need.
      separable_convolutions: whether the 3x3 convolutions of "aspp_v3", "v3plus" and
        "v3plus_mobile" are depthwise separable; None: in "v3plus_mobile", and with xception41,
        xception65 and xception71, as published.
      half_pixel_upsampling: whether the scores are interpolated to every pixel inside the network,
        with the edges of the maps aligned instead of their corner cells, and the decoder's map
        likewise: what networks of torchvision and other ports were trained with.
      predict_depth: whether the network predicts depth instead of classes: its output has one
        channel, the natural logarithm of the depth in meters, and `num_classes` has no effect.

    Returns:
      keras.Model: images `(B, H, W, C)`, values 0..255, preprocessing included, to float32
      scores `(B, (H-1)//s+1, (W-1)//s+1, num_classes)`; s is output_stride, or 4 with a decoder,
      or 1 with half_pixel_upsampling. Cell (i, j) is centered on pixel (s * i, s * j).

    Raises:
      InputError: for unknown names, options that cannot be combined, or weights that cannot be
        read or do not fit.

    Example:
      >>> model = build_deeplab("vgg16", "large_fov", weights=None)
      >>> model.predict(numpy.zeros((1, 321, 321, 3))).shape
      (1, 41, 41, 21)
    """
    arguments = dict(locals())
    backbone = find_backbone(backbone).name
    is_vgg16 = backbone == "vgg16"
    vgg16_options = pool_size != 2 or use_multi_scale_features or average_pool5
    _check_options(backbone, pool_size, vgg16_options, preprocessing)
    num_classes = check_num_classes(num_classes, predict_depth)
    check_input_shape(input_shape)
    if not scales or any(not 0 < scale <= 4 for scale in scales):
        raise InputError(f"scales must be numbers above 0 and at most 4, got {scales!r}")
    branches = find_head(head, backbone, fc_channels)
    is_v3 = isinstance(branches, HeadV3)
    _check_v3(head, branches, output_stride, separable_convolutions, use_multi_scale_features)
    found = read_weights(backbone, weights)
    network = build_backbone(
        backbone, output_stride, found.backbone, input_shape, pool_size, preprocessing
    )
    if is_v3:
        separable = separable_convolutions
        if separable is None:
            separable = branches.is_separable(backbone)
        low_level = decoder_map(network, backbone) if branches.decoder else None
        features = last_map(network, backbone)
        scores = apply_v3(
            *(features, low_level, branches, num_classes, output_stride, separable),
            half_pixel_upsampling,
        )
    elif is_vgg16 or fc_channels:
        features = network.output
        if is_vgg16:
            features = _undilated_pool5(network, output_stride, pool_size)
        features = _average(features) if average_pool5 else features
        extra = multi_scale_features(network, output_stride) if use_multi_scale_features else None
        scores = apply_fully_connected(features, branches, num_classes, extra)
    else:
        scores = apply_direct(network.output, branches, num_classes)
    if half_pixel_upsampling:
        factor = score_stride(head, output_stride)
        upsample = UpsampleToMap(factor, half_pixel=True, dtype="float32", name="pixel_scores")
        scores = upsample([scores, network.input])
    model = keras.Model(network.input, scores, name=f"deeplab_{backbone}_{head}")
    if found.classifier and is_vgg16 and not is_v3:
        _fill_branches(model, subsample_classifier(found.classifier, branches))
    if found.whole:
        other = {**arguments, "weights": None, "scales": (1.0,)}
        model = load_whole(
            model,
            found.whole,
            backbone,
            build_at=lambda stride: build_deeplab(**{**other, "output_stride": stride}),
        )
    if tuple(scales) == (1.0,):
        return model
    return fuse_scales(model, scales, score_stride(head, output_stride, half_pixel_upsampling))


def _check_v3(name, head, output_stride, separable_convolutions, use_multi_scale_features):
    is_v3 = isinstance(head, HeadV3)
    if is_v3 and head.decoder and output_stride not in (8, 16, 32):
        raise InputError(
            f"head {name!r} scores every {DECODER_STRIDE}th pixel, so the output stride of the "
            f"backbone must be coarser, got {output_stride!r}; use 8 or 16, or another head"
        )
    if is_v3 and use_multi_scale_features:
        raise InputError(f"use_multi_scale_features is no option of head {name!r}; omit it")
    if separable_convolutions is not None and not (is_v3 and head.has_windows):
        raise InputError(
            "separable_convolutions is an option of the heads aspp_v3, v3plus and v3plus_mobile, "
            f"got head {name!r}; omit it"
        )


def _check_options(backbone, pool_size, vgg16_options, preprocessing):
    mode = find_backbone(backbone).preprocessing
    if vgg16_options and backbone != "vgg16":
        raise InputError(
            "pool_size, use_multi_scale_features and average_pool5 are options of vgg16, got "
            f"backbone {backbone!r}; omit them"
        )
    if pool_size not in (2, 3):
        raise InputError(f"pool_size must be 2 or 3, got {pool_size!r}")
    if preprocessing not in (None, "deeplab"):
        raise InputError(f"preprocessing must be None or 'deeplab', got {preprocessing!r}")
    if preprocessing and mode != "caffe":
        raise InputError(
            f"preprocessing 'deeplab' suits VGG and ResNet only, got backbone {backbone!r}; omit it"
        )


def _average(features):
    """Mean over 3x3 cells; as in the authors' network, zeros outside the map count."""
    padded = keras.layers.ZeroPadding2D(1, name="block5_average_padding")(features)
    return keras.layers.AveragePooling2D(3, strides=1, name="block5_average")(padded)


def _undilated_pool5(network, output_stride, pool_size):
    """VGG-16's last pooling as published: stride 1 and no dilation, though conv5 is dilated."""
    if output_stride == 32:
        return network.output
    pool5 = keras.layers.MaxPooling2D(pool_size, strides=1, padding="same", name="block5_pool")
    return pool5(network.get_layer("block5_conv3").output)


def _fill_branches(model, classifier):
    """Start every branch's fc6 and fc7 from the same ImageNet classifier."""
    for layer in model.layers:
        if layer.name.startswith("fc6"):
            layer.set_weights(classifier[:2])
        elif layer.name.startswith("fc7"):
            layer.set_weights(classifier[2:])
