"""Whole networks of the v3 and v3+ authors, against a direct computation."""

import keras
import numpy as np
import pytest
import slim_network
from port_writer import write_port
from slim_network import SlimNetwork, assert_scores, write_checkpoint, write_graph

from deeplab_tf.models import authors_backbones
from deeplab_tf.models.released.tensorflow import import_tensorflow


def saved(tmp_path, net):
    """The variables of a network as a frozen graph."""
    write_graph(tmp_path / "graph.pb", net.variables)
    return tmp_path / "graph.pb"


@pytest.mark.slow
def test_half_a_mobilenet_of_slim(tmp_path):
    """An ImageNet classifier, with 16 channels in blocks 1 and 2."""
    net = SlimNetwork()
    x = slim_network.mobilenet_v2(net, slim_network.colors(), 0.5, divisor=8)
    options = {"head": "v3_mobile", "num_classes": 5, "drop_classes": True}
    done = import_tensorflow(saved(tmp_path, net), **options)
    assert done.backbone == "mobilenetv2halfrounded" and done.unused == ()
    last = done.model.get_layer("block_16_project_BN").output
    assert_scores(keras.Model(done.model.input, last), x)


@pytest.mark.slow
def test_mobilenet_with_the_decoder(tmp_path):
    """As the authors trained it on ADE20K: image pooling, 1x1, and a separable decoder."""
    net = SlimNetwork()
    x = slim_network.mobilenet_v2(net, slim_network.colors())
    details = net.maps["MobilenetV2/expanded_conv_2/depthwise"]
    expected = slim_network.head(net, x, 151, (), details, separable=True)
    assert "decoder/decoder_conv1_pointwise/weights" in net.variables
    write_checkpoint(tmp_path / "model.ckpt", net.variables)
    done = import_tensorflow(tmp_path, num_classes=151)
    assert (done.backbone, done.head) == ("mobilenetv2", "v3plus_mobile")
    assert (done.unused, done.missing, done.separable_convolutions) == ((), (), True)
    assert done.model.output_shape == (None, None, None, 151)
    assert_scores(done.model, expected)


@pytest.mark.slow
def test_xception_65_with_the_decoder(tmp_path):
    net = SlimNetwork()
    x, low_level = slim_network.xception(net, slim_network.colors())
    expected = slim_network.head(net, x, 4, (6, 12, 18), low_level, separable=True)
    write_checkpoint(tmp_path / "model.ckpt", net.variables)
    done = import_tensorflow(tmp_path / "model.ckpt")
    assert (done.backbone, done.head) == ("xception65", "v3plus")
    assert (done.unused, done.missing) == ((), ())
    assert_scores(done.model, expected)
    write_graph(tmp_path / "graph.pb", net.variables)
    frozen = import_tensorflow(tmp_path / "graph.pb")
    write_port(tmp_path / "port.h5", net.variables)
    port = import_tensorflow(tmp_path / "port.h5", head="v3plus")
    assert (port.unused, port.missing) == ((), ())
    for other in (frozen, port):
        weights = zip(other.model.get_weights(), done.model.get_weights(), strict=True)
        for ours, theirs in weights:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [41, 71])
def test_the_other_xceptions_with_the_decoder(tmp_path, layers):
    net = SlimNetwork()
    x, low_level = slim_network.xception(net, slim_network.colors(), layers)
    expected = slim_network.head(net, x, 4, (6, 12, 18), low_level, separable=True)
    done = import_tensorflow(saved(tmp_path, net))
    assert (done.backbone, done.head) == (f"xception{layers}", "v3plus")
    assert (done.unused, done.missing) == ((), ())
    assert_scores(done.model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_short_resnet_beta_with_the_decoder(tmp_path, monkeypatch, output_stride):
    """With fewer units and channels, but all kinds of them."""
    stages = ((8, 3, 2), (16, 2, 2), (24, 3, 2), (32, 2, 1))
    monkeypatch.setattr(authors_backbones, "_RESNET_101", stages)
    net = SlimNetwork()
    x, low_level = slim_network.resnet_beta(net, slim_network.colors(), stages, output_stride)
    rates = tuple(rate * 16 // output_stride for rate in (6, 12, 18))
    expected = slim_network.head(net, x, 4, rates, low_level)
    path = saved(tmp_path, net)
    done = import_tensorflow(path, output_stride=output_stride)
    assert (done.backbone, done.head) == ("resnet101beta", "v3plus")
    assert (done.unused, done.missing, done.separable_convolutions) == ((), (), False)
    assert_scores(done.model, expected)
