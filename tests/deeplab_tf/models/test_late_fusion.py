"""Two networks, for color and for HHA, whose scores are averaged."""

import keras
import numpy as np
import pytest
from tiny_model import random_model

import deeplab_tf
from deeplab_tf import build_deeplab
from deeplab_tf.errors import InputError
from deeplab_tf.models import start_from
from deeplab_tf.models.late_fusion import build_late_fusion, fuse_late


def named(first, second):
    """Two different networks with layers of the same names."""
    networks = []
    for factor in (first, second):
        images = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255, name="small")(images)
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv", activation="relu")(x)
        model = keras.Model(images, keras.layers.Conv2D(5, 1, name="fc8")(x))
        model.set_weights([factor * weight for weight in model.get_weights()])
        networks.append(model)
    return networks


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 9, 7, 6)).astype("float32")


def test_scores_are_the_mean_of_both_networks(images):
    color, hha = named(1.0, -2.0)
    fused = fuse_late(color, hha)
    assert fused.input_shape == (None, None, None, 6)
    expected = (np.asarray(color(images[..., :3])) + np.asarray(hha(images[..., 3:]))) / 2
    np.testing.assert_allclose(fused(images), expected, atol=1e-6)
    assert np.ptp(expected) > 0.1
    # Each network sees its own channels alone.
    other = images.copy()
    other[..., 3:] += 40
    change = np.asarray(fused(other)) - expected
    part = (np.asarray(hha(other[..., 3:])) - np.asarray(hha(images[..., 3:]))) / 2
    np.testing.assert_allclose(change, part, atol=1e-5)


def test_layers_have_names_of_their_own(images, tmp_path):
    fused = fuse_late(*named(1.0, 2.0))
    names = {layer.name for layer in fused.layers if layer.weights}
    assert names == {"conv", "fc8", "hha_conv", "hha_fc8"}
    paths = [variable.path for variable in fused.trainable_variables]
    assert "hha_fc8/kernel" in paths
    fused.save(tmp_path / "m.keras")
    again = deeplab_tf.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(images), fused(images))


def test_each_part_starts_from_its_own_network(images, tmp_path):
    color, hha = named(1.0, 3.0)
    color.save(tmp_path / "color.keras")
    hha.save(tmp_path / "hha.keras")
    fused = fuse_late(*named(0.0, 0.0))
    first = start_from(fused, tmp_path / "color.keras")
    assert first.copied == ["conv", "fc8"] and first.absent == ["hha_conv", "hha_fc8"]
    second = start_from(fused, tmp_path / "hha.keras", "hha_")
    assert second.copied == ["hha_conv", "hha_fc8"] and not second.absent
    np.testing.assert_allclose(fused(images), fuse_late(color, hha)(images), atol=1e-6)
    # A fused network starts another one as a whole.
    fused.save(tmp_path / "fused.keras")
    third = start_from(fuse_late(*named(0.0, 0.0)), tmp_path / "fused.keras")
    assert len(third.copied) == 4 and not third.absent


def test_networks_that_differ_are_refused():
    with pytest.raises(InputError, match="cannot be fused; build both with the same arguments"):
        fuse_late(random_model(2), random_model(3))


def test_frozen_layers_stay_frozen():
    color, hha = named(1.0, 1.0)
    hha.get_layer("conv").trainable = False
    fused = fuse_late(color, hha)
    assert not fused.get_layer("hha_conv").trainable and fused.get_layer("conv").trainable


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenetv2", "mobilenetv3small", "vgg16", "resnet50"])
def test_deeplab_with_scales_and_other_strides(backbone, images):
    arguments = {"backbone": backbone, "head": "large_fov", "num_classes": 3, "weights": None}
    color, hha = build_deeplab(**arguments), build_deeplab(**arguments)
    fused = fuse_late(color, hha)
    images = np.random.default_rng(0).uniform(0, 255, (1, 49, 65, 6)).astype("float32")
    expected = (np.asarray(color(images[..., :3])) + np.asarray(hha(images[..., 3:]))) / 2
    close = {"atol": 1e-5 * np.abs(expected).max()}
    np.testing.assert_allclose(fused(images), expected, **close)
    np.testing.assert_allclose(deeplab_tf.fuse(fused)(images), expected, **close)
    dense = deeplab_tf.models.with_output_stride(fused, 4)(images)
    np.testing.assert_allclose(dense[:, ::2, ::2], expected, **close)
    scaled = build_late_fusion(build_deeplab, scales=(1.0, 0.5), **arguments)
    assert scaled(images).shape == expected.shape
