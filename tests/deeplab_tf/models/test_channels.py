"""Networks for images of more channels than red, green and blue."""

import functools

import keras
import numpy as np
import pytest
from seeds import seed
from small_backbones import CHANNELS, small_backbones
from tiny_model import blocks

import deeplab_tf
from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models import start_from, to_atrous, with_crf
from deeplab_tf.models.backbones import build_backbone
from deeplab_tf.models.channels import FurtherChannels, widen_kernel, with_channels
from deeplab_tf.models.precision import with_precision

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def _small_backbones():
    with small_backbones():
        yield


def rgb_and(*levels, size=(33, 41), seed=0):
    """A random RGB image, and the same with further channels of one level each."""
    rgb = np.random.default_rng(seed).uniform(0, 255, (1, *size, 3)).astype("float32")
    further = np.broadcast_to(np.float32(levels), (1, *size, len(levels)))
    return rgb, np.concatenate([rgb, further], axis=-1)


def test_further_kernels_are_the_mean_of_the_colors():
    kernel = np.float32([1, 2, 6]).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(widen_kernel(kernel, 5)[0, 0, :, 0], [1, 2, 6, 3, 3])
    np.testing.assert_array_equal(widen_kernel(kernel, 3), kernel)


def test_further_channels_are_centered():
    layer = FurtherChannels(scale=2)
    np.testing.assert_array_equal(layer(np.uint8([[[[9, 9, 9, 127, 130]]]])), [[[[-1, 5]]]])
    assert FurtherChannels.from_config(layer.get_config()).scale == 2


# One of each family of backbones.
@pytest.mark.parametrize(
    "name",
    [
        *("vgg16", "mobilenet", "mobilenetv3small"),
        *map(slow, ("resnet50", "resnet50v2", "xception", "mobilenetv2", "densenet121")),
        *map(slow, ("efficientnetb0", "efficientnetv2b0", "efficientnetv2s", "convnexttiny")),
    ],
)
def test_centered_channels_change_nothing(name):
    """At their mean, further channels are zeros to the convolution: the RGB network remains."""
    seed(1)
    network = build_backbone(name, 32, None)
    seed(1)
    wide = build_backbone(name, 32, None, (None, None, 6))
    assert wide.input_shape == (None, None, None, 6)
    rgb, images = rgb_and(127.5, 127.5, 127.5)
    expected = np.asarray(network(rgb))
    np.testing.assert_allclose(wide(images), expected, atol=1e-5 * np.abs(expected).max())
    brighter = np.asarray(wide(rgb_and(127.5, 140.0, 127.5)[1]))
    assert np.abs(brighter - expected).max() > 1e-4 * np.abs(expected).max()


def test_a_depth_channel_that_repeats_gray_adds_its_brightness():
    """As in the authors' RGB-D networks: with levels, the mean kernel sees depth like gray."""
    network = build_backbone("vgg16", 8, None)
    wide = build_backbone("vgg16", 8, None, (None, None, 4))
    kernel, bias = wide.get_layer("block1_conv1").get_weights()
    conv = keras.Model(wide.input, wide.get_layer("block1_conv1").output)
    image = np.full((1, 5, 5, 4), 100, np.float32)
    levels = np.append(100 - np.float32([103.939, 116.779, 123.68]), 100 - 127.5)  # Keras's, BGR
    expected = np.maximum(np.tensordot(levels, kernel.sum((0, 1)), 1) + bias, 0)
    np.testing.assert_allclose(conv(image)[0, 2, 2], expected, rtol=1e-4, atol=1e-4)
    assert kernel.shape == (3, 3, 4, CHANNELS[0]) and len(network.weights) == len(wide.weights)


def test_the_atrous_form_of_a_network_for_more_channels():
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    for _ in range(2):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    network = keras.Model(images, x)
    dense = to_atrous(with_channels(network, 4), 2)
    rgb, four = rgb_and(127.5)
    np.testing.assert_allclose(dense(four)[:, ::2, ::2], network(rgb), atol=1e-5)


@pytest.fixture(scope="module")
def rgbd():
    """A small VGG-16 LargeFOV for color and depth."""
    return deeplab_tf.build_deeplab(
        "vgg16", "large_fov", 2, weights=None, fc_channels=8, input_shape=(None, None, 4)
    )


@pytest.fixture(scope="module")
def image():
    """Color and depth, (40, 51, 4) uint8."""
    return np.concatenate([blocks(40, 51), blocks(40, 51, cell=25, seed=1)[..., :1]], axis=-1)


