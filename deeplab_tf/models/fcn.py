"""Fully convolutional networks FCN-32s, 16s and 8s (Long et al., CVPR 2015).

A convolutional classifier scores the classes once per 32 pixels. Transposed convolutions, which
start as bilinear interpolation, upsample the scores to 16 and 8 pixels per cell, where 1x1 scores
of finer maps are added; a last one, which stays bilinear, upsamples them to the image's size. In
the paper all but the last are learned; in the networks that its authors released, none is.
"""

import keras
from keras import layers

from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import (
    build_backbone,
    find_backbone,
    original_backbone,
    padding_color,
    with_pool_size,
)
from deeplab_tf.models.channels import check_input_shape, with_channels
from deeplab_tf.models.fcn_upsampling import Grid, add, upsample
from deeplab_tf.models.files import load_keras
from deeplab_tf.models.heads import Head, check_num_classes
from deeplab_tf.models.padding import PadToCells, PadToMultiple
from deeplab_tf.models.receptive_field import receptive_field
from deeplab_tf.models.resize import CropToImages
from deeplab_tf.models.taps import widest_last_map
from deeplab_tf.models.weights import copy_layers, read_weights, subsample_classifier

_FC = Head((1,), 7, 4096)  # fc6 and fc7 at the size of the ImageNet classifier
_VGG = "vgg16", "vgg19"
_ALEXNETS = "alexnet", "bvlcalexnet"
_FULLY_CONNECTED = (*_VGG, *_ALEXNETS)  # fc6 and fc7 come before the class scores
_OF_THE_PAPER = (*_FULLY_CONNECTED, "googlenet")
_CELL = 32  # pixels per cell of the coarsest scores
SKIPS = {16: "pool4", 8: "pool3"}  # of VGG, by their pixels per cell
SKIP_SCALES = {16: 1e-2, 8: 1e-4}  # of scaled skips
_RELEASED_PADDING = 100  # zeros on every side of the image


def build_fcn(
    backbone="vgg16",
    stride=8,
    num_classes=21,
    weights="imagenet",
    input_shape=(None, None, 3),
    *,
    fixed_upsampling=False,
    scaled_skips=False,
    released_padding=False,
    predict_depth=False,
):
    """An FCN-32s, FCN-16s or FCN-8s, from images to class scores at the image's size.

    The new scoring layers start at zero, as published. VGG and AlexNet keep the classifier's fc6
    and fc7 as convolutions; GoogLeNet loses its average pooling; of other networks the classes
    are scored from the last map. The skips of VGG start from pool4 and pool3, as published, those
    of the others from the last of the widest maps with 16 and 8 pixels per cell.

    Args:
      backbone: "vgg16", "vgg19", "alexnet" (CaffeNet, as the authors'), "bvlc_alexnet",
        "googlenet", or another name of `deeplab_tf.models.backbone_names`.
      stride: pixels per cell of the finest scores: 32, 16 or 8.
      num_classes: classes, without void.
      weights: "imagenet" (downloaded), None (random), or the path of a file: of the backbone, or
        of the FCN with the next larger stride, as the published ones were trained (32s starts
        16s, which starts 8s). AlexNet's and GoogLeNet's come from `import_caffe_fcn`.
      input_shape: as in `build_deeplab`; more than 3 channels are the authors' early fusion of
        color and depth.
      fixed_upsampling: whether no upsampling is learned, as in the authors' released networks: it
        stays bilinear, or as it is in `weights`. False: all but the last is learned, as in the
        paper.
      scaled_skips: whether the maps of the skips are multiplied by 0.01 (16 pixels per cell) and
        0.0001 (8) before they are scored. FCN-16s and FCN-8s are then trained at once, without
        the FCN of the next larger stride; the authors' "at-once" FCN-8s.
      released_padding: whether images are surrounded by 100 zeros, as in the authors' released
        networks, whose windows, crops and mean color the network then has too. False: maps keep
        the image's size, which takes less time. For VGG and AlexNet.
      predict_depth: as in `build_deeplab`; the depth is 1 meter before the training.

    Returns:
      keras.Model: images `(B, H, W, C)`, values 0..255, preprocessing included, to float32
      scores `(B, H, W, num_classes)`.

    Raises:
      InputError: for unknown names, options that cannot be combined, or weights that cannot be
        read or do not fit.

    Example:
      >>> build_fcn(stride=16, weights="fcn32s/best.keras")
      >>> build_fcn("resnet50", stride=8)
    """
    backbone = find_backbone(backbone).name
    _check_options(backbone, stride, scaled_skips, released_padding)
    num_classes = check_num_classes(num_classes, predict_depth)
    check_input_shape(input_shape)
    found = read_weights(backbone, weights)
    if backbone in _OF_THE_PAPER:
        images, maps = _paper_maps(backbone, found.backbone, input_shape, stride, released_padding)
    else:
        images, maps = _other_maps(backbone, found.backbone, input_shape, stride)
    name = "score_fc7" if backbone in _FULLY_CONNECTED else "score_top"
    scores = _score(maps[_CELL], num_classes, name)
    for pixels in (16, 8):
        if pixels >= stride:
            name = SKIPS[pixels] if backbone in _VGG else f"stride{pixels}"
            learned, skip = not fixed_upsampling, maps[pixels]
            scores = upsample(scores, pixels, skip.center, learned, f"upscore2_{name}")
            if scaled_skips:
                skip = _scaled(skip, name)
            skip = _score(skip, num_classes, f"score_{name}")
            scores = add(scores, skip, f"fuse_{name}")
    scores = upsample(scores, 1, 0, trainable=False, name=f"upscore{stride}")
    cropped = CropToImages(round(-scores.center), name="scores")([scores.tensor, images])
    model = keras.Model(images, cropped, name=f"fcn{stride}s_{backbone}")
    if found.classifier:
        kernel6, bias6, kernel7, bias7 = subsample_classifier(found.classifier, _FC)
        model.get_layer("fc6").set_weights([kernel6, bias6])
        model.get_layer("fc7").set_weights([kernel7, bias7])
    if found.whole:
        copy_layers(model, load_keras(found.whole), found.whole)
    return model


