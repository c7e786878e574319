"""The table of backbones, and preprocessing against keras.applications."""

import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models import backbone_names
from deeplab_tf.models.backbones import ImagePreprocessing, build_backbone, find_backbone
from deeplab_tf.models.weights import read_weights

IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype("float32")


# Only these two of keras.applications cannot be made dense.
NOT_DENSE = ("nasnetlarge", "nasnetmobile")
# Networks that keras.applications does not have.
LITE = tuple(f"efficientnetlite{i}" for i in range(5))
AUTHORS = ("mobilenetv2half", "xception41", "xception65", "xception71", "resnet101beta")
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
    modes = [find_backbone(name).preprocessing for name in AUTHORS]
    assert modes == ["tf", "tf", "tf", "tf", "slim"]
    assert {find_backbone(name).preprocessing for name in TORCH} == {"torch"}
    found = np.asarray(ImagePreprocessing("slim")(np.float32([[[[123.15, 120, 3.06]]]])))
    np.testing.assert_allclose(found[0, 0, 0], [0, 4.1, -100], atol=1e-5)


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
