"""Trained networks at a finer output stride: the old scores, and new ones between them."""

import keras
import numpy as np
import pytest
from small_backbones import small_backbones
from tiny_model import conv_network, random_model

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models import heads, heads_v3, to_atrous, with_output_stride
from deeplab_tf.models.multiscale import fuse_scales


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


VGG16_OPTIONS = [
    {"head": "aspp_s"},
    {"head": "4x4_fov", "pool_size": 3},
    {"head": "large_fov", "use_multi_scale_features": True, "average_pool5": True},
]


def randomize(model, offsets=None):
    """Random weights of a size that keeps scores apart, batch normalization included.

    Args:
      model: the network.
      offsets: function that draws its offsets and means; None: as its scales and variances.
    """
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            drawn = [rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
            if offsets:
                drawn = [drawn[0], *(offsets(0, 0.1, w.shape) for w in drawn[1:3]), drawn[3] / 10]
            layer.set_weights(drawn)
    return model


def scores(model, size=(65, 74)):
    image = np.random.default_rng(1).uniform(0, 255, (1, *size, 3)).astype("float32")
    return np.array(model(image))


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def trained():
    """A network of output stride 16."""
    model = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, output_stride=16, weights=None)
    return randomize(model)


def built_at_8(trained, rate, monkeypatch):
    """The network that `build_deeplab` makes for output stride 8, with the trained weights."""
    with monkeypatch.context() as patch:
        patch.setitem(heads.HEADS, "large_fov", heads.Head((rate,)))
        model = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 2, weights=None)
    model.set_weights(trained.get_weights())
    return model


@pytest.mark.slow
def test_it_is_the_network_built_at_8_with_twice_the_rate(trained, monkeypatch):
    dense = with_output_stride(trained, 8)
    size = 225, 242  # so that the kernels' outer elements lie inside
    found = scores(dense, size)
    assert found.shape == (1, 29, 31, 2)
    assert_close(found, scores(built_at_8(trained, 24, monkeypatch), size))
    assert_close(found[:, ::2, ::2], scores(trained, size))
    # The negative control: with the rate of training, the kernels miss the pixels of training.
    narrow = scores(built_at_8(trained, 12, monkeypatch), size)
    assert np.abs(narrow - found).max() > 1e-2 * np.abs(found).max()
    for a, b in zip(trained.get_weights(), dense.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", [*VGG16_OPTIONS, {"backbone": "mobilenet"}])
def test_every_option_of_vgg16_and_fc6_of_others(options):
    options = {"backbone": "vgg16", "head": "large_fov", "fc_channels": 8, **options}
    model = deeplab_tf.build_deeplab(num_classes=2, output_stride=16, weights=None, **options)
    dense = with_output_stride(model, 8)
    found, expected = scores(dense), scores(model)
    assert found.shape == (1, 9, 10, 2)
    assert_close(found[:, ::2, ::2], expected)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "efficientnetb0", "xception", "inceptionv3"])
