"""FCNs against a computation from the paper's description, and their stages."""

import keras
import numpy as np
import pytest
from small_backbones import small_vgg16

from deeplab_tf import build_fcn, segment
from deeplab_tf.errors import InputError
from deeplab_tf.models import fcn
from deeplab_tf.models.heads import Head
from deeplab_tf.models.resize import find_output_stride


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    # fc6 with 4,096 filters takes 411 MB, which only the parameter count needs.
    monkeypatch.setattr(fcn, "_FC", Head((1,), 7, 8))
    monkeypatch.setattr(keras.applications, "VGG16", small_vgg16)


@pytest.fixture(scope="module")
def fcn8():
    """A new FCN-8s of 3 classes; tests may change its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcn, "_FC", Head((1,), 7, 8))
        patch.setattr(keras.applications, "VGG16", small_vgg16)
        return build_fcn(stride=8, num_classes=3, weights=None)


def random_weights(model):
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith(("fc", "score", "upscore2")) and layer.weights:
            layer.set_weights([rng.normal(0, 0.3, w.shape) for w in layer.weights])


def weights_of(model, name):
    return model.get_layer(name).get_weights()


def transposed(x, kernel, factor):
    """Every cell adds its kernel to the result, which is cropped by factor / 2 on all sides."""
    height, width = x.shape[:2]
    size = kernel.shape[0]
    result = np.zeros((factor * height + factor, factor * width + factor, x.shape[2]))
    for i, j in np.ndindex(height, width):
        patch = kernel @ x[i, j]  # (size, size, out, in)
        result[factor * i : factor * i + size, factor * j : factor * j + size] += patch
    cut = factor // 2
    return result[cut:-cut, cut:-cut]


def bilinear(factor, channels):
    column = [1 - abs(i - (factor - 0.5)) / factor for i in range(2 * factor)]
    return np.outer(column, column)[:, :, None, None] * np.eye(channels)


def test_a_new_network_gives_zeros_and_learns_all_but_the_last_layer(fcn8):
    image = np.random.default_rng(0).uniform(0, 255, (1, 33, 40, 3))
    np.testing.assert_array_equal(fcn8(image), np.zeros((1, 33, 40, 3)))
    trained = {w.path.split("/")[0] for w in fcn8.trainable_variables}
    assert "upscore2_pool4" in trained and "score_pool3" in trained
    assert "upscore8" not in trained


def test_fixed_upsampling_trains_the_convolutions_alone(fcn8):
    model = build_fcn(stride=8, num_classes=3, weights=None, fixed_upsampling=True)
    learned, fixed = ({w.path for w in one.trainable_variables} for one in (fcn8, model))
    assert learned - fixed == {"upscore2_pool4/kernel", "upscore2_pool3/kernel"}
    assert fixed < learned
    for name, factor in (("upscore2_pool4", 2), ("upscore2_pool3", 2), ("upscore8", 8)):
        np.testing.assert_allclose(weights_of(model, name)[0], bilinear(factor, 3), atol=1e-6)


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_scores_as_described(fcn8, stride):
    model = fcn8 if stride == 8 else build_fcn(stride=stride, num_classes=3, weights=None)
    random_weights(model)
    image = np.random.default_rng(1).uniform(0, 255, (1, 70, 45, 3)).astype("float32")
    found = np.array(model(image))[0]
    names = ["block3_pool", "block4_pool", "relu7"]
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    pool3, pool4, fc7 = (np.array(x)[0] for x in taps(image))
    assert pool4.shape[:2] == (6, 4) and fc7.shape[:2] == (3, 2)  # for 96x64 padded pixels

    def score(x, name):
        kernel, bias = weights_of(model, name)
        return x @ kernel[0, 0] + bias

    scores = score(fc7, "score_fc7")
    if stride <= 16:
        scores = transposed(scores, weights_of(model, "upscore2_pool4")[0], 2)
        scores = scores + score(pool4, "score_pool4")
    if stride == 8:
        scores = transposed(scores, weights_of(model, "upscore2_pool3")[0], 2)
        scores = scores + score(pool3, "score_pool3")
    expected = transposed(scores, bilinear(stride, 3), stride)[:70, :45]
    assert found.shape == expected.shape == (70, 45, 3)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_each_stage_starts_the_next(tmp_path):
    before = build_fcn(stride=32, num_classes=3, weights=None)
    random_weights(before)
    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    for stride in (16, 8):
        before.save(tmp_path / f"{stride}.keras")
        model = build_fcn(stride=stride, num_classes=3, weights=tmp_path / f"{stride}.keras")
        for name in ("block1_conv1", "fc6", "fc7", "score_fc7"):
            for a, b in zip(weights_of(before, name), weights_of(model, name), strict=True):
                np.testing.assert_array_equal(a, b)
        skip = f"score_pool{4 if stride == 16 else 3}"
        assert not np.any(weights_of(model, skip)[0])
        # Two bilinear steps are not quite one of twice the factor, least of all at the borders.
        a, b = (np.array(x(image))[0, 16:-16, 16:-16] for x in (before, model))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
        before = model


@pytest.mark.slow
def test_scaled_skips_score_a_small_share_of_their_maps(fcn8):
    random_weights(fcn8)
    model = build_fcn(stride=8, num_classes=3, weights=None, scaled_skips=True)
    model.set_weights(fcn8.get_weights())  # scaling has no weights
    for name, factor in (("score_pool4", 0.01), ("score_pool3", 0.0001)):
        kernel, bias = weights_of(model, name)
        model.get_layer(name).set_weights([kernel / factor, bias])
    image = np.random.default_rng(1).uniform(0, 255, (1, 40, 33, 3)).astype("float32")
    expected = np.array(fcn8(image))
    np.testing.assert_allclose(model(image), expected, atol=1e-5 * np.abs(expected).max())


def test_segments_images_of_any_size(fcn8):
    assert find_output_stride(fcn8) == 1
    image = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    assert segment(fcn8, image).shape == (37, 61)


def test_saved_and_loaded(fcn8, tmp_path):
    random_weights(fcn8)
    fcn8.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 33, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(image), fcn8(image))


def test_parameter_count(monkeypatch):
    monkeypatch.undo()
    with keras.StatelessScope(initialize_variables=False):
        model = build_fcn(stride=8, num_classes=21, weights=None)
        # VGG-16 convolutional, three scorings, two learned upsamplings and the fixed one
        scoring = (4096 + 512 + 256) * 21 + 3 * 21
        assert model.count_params() == 134_260_544 + scoring + 21 * 21 * (2 * 16 + 256)
        # Files without names, and old ones, have them in this order.
        assert [weight.path for weight in model.weights[-7:]] == [
            *("upscore2_pool4/kernel", "score_pool4/kernel", "score_pool4/bias"),
            *("upscore2_pool3/kernel", "score_pool3/kernel", "score_pool3/bias"),
            "upscore8/kernel",
        ]
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope


@pytest.mark.parametrize(
    "options, message",
    [
        ({"backbone": "vgg17"}, "unknown backbone 'vgg17'"),
        ({"stride": 4}, "no FCN with stride 4"),
        ({"num_classes": 256}, "num_classes"),
        ({"num_classes": 1}, "got 1; name a background too: 2 classes"),
        ({"weights": "absent.h5"}, "no weights file absent.h5"),
        ({"stride": 32, "scaled_skips": True}, "scaled_skips has no effect on stride 32"),
        (
            {"backbone": "resnet50", "released_padding": True},
            "released_padding is an option of vgg16, vgg19, alexnet, bvlcalexnet, got backbone",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(InputError, match=message):
        build_fcn(**{"weights": None, **options})
