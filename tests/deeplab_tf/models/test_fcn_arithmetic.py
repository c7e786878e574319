"""The benchmark's arithmetic of FCN-32s, also of one with a network inside the network."""

import pytest
from small_backbones import small_backbones, small_mobilenet, small_vgg16

from benchmarks.fcn_arithmetic import arithmetic
from deeplab_tf import build_fcn
from deeplab_tf.models import fcn
from deeplab_tf.models.heads import Head

CLASSES = 5


def test_a_network_inside_the_network_by_hand():
    # 3x3 at stride 2, then four depthwise 3x3 at strides 2, each with a 1x1, and the scores:
    # 3 + 2 (2 + 4 + 8 + 16) pixels, 1 + 8 + 1 convolutions.
    with small_backbones():
        model = build_fcn("mobilenet", 32, CLASSES, weights=None)
    body = small_mobilenet(include_top=False)
    parameters = body.count_params() + (body.output_shape[-1] + 1) * CLASSES
    assert arithmetic(model) == (10, f"{parameters:,}", 63, 32)


@pytest.mark.slow
def test_a_network_in_one_piece(monkeypatch):
    monkeypatch.setattr(fcn, "_FC", Head((1,), 7, 4))
    with small_backbones():
        model = build_fcn("vgg16", 32, CLASSES, weights=None)
    # VGG-16 sees 212 pixels, and fc6 6 cells of 32 pixels more.
    body = small_vgg16(include_top=False)
    head = (49 * 16 + 1) * 4 + (4 + 1) * 4 + (4 + 1) * CLASSES
    assert arithmetic(model) == (16, f"{body.count_params() + head:,}", 404, 32)