def test_saved_loaded_and_fused(rgbd, image, tmp_path):
    expected = np.asarray(rgbd(image[None]))
    assert expected.shape == (1, 5, 7, 2)
    rgbd.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        deeplab_tf.load_model(tmp_path / "m.keras")(image[None]), expected
    )
    fused = deeplab_tf.fuse(rgbd)(image[None])
    np.testing.assert_allclose(fused, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.bfloat16
def test_other_precision(rgbd, image):
    expected = np.asarray(rgbd(image[None]))
    found = np.asarray(with_precision(rgbd, "mixed_bfloat16")(image[None]))
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.slow
def test_segment_at_several_scales_with_the_crf(rgbd, image):
    params = CRFParams(w1=5, sigma_alpha=12, sigma_beta=20, iterations=2)
    settings = {"scales": (1, 0.5), "return_probabilities": True}
    before = deeplab_tf.segment(rgbd, image, **settings)
    assert before.shape == (40, 51, 2)
    other_depth = image.copy()
    other_depth[..., 3] = 255 - image[..., 3]
    assert np.abs(deeplab_tf.segment(rgbd, other_depth, **settings) - before).max() > 1e-6
    # The CRF sees the color alone: with the same scores, the depth makes no difference.
    same_scores = keras.Model(rgbd.input, rgbd.output * 0)
    refined = with_crf(same_scores, params)
    np.testing.assert_array_equal(refined(image[None]), refined(other_depth[None]))
    found = deeplab_tf.segment(rgbd, image, params, return_probabilities=True)
    assert np.abs(with_crf(rgbd, params)(image[None])[0] - found).mean() < 2e-5


def test_scales_inside_of_the_network(image):
    model = deeplab_tf.build_deeplab(
        "mobilenet", "large_fov", 2, weights=None, scales=(1, 0.5), input_shape=(None, None, 4)
    )
    assert model(image[None].astype("float32")).shape == (1, 5, 7, 2)


@pytest.mark.slow
def test_multi_scale_features_see_all_channels():
    model = deeplab_tf.build_deeplab(
        "vgg16",
        "large_fov",
        2,
        weights=None,
        fc_channels=8,
        use_multi_scale_features=True,
        input_shape=(None, None, 5),
    )
    assert model.get_layer("msf_image_conv1").kernel.shape == (3, 3, 5, 128)


@pytest.mark.slow  # half a gigabyte of weights
def test_fcn_of_color_and_hha(image):
    model = deeplab_tf.build_fcn(stride=32, num_classes=2, weights=None, input_shape=(65, 33, 6))
    assert model.input_shape == (None, 65, 33, 6) and model.output_shape == (None, 65, 33, 2)
    # What lies beyond the image is zero to the network: it is padded with the mean color.
    mean = np.float32([*MEAN_RGB, 127.5, 127.5, 127.5])
    seen = keras.Model(model.input, model.get_layer("all_channels").output)
    padded = seen(np.broadcast_to(mean, (1, 65, 33, 6)))
    assert padded.shape == (1, 96, 64, 6)
    np.testing.assert_allclose(padded[..., 3:], 0, atol=1e-4)
    assert np.ptp(padded, axis=(1, 2)).max() < 1e-4


def test_a_network_for_color_starts_one_for_more_channels(rgbd, tmp_path):
    color = deeplab_tf.build_deeplab("vgg16", "large_fov", 2, weights=None, fc_channels=8)
    color.save(tmp_path / "color.keras")
    model = keras.models.clone_model(rgbd)
    start = start_from(model, tmp_path / "color.keras")
    assert not start.reshaped and not start.absent
    rgb, four = rgb_and(127.5)
    expected = np.asarray(color(rgb))
    np.testing.assert_allclose(model(four), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(None, None, 1), (None, None, 2), (None, None, None), (None, 4)])
def test_other_channels_are_refused_when_the_network_is_built(shape):
    for build in (deeplab_tf.build_deeplab, deeplab_tf.build_fcn):
        with pytest.raises(InputError, match=r"at least 3 channels.*repeat") as error:
            build(weights=None, input_shape=shape)
        assert str(shape) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("shape", "advice"), [((40, 51, 3), "4"), ((40, 51, 5), "4")])
def test_images_of_other_channels_are_refused(rgbd, shape, advice):
    with pytest.raises(InputError, match=rf"of shape \(H, W, {advice}\)"):
        deeplab_tf.segment(rgbd, np.zeros(shape, np.uint8))
