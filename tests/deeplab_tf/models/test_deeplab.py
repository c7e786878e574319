"""Whole networks: sizes, where the cells lie, parameter counts, saving, training."""

import keras
import numpy as np
import pytest

import deeplab_tf
from deeplab_tf.errors import InputError


def cells(size, output_stride=8):
    return (size - 1) // output_stride + 1


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50", "mobilenetv2", "efficientnetb0"])
def test_score_map_size_at_every_size(backbone):
    model = deeplab_tf.build_deeplab(backbone, "large_fov", num_classes=2, weights=None)
    for size in range(64, 81):
        shape = model.compute_output_shape((1, size, 144 - size, 3))
        assert tuple(shape) == (1, cells(size), cells(144 - size), 2)
    for height, width in ((64, 65), (71, 72), (80, 79)):
        scores = model(np.zeros((1, height, width, 3), "float32"))
        assert scores.shape == (1, cells(height), cells(width), 2)


@pytest.mark.parametrize(
    "output_stride", [8, *(pytest.param(stride, marks=pytest.mark.slow) for stride in (16, 32))]
)
def test_other_output_strides(output_stride):
    for backbone in ("vgg16", "mobilenetv2", "xception", "convnexttiny", "densenet121"):
        model = deeplab_tf.build_deeplab(
            backbone, "large_fov", 2, output_stride=output_stride, weights=None
        )
        shape = model.compute_output_shape((1, 90, 97, 3))
        assert tuple(shape) == (1, cells(90, output_stride), cells(97, output_stride), 2)


@pytest.mark.parametrize(
    ("backbone", "tolerance"),
    # EfficientNet's global means see the borders from everywhere, though faintly.
    [
        ("vgg16", 1e-5),
        pytest.param("resnet50", 1e-4, marks=pytest.mark.slow),
        ("mobilenetv2", 1e-5),
        ("efficientnetb0", 3e-2),
    ],
)
def test_a_shift_by_eight_pixels_is_one_cell(backbone, tolerance):
    """Compared where the borders are out of reach: their influence ends some 30 cells inside."""
    model = deeplab_tf.build_deeplab(backbone, "large_fov", 3, weights=None)
    texture = np.random.default_rng(0).uniform(0, 255, (1, 633, 641, 3)).astype("float32")
    first = np.array(model(texture[:, 8:, 8:]))[:, :-1, :-1]
    moved = np.array(model(texture[:, :-8, :-8]))[:, 1:, 1:]
    a, b = first[:, 33:-33, 33:-33], moved[:, 33:-33, 33:-33]
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(a).max())
    unmoved = moved[:, 32:-34, 32:-34]
    assert np.abs(a - unmoved).max() > 10 * tolerance * np.abs(a).max()


@pytest.mark.parametrize("size", [64, 65, 70, 75])
@pytest.mark.parametrize("backbone", ["resnet50", "mobilenetv2", "efficientnetb0", "xception"])
def test_cell_is_centred_on_its_pixel(backbone, size):
    """Odd windows that are centred see a mirrored image as a mirrored map."""
    model = deeplab_tf.build_deeplab(backbone, "large_fov", 2, weights=None)
    mirrored_kernels = (
        keras.layers.Conv2D | keras.layers.SeparableConv2D | keras.layers.DepthwiseConv2D
    )
    for layer in model.layers:
        if isinstance(layer, mirrored_kernels):  # each its own mirror image
            first, *others = layer.get_weights()
            layer.set_weights([first + first[:, ::-1], *others])
    width = 65  # mirrors onto its own cells, and every fourth, which global means see, too
    image = np.random.default_rng(0).uniform(0, 255, (1, size, width, 3)).astype("float32")
    plain = np.array(model(image))
    mirrored = np.array(model(image[:, :, ::-1]))
    np.testing.assert_allclose(mirrored[:, :, ::-1], plain, atol=1e-3 * np.abs(plain).max())


