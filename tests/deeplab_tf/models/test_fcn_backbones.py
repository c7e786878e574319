"""FCNs on AlexNet, GoogLeNet and other networks: their size, and where their scores are."""

import keras
import numpy as np
import pytest

from deeplab_tf import build_fcn
from deeplab_tf.errors import InputError
from deeplab_tf.models import backbone_names, fcn
from deeplab_tf.models.caffe_backbones import GoogLeNet
from deeplab_tf.models.heads import Head
from deeplab_tf.models.receptive_field import receptive_field
from deeplab_tf.models.resize import find_output_stride

WIDTH = 8  # of fc6 and fc7, which have 38 and 17 million weights at 4,096


@pytest.fixture(scope="module")
def alexnet8():
    """A new FCN-8s on AlexNet; tests may change its weights."""
    return narrow("alexnet", 8)


def narrow(backbone, stride, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcn, "_FC", Head((1,), 7, WIDTH))
        return build_fcn(backbone, stride, 3, weights=None, fixed_upsampling=True, **options)


@pytest.mark.parametrize(
    ("backbone", "score", "millions", "field", "depth"),
    [
        ("alexnet", "score_fc7", 57, 355, 8),
        ("vgg16", "score_fc7", 134, 404, 16),
        ("googlenet", "score_top", 6, 715, 22),
    ],
)
def test_the_figures_of_the_paper(backbone, score, millions, field, depth):
    """Table 1; the upsampling does not count. GoogLeNet's 907 are with its average pooling."""
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        model = build_fcn(backbone, 32, weights=None)
        head = keras.Model(model.input, model.get_layer(score).output)
        found = receptive_field(head)
        parameters = head.count_params()
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    assert round(parameters / 1e6) == millions
    assert (found.size, found.stride, found.depth) == (field, 32, depth)


def test_the_classifier_googlenet_sees_907_pixels():
    with keras.StatelessScope(initialize_variables=False):
        network = GoogLeNet(include_top=False)
        pooled = keras.layers.AveragePooling2D(7, strides=1)(network.output)
        assert receptive_field(network, pooled).size == 907
    keras.backend.clear_session()


def interpolated(values, centers, stride, pixels):
    """(h, w, C) at other pixels: bilinear between cells at these centers, and zero beyond them."""
    for axis in (0, 1):
        distance = np.abs(pixels[axis][:, None] - centers[axis][: values.shape[axis]])
        weights = np.maximum(1 - distance / stride, 0)
        values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return values


def check_scores(model, first, skips, size=(70, 45)):
    """The scores against those of the maps that are scored, interpolated between their pixels.

    Args:
      model: an FCN with the stride of its last skip, with fixed upsampling.
      first: the pixel of the coarsest score cell 0.
      skips: {pixels per cell: name of the layer with its scores}; cell 0 is on pixel 0.
      size: height and width of the image.
    """
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith(("fc", "score_")) and layer.weights:
            layer.set_weights([rng.normal(0, 0.3, w.shape) for w in layer.weights])
    image = rng.uniform(0, 255, (1, *size, 3)).astype(np.float32)
    top = "score_fc7" if first else "score_top"
    outputs = [model.get_layer(name).output for name in (top, *skips.values())]
    scores, *maps = (np.array(x)[0] for x in keras.Model(model.input, outputs)(image))
    stride, cells = 32, [32 * np.arange(scores.shape[axis]) + first for axis in (0, 1)]
    for finer, skip in zip(skips, maps, strict=True):
        pixels = [finer * np.arange(skip.shape[axis]) for axis in (0, 1)]
        scores = interpolated(scores, cells, stride, pixels) + skip
        stride, cells = finer, pixels
    expected = interpolated(scores, cells, stride, [np.arange(length) for length in size])
    found = np.array(model(image))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("backbone", backbone_names())
def test_every_backbone_becomes_an_fcn(backbone, request):
    if backbone.startswith("convnext"):
        reason = "widest_last_map loses the strides at the bare additions of ConvNeXt"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=ValueError, strict=True))
    with keras.StatelessScope(initialize_variables=False):  # without memory for the weights
        model = build_fcn(backbone, 8, 3, weights=None)
    keras.backend.clear_session()  # or Keras would allocate the variables in its next scope
    assert model.name == f"fcn8s_{backbone}" and model.output_shape == (None, None, None, 3)
    assert sum(layer.name.startswith("score_") for layer in model.layers) == 3


SKIPS = {16: "score_stride16", 8: "score_stride8"}


def test_scores_of_alexnet(alexnet8):
    # fc6 has 6x6 cells, so its middle is between the cells of pool5, which lie on pixels 32 i.
    check_scores(alexnet8, -16, SKIPS)
    assert find_output_stride(alexnet8) == 1
    inputs = [alexnet8.get_layer(name).input for name in SKIPS.values()]
    assert [x.shape[-1] for x in inputs] == [384, 256]  # conv4 and conv2


@pytest.mark.slow
def test_scores_of_another_network():
    model = build_fcn("mobilenet", 16, 3, weights=None, fixed_upsampling=True)
    check_scores(model, 0, {16: "score_stride16"}, size=(40, 33))
    assert model.get_layer("pad_to_cells").color == [127.5] * 3  # zero at -1..1
    assert {v.path.split("/")[0] for v in model.trainable_variables} >= {"score_top", "conv1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        *("googlenet", "bvlc_alexnet", "resnet50", "densenet121", "inceptionv3", "convnexttiny"),
        *("mobilenetv3small", "efficientnetb0", "xception41"),
    ],
)
@pytest.mark.parametrize("size", [(65, 64), (33, 90)])
def test_scores_of_more_networks(backbone, size):
    model = narrow(backbone, 8)
    check_scores(model, -16 if "alexnet" in backbone else 0, SKIPS, size)


@pytest.mark.slow
@pytest.mark.parametrize("released_padding", [False, True])
def test_further_channels_start_as_the_mean_of_the_colors(released_padding):
    options = {"input_shape": (None, None, 5), "released_padding": released_padding}
    model = narrow("alexnet", 32, **options)
    kernel = model.get_layer("conv1").get_weights()[0]
    np.testing.assert_allclose(kernel[..., 4, :], kernel[..., :3, :].mean(axis=2), rtol=1e-5)
    assert model(np.zeros((1, 40, 33, 5), np.float32)).shape == (1, 40, 33, 3)


@pytest.mark.slow
def test_saved_and_loaded(alexnet8, tmp_path):
    alexnet8.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 33, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(image), alexnet8(image))


@pytest.mark.parametrize("backbone", ["alexnet", "bvlc_alexnet", "googlenet"])
def test_imagenet_weights_are_those_of_caffe(backbone):
    with pytest.raises(InputError, match=r"convert the released \.caffemodel with"):
        build_fcn(backbone)
