"""The maps that the heads of v3 and v3+ take."""

import keras
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.models.authors_backbones import Xception65
from deeplab_tf.models.backbones import build_backbone
from deeplab_tf.models.taps import decoder_map, last_map


def tapped(backbone):
    with keras.StatelessScope(initialize_variables=False):
        network = build_backbone(backbone, 16, None)
        maps = last_map(network, backbone), decoder_map(network, backbone)
        shapes = keras.Model(network.input, list(maps)).compute_output_shape((1, 64, 65, 3))
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    return [tuple(shape) for shape in shapes]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "details"), [("mobilenetv2half", 72), ("mobilenetv2halfrounded", 96)]
)
def test_mobilenet_ends_before_its_last_convolution(backbone, details):
    assert tapped(backbone) == [(1, 4, 5, 160), (1, 16, 17, details)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "channels", "details"),
    [
        ("vgg16", 512, 256),  # block3_conv3
        ("resnet50", 2048, 256),  # conv2_block3_out
        ("densenet121", 1024, 256),
        ("efficientnetb0", 1280, 144),  # block3a_expand: not the vectors of squeeze-and-excite
        ("mobilenetv3small", 576, 88),
        ("xception65", 2048, 256),
        ("xception71", 2048, 256),
        ("resnet101beta", 2048, 256),
    ],
)
def test_the_decoder_takes_the_widest_last_map_of_stride_4(backbone, channels, details):
    assert tapped(backbone) == [(1, 4, 5, channels), (1, 16, 17, details)]


def test_weights_that_are_not_offered():
    with pytest.raises(InputError, match=r"of xception65 cannot .* --init_from=xception65_i"):
        Xception65(weights="imagenet")
