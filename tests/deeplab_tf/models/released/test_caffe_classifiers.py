"""FCNs from files of ImageNet classifiers, against NumPy, which computes what Caffe would."""

import keras
import numpy as np
import pytest
from caffe_networks import (
    INCEPTIONS,
    alexnet,
    assert_scores,
    caffe_input,
    googlenet,
    image,
    refused,
)
from caffe_writer import CaffeNetwork, convolve, relu

from deeplab_tf.models import fcn, import_caffe_fcn
from deeplab_tf.models.heads import Head

FILTERS = 16


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr(fcn, "_FC", Head((1,), 7, FILTERS))  # of 4,096, to save time


@pytest.mark.parametrize(
    ("old", "size", "block", "cells"),
    [  # the cells whose receptive fields of 91 and 715 pixels lie within the image
        (True, 113, "3b", slice(6, 9)),
        slow(True, 745, "5b", slice(12, 13)),
        slow(False, 745, "5b", slice(12, 13)),
    ],
)
def test_bvlc_googlenet(tmp_path, old, size, block, cells):
    """The classifier's file as it was released: its class layers are those of the three losses.

    In Caffe, cell 0 of the maps lies on the pixels (6, 6) of block 3b, and (30, 30) of 5b. Without
    the first two rows and columns of the image, that is where our cell 1 lies.
    """
    net, rgb = CaffeNetwork(old=old), image(size, size)
    shifted = caffe_input(rgb, (104, 117, 123))[:, 2:, 2:]
    expected = googlenet(net, shifted, pad=0)[block][:, cells.start - 1 : cells.stop - 1]
    expected = expected[:, :, cells.start - 1 : cells.stop - 1]
    for number in "12":
        net.note(f"loss{number}/conv", "Convolution", [np.ones((8, 512, 1, 1)), np.ones(8)])
        net.note(f"loss{number}/fc", "InnerProduct", [np.ones((9, 128)), np.ones(9)])
        net.note(f"loss{number}/classifier", "InnerProduct", [np.ones((10, 9)), np.ones(10)])
    for name, kind in (("pool5/7x7_s1", "Pooling"), ("pool5/drop_7x7_s1", "Dropout")):
        net.note(name, kind)
    net.note("loss3/classifier", "InnerProduct", [np.ones((10, 1024)), np.ones(10)])
    net.note("prob", "Softmax")
    path = net.write(tmp_path / "bvlc_googlenet.caffemodel")
    done = import_caffe_fcn(path, num_classes=4, drop_classes=True)
    output = done.model.get_layer(f"inception_{block}_output").output
    maps = keras.Model(done.model.input, output)(rgb[None])
    assert_scores(maps[:, cells, cells], expected)
    assert done.backbone == "googlenet" and done.missing == ("score_top",)
    parts = [f"loss{number}/{part}" for number in "12" for part in ("conv", "fc", "classifier")]
    assert done.unused == (*parts, "loss3/classifier")
    assert len(done.used) == 3 + 6 * len(INCEPTIONS)
    refused(lambda: import_caffe_fcn(path), "give drop_classes and num_classes")


@pytest.mark.slow
def test_bvlc_alexnet(tmp_path):
    """The classifier's file in the old format, in which it was released.

    Cast into a convolution, Caffe's fc6 has its cell (0, 0) on the pixel (113, 113); without the
    first 31 rows and columns of the image, that is where our cell (5, 5) lies.
    """
    net, rgb = CaffeNetwork(old=True), image(387, 420)
    x = alexnet(net, caffe_input(rgb)[:, 31:, 31:], pad=0, order=("norm", "pool"))
    for name, size, scale in (("fc6", 6, 0.015), ("fc7", 1, 0.35)):
        kernel = net.draw(FILTERS, len(x), size, size, scale=scale)
        bias = net.draw(FILTERS, scale=0.1)
        net.note(name, "InnerProduct", [kernel.reshape(FILTERS, -1), bias])
        x = relu(convolve(x, kernel.astype(np.float64), 0, 1, 1) + bias[:, None, None])
        net.note(f"relu{name[-1]}", "ReLU")
        net.note(f"drop{name[-1]}", "Dropout")
    net.note("fc8", "InnerProduct", [np.ones((10, FILTERS)), np.ones(10)])
    net.note("prob", "Softmax")
    path = net.write(tmp_path / "bvlc_alexnet.caffemodel")
    done = import_caffe_fcn(path, num_classes=4, drop_classes=True)
    fc7 = keras.Model(done.model.input, done.model.get_layer("relu7").output)
    # The cells whose receptive field of 355 pixels lies within the image.
    assert_scores(fc7(rgb[None])[:, 7:8, 7:9], x[:, 2:3, 2:4])
    assert (done.backbone, done.missing, done.unused) == ("bvlcalexnet", ("score_fc7",), ("fc8",))


@pytest.mark.parametrize("old", [True, slow(False)])
def test_a_classifier_to_start_from(tmp_path, old):
    net = CaffeNetwork(old=old)
    alexnet(net, np.zeros((3, 67, 67)), pad=0)
    last = np.random.default_rng(1).normal(size=(256, 6, 6))  # at 227x227 pixels
    fc6 = relu(net.inner_product("fc6", last, FILTERS))
    fc7 = net.inner_product("fc7", fc6, FILTERS)
    net.inner_product("fc8", fc7, 10)
    path = net.write(tmp_path / "bvlc_reference_caffenet.caffemodel")
    done = import_caffe_fcn(path, num_classes=4, drop_classes=True)
    assert (done.missing, done.unused) == (("score_fc7",), ("fc8",))
    (kernel6, bias6), (kernel7, bias7) = (
        done.model.get_layer(name).get_weights() for name in ("fc6", "fc7")
    )
    y = relu(convolve(last, kernel6.transpose(3, 2, 0, 1), 0, 1, 1)[:, 0, 0] + bias6)
    np.testing.assert_allclose(y @ kernel7[0, 0] + bias7, fc7, rtol=1e-5, atol=1e-5)
    refused(
        lambda: import_caffe_fcn(path),
        f"{path}: has 0 layers of class scores for an FCN; to start training from an ImageNet "
        "classifier, give drop_classes and num_classes",
    )
