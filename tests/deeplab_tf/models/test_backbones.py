"""The table of backbones, and preprocessing against keras.applications."""

import keras
import numpy as np
import pytest

from deeplab_tf import fuse
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models import backbone_names
from deeplab_tf.models.backbones import (
    ImagePreprocessing,
    build_backbone,
    find_backbone,
    padding_color,
)
from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.weights import read_weights

IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype("float32")


# Only these two of keras.applications cannot be made dense.
NOT_DENSE = ("nasnetlarge", "nasnetmobile")
# Networks that keras.applications does not have.
LITE = tuple(f"efficientnetlite{i}" for i in range(5))
AUTHORS = (
    *("mobilenetv2half", "mobilenetv2halfrounded"),
    *("xception41", "xception65", "xception71", "resnet101beta"),
)
CAFFE = ("alexnet", "bvlcalexnet", "googlenet")
TORCH = ("resnet50torch", "resnet101torch", "mobilenetv3largetorch")
OURS = (*LITE, *AUTHORS, *CAFFE, *TORCH)


def test_every_network_of_keras_is_a_backbone():
    networks = {name.lower() for name, value in vars(keras.applications).items() if callable(value)}
    assert set(backbone_names()) - {*OURS} == networks - set(NOT_DENSE)
    for name in backbone_names():
        assert find_backbone(name).constructor.__name__.lower() == name


@pytest.mark.parametrize("name", sorted({*backbone_names()} - {*OURS}))
def test_preprocessing_is_that_of_the_family(name):
    """Of the module of keras.applications in which the network is."""
    backbone = find_backbone(name)
    modules = [m for m in vars(keras.applications).values() if hasattr(m, "preprocess_input")]
    holders = [module for module in modules if hasattr(module, backbone.class_name)]
    # The module of MobileNetV3 does not hold its networks.
    (module, *_) = holders or [keras.applications.mobilenet_v3]
    assert holders or name.startswith("mobilenetv3")
    expected = module.preprocess_input(IMAGE.copy())
    mode = backbone.preprocessing
    found = ImagePreprocessing(mode)(IMAGE) if mode else IMAGE
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_preprocessing_of_the_authors_backbones():
    """To -1..1: the authors subtract a mean only for the ResNets that are not "beta"."""
    assert {find_backbone(name).preprocessing for name in AUTHORS} == {"tf"}
    assert {find_backbone(name).preprocessing for name in TORCH} == {"torch"}
    found = np.asarray(ImagePreprocessing("tf")(np.float32([[[[0, 127.5, 255]]]])))
    np.testing.assert_allclose(found[0, 0, 0], [-1, 0, 1], atol=1e-6)


def preprocessed(mode):
    """One convolution after the preprocessing."""
    images = keras.Input((None, None, 3))
    return keras.Model(images, keras.layers.Conv2D(2, 1)(ImagePreprocessing(mode)(images)))


def test_padding_has_the_color_that_the_v3_authors_networks_see_as_zero():
    """In nested and fused networks, too, and in all channels; others keep the mean color."""
    network = preprocessed("tf")
    for model in (
        network,
        keras.Sequential([network]),
        fuse(network),
        fuse_scales(network, (1, 0.5), 1),
    ):
        assert padding_color(model) == (127.5,) * 3
    assert padding_color(network, 5) == (127.5,) * 5
    np.testing.assert_array_equal(ImagePreprocessing("tf")(np.float32([padding_color(network)])), 0)
    for mode in sorted({*ImagePreprocessing.MODES} - {"tf"}):
        assert padding_color(preprocessed(mode)) == MEAN_RGB
    assert padding_color(preprocessed("caffe"), 4) == (*MEAN_RGB, 127.5)
    assert padding_color(keras.Sequential([keras.layers.Rescaling(1 / 255)])) == MEAN_RGB
    assert padding_color(lambda images: images) == MEAN_RGB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "momentum", "epsilon"),
    [
        ("mobilenetv2half", 0.997, 1e-3),
        ("resnet101beta", 0.95, 1e-5),
        ("xception41", 0.9997, 1e-3),
    ],
)
def test_batch_normalization_of_the_authors_backbones(name, momentum, epsilon):
    with keras.StatelessScope(initialize_variables=False):
        network = find_backbone(name).constructor(weights=None, include_top=False)
        norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    keras.backend.clear_session()
    assert {(x.momentum, x.epsilon) for x in norms} == {(momentum, epsilon)}