def test_more_backbones(backbone):
    model = deeplab_tf.build_deeplab(backbone, "aspp_s", 2, output_stride=32, weights=None)
    expected = scores(model)
    for stride in (16, 8):
        found = scores(with_output_stride(model, stride))
        assert_close(found[:, :: 32 // stride, :: 32 // stride], expected)
        model = with_output_stride(model, 16)  # then from a network that is dense already


@pytest.mark.parametrize(
    ("head", "half_pixel", "shape"),
    [
        ("v3plus", False, (17, 19)),
        pytest.param("v3plus_torch", True, (65, 74), marks=pytest.mark.slow),
        pytest.param("v3_mobile", True, (65, 74), marks=pytest.mark.slow),
    ],
)
def test_a_network_that_upsamples_is_the_one_built_at_the_finer_stride(
    head, half_pixel, shape, monkeypatch
):
    monkeypatch.setattr(heads_v3, "_FILTERS", 8)

    def build(output_stride):
        options = {"weights": None, "half_pixel_upsampling": half_pixel}
        return deeplab_tf.build_deeplab("mobilenet", head, 2, output_stride, **options)

    model, built = randomize(build(16), np.random.default_rng(0).normal), build(8)
    built.set_weights(model.get_weights())
    dense = with_output_stride(model, 8)
    found, expected = scores(dense), scores(built)
    assert found.shape == (1, *shape, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert np.abs(found - scores(model)).max() > 1e-2 * np.abs(found).max()
    assert with_output_stride(dense, 8) is dense and with_output_stride(model, 16) is model
    with pytest.raises(InputError, match="has output stride 16, and 32 would make its scores"):
        with_output_stride(model, 32)
    if head.startswith("v3plus"):
        with pytest.raises(InputError, match=r"a decoder on a map with 4 pixels .* give 8 or more"):
            with_output_stride(model, 4)


@pytest.mark.slow
def test_several_scales_of_a_network_with_a_decoder(monkeypatch):
    monkeypatch.setattr(heads_v3, "_FILTERS", 8)
    network = deeplab_tf.build_deeplab("mobilenet", "v3plus", 2, 16, weights=None)
    found = scores(with_output_stride(fuse_scales(network, (1.0, 0.5), 4), 8))
    expected = scores(fuse_scales(with_output_stride(network, 8), (1.0, 0.5), 4))
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (1, 17, 19, 2)


def test_several_scales():
    network = random_model(output_stride=16)
    model = fuse_scales(network, (1.0, 0.5), 16)
    found = scores(with_output_stride(model, 8))
    expected = scores(fuse_scales(with_output_stride(network, 8), (1.0, 0.5), 8))
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (1, 9, 10, 4)


def test_a_dense_network_with_a_head_of_its_own():
    """A bare `to_atrous` network with a classifier behind it."""
    backbone = conv_network(
        *(keras.layers.Conv2D(4, 3, strides=2, padding="same") for _ in range(3)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Reshape((1, 1, 4)),
        size=None,
        channels=3,
    )
    x = backbone.layers[-3].output
    gated = keras.Model(backbone.input, keras.layers.Multiply()([x, backbone.output]))
    dense = to_atrous(gated, 4)
    model = keras.Model(dense.input, keras.layers.Conv2D(3, 1)(dense.output))
    for stride in (2, 1):
        found = scores(with_output_stride(model, stride), (33, 41))
        np.testing.assert_allclose(
            found[:, :: 4 // stride, :: 4 // stride], scores(model, (33, 41)), rtol=1e-4, atol=1e-3
        )


def test_the_same_output_stride_is_the_same_network():
    model = random_model(output_stride=8)
    assert with_output_stride(model, 8) is model


@pytest.mark.parametrize(
    ("output_stride", "message"),
    [(16, "has output stride 8, and 16 would .* give 8 or less"), (3, "must be one of")],
)
def test_other_output_strides_are_refused(output_stride, message):
    with pytest.raises(InputError, match=message):
        with_output_stride(random_model(output_stride=8), output_stride)


@pytest.mark.parametrize("scales", [None, (1, 0.5)])
def test_a_fused_network_is_refused(scales):
    model = random_model(output_stride=16)
    fused = deeplab_tf.fuse(fuse_scales(model, scales, 16) if scales else model)
    with pytest.raises(InputError, match="was made by fuse; take the network that it was made"):
        with_output_stride(fused, 8)
    with pytest.raises(InputError, match="was made by fuse; take the network that it was made"):
        to_atrous(fused, 8)


def test_an_fcn_scores_every_pixel_already():
    model = conv_network(keras.layers.Conv2D(2, 3, padding="same"), size=None, channels=3)
    with pytest.raises(InputError, match="has output stride 1, and 8 would"):
        with_output_stride(model, 8)


@pytest.fixture(scope="module")
def vgg16():
    """A network of output stride 16 whose classes of layers are others than at 8."""
    return deeplab_tf.build_deeplab(
        "vgg16", "large_fov", 2, output_stride=16, weights=None, fc_channels=8
    )


@pytest.mark.parametrize("name", ["w.keras", pytest.param("w.weights.h5", marks=pytest.mark.slow)])
def test_weights_of_another_output_stride(vgg16, tmp_path, name):
    path = tmp_path / name
    vgg16.save_weights(path) if name.endswith(".h5") else vgg16.save(path)
    model = deeplab_tf.build_deeplab(
        "vgg16", "large_fov", 2, output_stride=8, weights=path, fc_channels=8
    )
    np.testing.assert_array_equal(scores(model), scores(with_output_stride(vgg16, 8)))


def test_weights_of_a_finer_output_stride_are_refused(tmp_path):
    path, options = tmp_path / "w.keras", {"head": "large_fov", "num_classes": 2, "fc_channels": 8}
    deeplab_tf.build_deeplab("vgg16", weights=None, **options).save(path)
    with pytest.raises(InputError, match="network with output stride 8, which cannot") as error:
        deeplab_tf.build_deeplab("vgg16", output_stride=16, weights=path, **options)
    assert f"build_deeplab(..., output_stride=8, weights={str(path)!r})" in str(error.value)
