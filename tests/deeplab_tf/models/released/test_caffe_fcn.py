"""Imported FCNs against NumPy, which computes what Caffe would with the same file."""

import keras
import numpy as np
import pytest
from caffe_networks import alexnet, assert_scores, caffe_input, googlenet, image, refused
from caffe_writer import CaffeNetwork, crop, relu
from small_backbones import BLOCKS, small_backbones

from deeplab_tf.models import fcn, import_caffe_fcn
from deeplab_tf.models.heads import Head

FILTERS, CLASSES = 16, 3


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    # VGG-16 with its 4,096 filters of fc6 takes NumPy half a minute.
    monkeypatch.setattr(fcn, "_FC", Head((1,), 7, FILTERS))
    with small_backbones():
        yield


def vgg16(net, x):
    pools = []
    for block, filters, count in BLOCKS:
        for number in range(1, count + 1):
            pad = 100 if block == number == 1 else 1
            x = relu(net.conv(f"conv{block}_{number}", x, filters, 3, pad=pad))
        x = net.pool(f"pool{block}", x, 2, 2, 0)
        pools.append(x)
    return pools


def fully_connected(net, x, size):
    return relu(net.conv("fc7", relu(net.conv("fc6", x, FILTERS, size)), FILTERS, 1))


@pytest.mark.parametrize("old", [True, slow(False)])
def test_fcn_alexnet(tmp_path, old):
    """In the old format with old names and one kernel for all classes, and in the new."""
    net, rgb = CaffeNetwork(old=old), image(37, 50)
    data = caffe_input(rgb)
    x = fully_connected(net, alexnet(net, data), 6)
    scores = net.conv("score-fr" if old else "score_fr", x, CLASSES, 1)
    expected = crop(net.deconv("upscore", scores, 63, 32, grouped=not old), 18, data)
    done = import_caffe_fcn(net.write(tmp_path / "fcn-alexnet-pascal.caffemodel"))
    assert_scores(done.model(rgb[None]), expected)
    assert (done.unused, done.missing, done.notes) == ((), (), ())
    assert done.backbone == "alexnet" and done.model.name == "fcn32s_alexnet"
    assert done.used["score_fc7"] == ("score-fr" if old else "score_fr",)
    assert len(done.used) == 9


@pytest.mark.slow
def test_normalization_before_pooling(tmp_path):
    net, rgb = CaffeNetwork(), image(40, 33)
    data = caffe_input(rgb)
    x = fully_connected(net, alexnet(net, data, order=("norm", "pool")), 6)
    net.conv("score", x, CLASSES, 1)
    path = net.write(tmp_path / "a.caffemodel")
    done = import_caffe_fcn(path, backbone="bvlc_alexnet")
    assert done.backbone == "bvlcalexnet"
    fc7 = keras.Model(done.model.input, done.model.get_layer("relu7").output)
    assert_scores(fc7(rgb[None]), x)
    assert done.notes == ("upscore32 is not in the file and interpolates bilinearly",)
    refused(
        lambda: import_caffe_fcn(path, backbone="alexnet"),
        f"{path}: its network is bvlcalexnet, not alexnet; give --backbone=bvlcalexnet",
    )