def test_even_sizes_see_the_same_pixels_as_odd_ones():
    """Cropping the last pixel off moves no cell: only windows that reach the border change."""
    network = deeplab_tf.models.backbones.build_backbone("mobilenetv2", 8, None)
    model = keras.Model(network.input, network.get_layer("block_5_add").output)
    image = np.random.default_rng(0).uniform(0, 255, (1, 161, 161, 3)).astype("float32")
    odd = np.array(model(image))[:, :10, :10]
    even = np.array(model(image[:, :-1, :-1]))[:, :10, :10]
    np.testing.assert_allclose(odd, even, atol=1e-4 * np.abs(odd).max())


def test_parameter_count_of_vgg16_large_fov():
    model = deeplab_tf.build_deeplab("vgg16", "large_fov", num_classes=21, weights=None)
    assert model.count_params() == 20_505_429


def test_vgg16_is_laid_out_as_published():
    model = deeplab_tf.build_deeplab("vgg16", "aspp_l", weights=None)
    rates = {name: model.get_layer(name).dilation_rate[0] for name in ("block5_conv1",)}
    assert rates == {"block5_conv1": 2}
    assert [model.get_layer(f"fc6_rate{r}").dilation_rate[0] for r in (6, 12, 18, 24)] == [
        6,
        12,
        18,
        24,
    ]
    assert model.get_layer("block5_pool").strides == (1, 1)
    assert model.get_layer("drop7_rate24").rate == 0.5


def test_poolings_of_three_are_centred():
    """As in the authors' files: 3x3 windows, one cell of padding, at every size."""
    network = deeplab_tf.models.backbones.build_backbone("vgg16", 8, None, pool_size=3)
    names = [f"block{block}_{part}" for block in (1, 4) for part in ("conv2", "conv3", "pool")]
    names.remove("block1_conv3"), names.remove("block4_conv2")
    taps = keras.Model(network.input, [network.get_layer(name).output for name in names])
    for size in (32, 33):
        image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3))
        conv1, pool1, conv4, pool4 = (np.array(x)[0] for x in taps(image))
        for before, after, stride in ((conv1, pool1, 2), (conv4, pool4, 1)):
            for i in range(after.shape[0]):
                rows = before[max(stride * i - 1, 0) : stride * i + 2]
                np.testing.assert_array_equal(after[i, 0], rows[:, :2].max(axis=(0, 1)))
        assert pool4.shape[0] == cells(size)


def test_aspp_sums_its_branches():
    model = deeplab_tf.build_deeplab("mobilenetv2", "aspp_s", 3, weights=None)
    branches = [model.get_layer(f"fc8_rate{rate}").output for rate in (2, 4, 8, 12)]
    parts = keras.Model(model.input, [*branches, model.output])
    image = np.random.default_rng(0).uniform(0, 255, (1, 65, 65, 3))
    *scores, total = [np.array(x) for x in parts(image)]
    np.testing.assert_allclose(sum(scores), total, rtol=1e-5, atol=1e-6)


def test_preprocessing_is_inside():
    model = deeplab_tf.models.backbones.build_backbone("vgg16", 8, None)
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    found = keras.Model(model.input, model.get_layer("preprocessing").output)(image)
    expected = keras.applications.vgg16.preprocess_input(image.copy())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_predict_fit_save_load(tmp_path):
    model = deeplab_tf.build_deeplab("mobilenetv2", "large_fov", 3, weights=None)
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
def test_mixed_precision_gives_float32_scores():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = deeplab_tf.build_deeplab("mobilenetv2", "aspp_s", 3, weights=None)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model(np.zeros((1, 33, 33, 3))).dtype == "float32"
    assert model.get_layer("Conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "vgg17"}, "unknown backbone 'vgg17'; known: vgg16"),
        ({"head": "aspp"}, "unknown head 'aspp'; known: large_fov"),
        ({"num_classes": 0}, "num_classes"),
        ({"output_stride": 5}, "output_stride"),
        ({"scales": ()}, "scales"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(InputError, match=message) as error:
        deeplab_tf.build_deeplab(**{"backbone": "mobilenetv2", "weights": None, **change})
    assert "\n" not in str(error.value)