def test_half_a_mobilenet_is_that_of_the_authors():
    """They round channels to whole numbers, keras.applications to multiples of 8."""
    shapes, counts = {}, {}
    for name in ("mobilenetv2half", "mobilenetv2halfrounded"):
        with keras.StatelessScope(initialize_variables=False):
            network = find_backbone(name).constructor(weights=None, include_top=False)
            kernels = [x.weights[0] for x in network.layers if x.name.endswith(("expand", "ject"))]
        shapes[name], counts[name] = [tuple(x.shape[2:]) for x in kernels], len(network.weights)
    keras.backend.clear_session()
    half, rounded = shapes.values()
    assert half[:6] == [(16, 8), (8, 48), (48, 12), (12, 72), (72, 12), (12, 72)]
    assert rounded[:6] == [(16, 8), (8, 48), (48, 16), (16, 96), (96, 16), (16, 96)]
    assert half[6:] == [(72, 16), *rounded[7:]]
    assert len({*counts.values()}) == 1
    with pytest.raises(InputError, match=r"of mobilenetv2half cannot be .* give --backbone=mob"):
        read_weights("mobilenetv2half", "imagenet")


MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet, at 0..1


def test_efficientnet_normalizes_images_as_it_was_trained(tmp_path):
    """Files of keras.applications store the deviations where variances belong."""
    network = keras.applications.EfficientNetB0(weights=None, include_top=False)
    weights = network.get_weights()
    network.set_weights([np.array(MEAN), np.array(DEVIATION), *weights[2:]])
    network.save_weights(tmp_path / "b0.weights.h5")
    found = read_weights("efficientnetb0", tmp_path / "b0.weights.h5")
    dense = build_backbone("efficientnetb0", 16, found.backbone)
    (layer,) = (x for x in dense.layers if isinstance(x, keras.layers.Normalization))
    normalized = keras.Model(dense.input, layer.output)
    expected = (IMAGE / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(normalized(IMAGE), expected, rtol=1e-5, atol=1e-5)
    # Weights that come later take effect too, such as those of a checkpoint.
    dense.set_weights([np.zeros(3), np.full(3, 4.0), *dense.get_weights()[2:]])
    np.testing.assert_allclose(normalized(IMAGE), IMAGE / 255 / 2, rtol=1e-5)


def test_the_authors_mean_color_becomes_exactly_zero():
    layer = ImagePreprocessing("deeplab")
    found = np.asarray(layer(np.float32([[[MEAN_RGB, (1, 2, 3)]]])))
    assert (found[0, 0, 0] == 0).all()
    np.testing.assert_allclose(found[0, 0, 1], np.subtract((3, 2, 1), MEAN_RGB[::-1]), rtol=1e-6)
    assert ImagePreprocessing.from_config(layer.get_config()).mode == "deeplab"


@pytest.mark.parametrize(
    ("name", "mean"),
    [("alexnet", (122.67892, 116.66877, 104.00699)), ("googlenet", (123, 117, 104))],
)
def test_preprocessing_of_the_networks_of_caffe(name, mean):
    found = np.asarray(ImagePreprocessing(find_backbone(name).preprocessing)(IMAGE))
    np.testing.assert_allclose(found, (IMAGE - np.float32(mean))[..., ::-1], atol=1e-4)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("MobileNetV2", "mobilenetv2"),
        ("mobilenet_v2", "mobilenetv2"),
        ("VGG16", "vgg16"),
        ("ResNet-101", "resnet101"),
        ("resnet101_beta", "resnet101beta"),
        ("mobilenetv2_half", "mobilenetv2half"),
        ("mobilenetv2_half_rounded", "mobilenetv2halfrounded"),
        ("efficientnetv2-b0", "efficientnetv2b0"),
        ("INCEPTIONRESNETV2", "inceptionresnetv2"),
        ("EfficientNet-Lite0", "efficientnetlite0"),
        ("bvlc_alexnet", "bvlcalexnet"),
        ("resnet101_torch", "resnet101torch"),
        ("GoogLeNet", "googlenet"),
    ],
)
def test_other_spellings(spelling, name):
    assert find_backbone(spelling) is find_backbone(name)
    assert find_backbone(spelling).name == name


@pytest.mark.parametrize("name", [*NOT_DENSE, "NASNetLarge"])
def test_nasnet_is_refused_with_the_reason(name):
    with pytest.raises(InputError, match=f"'{name}': NASNet has no atrous form.*available: vgg16"):
        find_backbone(name)


def test_unknown_names():
    with pytest.raises(InputError, match="unknown backbone 'vgg17'; available: vgg16, vgg19"):
        find_backbone("vgg17")
    with pytest.raises(InputError, match="unknown backbone None"):
        find_backbone(None)
    with pytest.raises(ValueError, match="mode must be one of"):
        ImagePreprocessing("bgr")