@pytest.mark.parametrize(
    ("stride", "at_once"), [slow(32, False), slow(16, False), slow(8, False), (8, True)]
)
def test_fcn_vgg16(tmp_path, stride, at_once):
    net, rgb = CaffeNetwork(), image(41, 54)
    data = caffe_input(rgb)
    pools = vgg16(net, data)
    scores = net.conv("score_fr", fully_connected(net, pools[4], 7), CLASSES, 1)
    # The names of the upsampling and the crops of the released networks.
    skips = (("pool4", 16, "upscore2", 5, 0.01), ("pool3", 8, "upscore_pool4", 9, 0.0001))
    for name, pixels, upsampling, offset, factor in skips:
        if pixels >= stride:
            x = pools[int(name[-1]) - 1]
            if at_once:
                net.note(f"scale_{name}", "Scale", [np.full(len(x), factor)])
                x = x * factor
            skip = net.conv(f"score_{name}", x, CLASSES, 1)
            scores = net.deconv(upsampling, scores, 4, 2)
            scores = scores + crop(skip, offset, scores)
    name = "upscore" if stride == 32 else f"upscore{stride}"
    offset = {32: 19, 16: 27, 8: 31}[stride]
    expected = crop(net.deconv(name, scores, 2 * stride, stride), offset, data)
    done = import_caffe_fcn(net.write(tmp_path / "fcn.caffemodel"), num_classes=CLASSES)
    assert_scores(done.model(rgb[None]), expected)
    assert (done.unused, done.missing, done.notes) == ((), (), ())
    assert done.model.name == f"fcn{stride}s_vgg16"


@pytest.mark.slow
def test_fcn_googlenet(tmp_path):
    net, rgb = CaffeNetwork(old=True), image(65, 33)  # a cell on the last row and column
    data = caffe_input(rgb, (104, 117, 123))
    x = googlenet(net, data, pad=1)["5b"]
    for name, shape in (("loss1/conv", (8, 512, 1, 1)), ("loss3/classifier", (10, 1024))):
        net.note(name, "Convolution", [np.ones(shape), np.ones(shape[0])])
    scores = net.conv("score_fr", x, CLASSES, 1)
    expected = crop(net.deconv("upscore", scores, 63, 32), 31, data)
    done = import_caffe_fcn(net.write(tmp_path / "googlenet.caffemodel"))
    assert_scores(done.model(rgb[None]), expected)
    assert (done.unused, done.missing) == (("loss1/conv", "loss3/classifier"), ())
    assert done.used["inception_4b_pool_proj"] == ("inception_4b/pool_proj",)
    assert done.backbone == "googlenet"


def noted(tmp_path, **blobs):
    net = CaffeNetwork()
    for name, arrays in blobs.items():
        net.note(name, "Convolution", arrays)
    return net.write(tmp_path / "small.caffemodel")


FIRST, SCORES = [np.ones((4, 3, 3, 3))], [np.ones((3, FILTERS, 1, 1)), np.ones(3)]


def test_what_does_not_fit(tmp_path):
    path = noted(tmp_path, conv1=[np.ones((64, 3, 7, 7))], score_fr=SCORES)
    refused(lambda: import_caffe_fcn(path), path, "is none of vgg16, vgg19, alexnet, bvlc")
    path = noted(tmp_path, conv1_1=FIRST, score_fr=SCORES, score=SCORES)
    refused(lambda: import_caffe_fcn(path), path, "has 2 layers of class scores")
    path = noted(tmp_path, conv1_1=FIRST, score_fr=SCORES)
    refused(lambda: import_caffe_fcn(path, 21), path, "has 3 classes, expected 21; to fine-tune")
    refused(lambda: import_caffe_fcn(path, drop_classes=True), "drop_classes needs num_classes")
    path = noted(
        tmp_path, conv1_1=FIRST, score_fr=SCORES, score_pool4=SCORES, scale_pool4=[np.ones(6)]
    )
    refused(lambda: import_caffe_fcn(path), "scale_pool4 multiplies by other factors than the 0.01")
    path = noted(tmp_path, conv1_1=FIRST, conv1_2=[np.ones((4, 5, 3, 3))], score_fr=SCORES)
    refused(
        lambda: import_caffe_fcn(path),
        f"{path}: conv1_2 has arrays [(3, 3, 5, 4), (4,)], 'block1_conv2' needs [(3, 3, 4, 4), ",
    )
    path = noted(tmp_path, conv1_1=FIRST, score_fr=SCORES)
    assert import_caffe_fcn(path).missing[0] == "block1_conv2"