def _check_options(backbone, stride, scaled_skips, released_padding):
    if stride not in (8, 16, 32):
        raise InputError(f"no FCN with stride {stride!r}; available: 8, 16, 32")
    if scaled_skips and stride == _CELL:
        raise InputError("scaled_skips has no effect on stride 32, which has no skips; omit it")
    if released_padding and backbone not in _FULLY_CONNECTED:
        raise InputError(
            f"released_padding is an option of {', '.join(_FULLY_CONNECTED)}, got backbone "
            f"{backbone!r}; omit it"
        )


def _paper_maps(backbone, weights, input_shape, stride, released_padding):
    """The images, and the maps to score by their pixels per cell, of a network of the paper.

    Returns:
      symbolic images `(B, H, W, C)`, and {pixels per cell: `Grid`}.
    """
    *size, channels = input_shape
    images = keras.Input((*size, 3), name="images")
    is_vgg = backbone in _VGG
    if released_padding and is_vgg:
        # The first convolution adds the last of the zeros, and Caffe rounds sizes up at poolings.
        network = original_backbone(backbone, images, weights, "ilsvrc", _RELEASED_PADDING - 1)
        network = with_pool_size(network, 2)
    elif released_padding:
        options = {"caffe_padding": _RELEASED_PADDING}
        network = original_backbone(backbone, images, weights, **options)
    else:
        padding = (PadToMultiple if is_vgg else PadToCells)(_CELL, name="pad_to_cells")
        network = original_backbone(backbone, padding(images), weights)
        network = keras.Model(images, network.output)
    network = with_channels(network, channels)
    maps = {_CELL: _classifier(network.output, backbone, released_padding)}
    for pixels in (16, 8):
        if pixels >= stride:
            pool = f"block{SKIPS[pixels][-1]}_pool"
            tap = network.get_layer(pool).output if is_vgg else widest_last_map(network, pixels)
            maps[pixels] = tap
    centers = {pixels: receptive_field(network, x).center for pixels, x in maps.items()}
    return network.inputs[0], {
        pixels: Grid(x, pixels, centers[pixels]) for pixels, x in maps.items()
    }


def _other_maps(backbone, weights, input_shape, stride):
    """What `_paper_maps` returns, of another network with cell (i, j) on pixel (s i, s j)."""
    dense = build_backbone(backbone, _CELL, weights, input_shape)
    strides = [_CELL, *(pixels for pixels in (16, 8) if pixels >= stride)]
    outputs = [dense.output, *(widest_last_map(dense, pixels) for pixels in strides[1:])]
    images = keras.Input(input_shape, name="images")
    color = padding_color(dense, input_shape[-1])
    padded = PadToCells(_CELL, color, name="pad_to_cells")(images)
    maps = keras.Model(dense.input, outputs, name=backbone)(padded)
    return images, {pixels: Grid(x, pixels, 0.0) for pixels, x in zip(strides, maps, strict=True)}


def _classifier(x, backbone, released_padding):
    """The layers between the last map and the class scores; they have no padding if released."""
    if backbone not in _FULLY_CONNECTED:
        return layers.Dropout(0.4, name="drop5")(x)  # GoogLeNet's
    size, padding = _FC.kernel_size, "valid" if released_padding else "same"
    if backbone in _ALEXNETS:
        size = 6
        if not released_padding:  # as many zeros on every side: cells between those of the map
            x = layers.ZeroPadding2D(3, name="fc6_padding")(x)
            padding = "valid"
    for name, window in (("6", size), ("7", 1)):
        x = layers.Conv2D(_FC.channels, window, padding=padding, name=f"fc{name}")(x)
        x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.Dropout(0.5, name=f"drop{name}")(x)
    return x


def _scaled(grid, name):
    scaled = layers.Rescaling(SKIP_SCALES[grid.stride], name=f"scale_{name}")(grid.tensor)
    return grid._replace(tensor=scaled)


def _score(grid, num_classes, name):
    """The class scores of a map."""
    options = {"kernel_initializer": "zeros", "dtype": "float32", "name": name}
    return grid._replace(tensor=layers.Conv2D(num_classes, 1, **options)(grid.tensor))
