"""The table of backbones, and preprocessing against keras.applications."""

import keras
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models import backbone_names
from deeplab_tf.models.backbones import ImagePreprocessing, find_backbone

IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 4, 5, 3)).astype("float32")


def test_every_name_is_a_network_of_keras():
    for name in backbone_names():
        assert find_backbone(name).constructor.__name__.lower() == name


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vgg16", "vgg16"),
        ("resnet101", "resnet"),
        ("resnet50v2", "resnet_v2"),
        ("mobilenetv2", "mobilenet_v2"),
        ("xception", "xception"),
        ("densenet121", "densenet"),
    ],
)
def test_preprocessing_is_that_of_keras(name, module):
    layer = ImagePreprocessing(find_backbone(name).preprocessing)
    expected = getattr(keras.applications, module).preprocess_input(IMAGE.copy())
    np.testing.assert_allclose(layer(IMAGE), expected, rtol=1e-6)


def test_the_authors_mean_color_becomes_exactly_zero():
    layer = ImagePreprocessing("deeplab")
    found = np.asarray(layer(np.float32([[[MEAN_RGB, (1, 2, 3)]]])))
    assert (found[0, 0, 0] == 0).all()
    np.testing.assert_allclose(found[0, 0, 1], np.subtract((3, 2, 1), MEAN_RGB[::-1]), rtol=1e-6)
    assert ImagePreprocessing.from_config(layer.get_config()).mode == "deeplab"


def test_unknown_names():
    with pytest.raises(InputError, match="unknown backbone 'vgg17'; available: vgg16, vgg19"):
        find_backbone("vgg17")
    with pytest.raises(ValueError, match="mode must be one of"):
        ImagePreprocessing("bgr")
