"""The heads of v3 and v3+ against a direct computation, their parameters and their sizes."""

import keras
import numpy as np
import pytest
import slim_network
from slim_network import SlimNetwork

from deeplab_tf import build_deeplab, fuse
from deeplab_tf.errors import InputError
from deeplab_tf.models import with_output_stride
from deeplab_tf.models.heads import HEADS_V3, score_stride
from deeplab_tf.models.heads_v3 import apply_v3
from deeplab_tf.models.released.tensorflow import _fill
from deeplab_tf.models.resize import UpsampleToMap


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("name", ["aspp_v3", "v3plus", "v3_mobile"])
def test_heads_by_direct_computation(name, separable):
    """At output stride 8, where the published rates are 12, 24 and 36."""
    head, net = HEADS_V3[name], SlimNetwork()
    features, low_level = keras.Input((None, None, 5)), keras.Input((None, None, 4))
    scores = apply_v3(features, low_level, head, 3, 8, separable)
    model = keras.Model([features, low_level], scores)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 15, 17, 5)).astype("float32")
    details = rng.normal(size=(2, 29, 33, 4)).astype("float32")
    rates = tuple(2 * rate for rate in head.rates)
    expected = slim_network.head(net, x, 3, rates, details if head.decoder else None, separable)
    done = _fill("file", model, net.variables, {}, "none", drop_classes=False)
    assert (done.unused, done.missing) == ((), ())
    found = np.array(model([x, details]))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_upsampling_keeps_every_coarse_cell_on_its_pixel():
    coarse, fine = np.float32([0, 8]).reshape(1, 1, 2, 1), np.zeros((1, 2, 7, 3), "float32")
    found = np.array(UpsampleToMap(4)([coarse, fine]))[0, :, :, 0]
    # After the last coarse cell, at 4, its value goes on.
    np.testing.assert_array_equal(found, [[0, 2, 4, 6, 8, 8, 8]] * 2)


def test_upsampling_with_the_edges_aligned():
    """Pixel centers 0.25, 0.75, ... in units of cells, whose centers are 0.5 and 1.5."""
    coarse, fine = np.float32([0, 8]).reshape(1, 1, 2, 1), np.zeros((1, 2, 4, 3), "float32")
    layer = UpsampleToMap(2, half_pixel=True)
    layer = UpsampleToMap.from_config(layer.get_config())
    np.testing.assert_array_equal(layer([coarse, fine])[0, :, :, 0], [[0, 2, 6, 8]] * 2)


@pytest.mark.parametrize(
    ("backbone", "head", "all_weights", "trained"),
    [
        ("mobilenetv2", "v3_mobile", 2_146_645, 2_113_557),  # published: 2.1 million
        pytest.param("xception65", "v3plus", 41_258_213, 41_055_413, marks=pytest.mark.slow),
    ],
)
def test_parameter_counts(backbone, head, all_weights, trained):
    with keras.StatelessScope(initialize_variables=False):
        model = build_deeplab(backbone, head, 21, 16, weights=None)
        assert model.count_params() == all_weights
        assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == trained
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope


def with_random_statistics(model):
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            mean, beta = (rng.normal(scale=0.1, size=mean.shape) for _ in range(2))
            layer.set_weights([gamma, beta, mean, rng.uniform(0.1, 0.3, variance.shape)])
    return model


def image(height, width):
    return np.random.default_rng(2).uniform(0, 255, (1, height, width, 3)).astype("float32")


def test_a_finer_output_stride_keeps_the_scores():
    """At every second cell, the mean of image pooling included."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same")(images)
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(x)
    x = apply_v3(x, None, HEADS_V3["aspp_v3"], 3, 16, separable=True)
    model, x = with_random_statistics(keras.Model(images, x)), image(161, 150)
    expected = np.array(model(x))
    assert expected.shape == (1, 11, 10, 3)
    found = np.array(with_output_stride(model, 8)(x))
    assert found.shape == (1, 21, 19, 3)
    np.testing.assert_allclose(found[:, ::2, ::2], expected, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected, axis=(1, 2)).min() > 1e-3 * np.abs(expected).max()  # not constant


@pytest.mark.slow
def test_the_fused_and_the_saved_network_give_the_same_scores(tmp_path):
    model = build_deeplab("mobilenetv2half", "v3plus", 3, 16, None, separable_convolutions=True)
    model, x = with_random_statistics(model), image(65, 50)
    expected = np.array(model(x))
    assert expected.shape == (1, 17, 13, 3)
    assert model(image(64, 47)).shape == (1, 16, 12, 3)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(fuse(model)(x), expected, atol=tolerance)
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(x), expected, atol=tolerance)
    # As published: the same weights at output stride 8, with twice the rates.
    for name in ("m.keras", "m.weights.h5"):
        dense = build_deeplab(
            "mobilenetv2half", "v3plus", 3, 8, tmp_path / name, separable_convolutions=True
        )
        assert dense.get_layer("aspp3_depthwise_conv").dilation_rate == (36, 36)
        assert dense(x).shape == expected.shape
        np.testing.assert_allclose(with_output_stride(model, 8)(x), dense(x), atol=tolerance)
        for ours, theirs in zip(dense.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_where_the_scores_are():
    heads = {"v3plus": 4, "v3plus_mobile": 4, "aspp_v3": 16, "v3_mobile": 16, "aspp_l": 16}
    assert {head: score_stride(head, 16) for head in heads} == heads


def test_which_convolutions_are_separable_in_the_released_networks():
    found = {
        (name, backbone): HEADS_V3[name].is_separable(backbone)
        for name in HEADS_V3
        for backbone in ("xception65", "xception", "mobilenetv2")
    }
    windows = ("aspp_v3", "v3plus", "aspp_v3_torch", "v3plus_torch")
    separable = {(name, "xception65") for name in windows}
    separable |= {("v3plus_mobile", name) for name in ("xception65", "xception", "mobilenetv2")}
    assert {place for place, is_separable in found.items() if is_separable} == separable


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"head": "v3plus", "output_stride": 4},
            "'v3plus' scores every 4th pixel, so .* got 4; use",
        ),
        ({"head": "aspp_v3", "fc_channels": 8}, "fc_channels is no option of head 'aspp_v3'"),
        (
            {"head": "v3plus_mobile", "output_stride": 4},
            "'v3plus_mobile' scores every 4th pixel, so .* got 4; use",
        ),
        ({"head": "v3_mobile", "separable_convolutions": True}, "of the heads aspp_v3, v3plus and"),
        ({"head": "aspp_l", "separable_convolutions": False}, "of the heads aspp_v3, v3plus and"),
        (
            {"backbone": "vgg16", "head": "aspp_v3", "use_multi_scale_features": True},
            "use_multi_scale_features is no option",
        ),
    ],
)
def test_options_that_cannot_be_combined_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_deeplab(weights=None, **{"backbone": "mobilenetv2half", **options})
