"""Whole networks: sizes, where the cells lie, saving, training."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_backbones import small_backbones

import deeplab_tf
from deeplab_tf.errors import InputError
from deeplab_tf.models.backbones import build_backbone

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@functools.lru_cache
def large_fov(backbone):
    """A random network of 2 classes; tests may change its weights."""
    return deeplab_tf.build_deeplab(backbone, "large_fov", 2, weights=None)


@pytest.fixture(scope="module", autouse=True)
def _forget_networks():
    yield
    large_fov.cache_clear()


@pytest.fixture
def small():
    with small_backbones():
        yield


def cells(size, output_stride=8):
    return (size - 1) // output_stride + 1


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50", "mobilenetv2", "efficientnetb0"])
def test_size_of_the_score_map(backbone):
    model = large_fov(backbone)
    for size in (64, 65, 66, 71):
        shape = model.compute_output_shape((1, size, 144 - size, 3))
        assert tuple(shape) == (1, cells(size), cells(144 - size), 2)
    scores = model(np.zeros((1, 64, 73, 3), "float32"))
    assert scores.shape == (1, cells(64), cells(73), 2)


@pytest.mark.parametrize("output_stride", [16, slow(32)])
@pytest.mark.parametrize(
    "backbone",
    ["vgg16", "mobilenetv2", slow("xception"), slow("convnexttiny"), slow("densenet121")],
)
def test_other_output_strides(backbone, output_stride):
    model = deeplab_tf.build_deeplab(
        backbone, "large_fov", 2, output_stride=output_stride, weights=None
    )
    shape = model.compute_output_shape((1, 90, 97, 3))
    assert tuple(shape) == (1, cells(90, output_stride), cells(97, output_stride), 2)


@pytest.mark.parametrize(
    ("backbone", "tolerance"),
    # EfficientNet's global means see the borders from everywhere, though faintly.
    [
        ("mobilenetv2", 1e-5),
        slow("vgg16", 1e-5),
        slow("resnet50", 1e-4),
        slow("efficientnetb0", 3e-2),
    ],
)
def test_a_shift_by_eight_pixels_is_one_cell(backbone, tolerance):
    """Compared beyond the reach of the borders, which ends some 30 cells inside."""
    model = large_fov(backbone)
    texture = np.random.default_rng(0).uniform(0, 255, (1, 633, 641, 3)).astype("float32")
    score = tf.function(model)  # eagerly, every map of the network would stay in memory
    first = np.array(score(texture[:, 8:, 8:]))[:, :-1, :-1]
    moved = np.array(score(texture[:, :-8, :-8]))[:, 1:, 1:]
    a, b = first[:, 33:-33, 33:-33], moved[:, 33:-33, 33:-33]
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(a).max())
    unmoved = moved[:, 32:-34, 32:-34]
    assert np.abs(a - unmoved).max() > 10 * tolerance * np.abs(a).max()


@pytest.mark.parametrize("size", [64, 65, 70])
@pytest.mark.parametrize(
    "backbone", ["resnet50", "mobilenetv2", "efficientnetb0", slow("xception")]
)
def test_cells_are_centered_on_their_pixels(backbone, size):
    """Centered windows with symmetric kernels turn a mirrored image into a mirrored map."""
    model = large_fov(backbone)
    convolutions = keras.layers.Conv2D | keras.layers.SeparableConv2D | keras.layers.DepthwiseConv2D
    for layer in model.layers:
        if isinstance(layer, convolutions):
            first, *others = layer.get_weights()
            layer.set_weights([(first + first[:, ::-1]) / 2, *others])
    width = 65  # mirroring moves its cells, and every fourth for global means, onto each other
    image = np.random.default_rng(0).uniform(0, 255, (1, size, width, 3)).astype("float32")
    plain = np.array(model(image))
    mirrored = np.array(model(image[:, :, ::-1]))
    np.testing.assert_allclose(mirrored[:, :, ::-1], plain, atol=1e-3 * np.abs(plain).max())


def test_even_sizes_see_the_same_pixels_as_odd_ones():
    """Without the last row and column only cells whose windows reach the border change."""
    network = large_fov("mobilenetv2")
    model = keras.Model(network.input, network.get_layer("block_5_add").output)
    image = np.random.default_rng(0).uniform(0, 255, (1, 161, 161, 3)).astype("float32")
    odd = np.array(model(image))[:, :10, :10]
    even = np.array(model(image[:, :-1, :-1]))[:, :10, :10]
    np.testing.assert_allclose(odd, even, atol=1e-4 * np.abs(odd).max())


def test_vgg16_as_published():
    model = deeplab_tf.build_deeplab("vgg16", "aspp_l", weights=None, fc_channels=8)
    assert model.get_layer("block5_conv1").dilation_rate == (2, 2)
    for rate in (6, 12, 18, 24):
        assert model.get_layer(f"fc6_rate{rate}").dilation_rate == (rate, rate)
    assert model.get_layer("block5_pool").strides == (1, 1)
    assert model.get_layer("drop7_rate24").rate == 0.5


def test_poolings_of_three_are_centered(small):
    """As in the authors' files: 3x3 windows, one cell of padding, at every size."""
    network = build_backbone("vgg16", 8, None, pool_size=3)
    names = ["block1_conv2", "block1_pool", "block4_conv3", "block4_pool"]
    taps = keras.Model(network.input, [network.get_layer(name).output for name in names])
    for size in (32, 33):
        image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3))
        conv1, pool1, conv4, pool4 = (np.array(x)[0] for x in taps(image))
        for before, after, stride in ((conv1, pool1, 2), (conv4, pool4, 1)):
            for i in range(after.shape[0]):
                rows = before[max(stride * i - 1, 0) : stride * i + 2]
                np.testing.assert_array_equal(after[i, 0], rows[:, :2].max(axis=(0, 1)))
        assert pool4.shape[0] == cells(size)


def test_predict_fit_save_load(small, tmp_path):
    model = deeplab_tf.build_deeplab("vgg16", "large_fov", 2, weights=None, fc_channels=8)
    images = np.random.default_rng(0).integers(0, 256, (2, 65, 65, 3), np.uint8)
    labels = np.zeros((2, 9, 9), "int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    history = model.fit(images, labels, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    a, b = model.predict(images, verbose=0), loaded.predict(images, verbose=0)
    np.testing.assert_array_equal(a, b)
    assert a.dtype == np.float32


@pytest.mark.bfloat16
def test_mixed_precision_gives_float32_scores(small):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = deeplab_tf.build_deeplab("vgg16", "aspp_s", 3, weights=None, fc_channels=8)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model(np.zeros((1, 33, 33, 3))).dtype == "float32"
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "vgg17"}, "unknown backbone 'vgg17'; available: vgg16"),
        ({"head": "aspp"}, "unknown head 'aspp'; available: large_fov"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 1}, "num_classes must be 2 to 255, got 1; name a background too: 2 cla"),
        ({"output_stride": 5}, "output_stride"),
        ({"scales": ()}, "scales"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(InputError, match=message) as error:
        deeplab_tf.build_deeplab(**{"backbone": "mobilenet", "weights": None, **change})
    assert "\n" not in str(error.value)
