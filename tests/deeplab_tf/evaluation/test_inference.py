"""From images to labels: sizes, scales, flips, tiles, and the CRF."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, color_model, random_model

from crf import CRFParams, dense_crf
from deeplab_tf import InputError
from deeplab_tf.data.shrink import shrink
from deeplab_tf.evaluation import compiled
from deeplab_tf.evaluation.compiled import FixedNetwork, upsampled_scores
from deeplab_tf.evaluation.inference import (
    apply_crf,
    most_probable,
    predict_labels,
    predict_probabilities,
    segment,
)
from deeplab_tf.evaluation.photographs import enlarge
from deeplab_tf.evaluation.tiling import tiled_scores
from deeplab_tf.labels import MEAN_RGB
from deeplab_tf.models import build_deeplab
from deeplab_tf.models.backbones import ImagePreprocessing
from deeplab_tf.models.multiscale import fuse_scales

THREE_SCALES = (1.0, 0.75, 0.5)  # those of DeepLab v2


def softmax(scores):
    return tf.nn.softmax(tf.cast(scores, tf.float32)).numpy()


def interpolate(cells, output_stride):
    """Expected bilinear interpolation with aligned corners, one axis after the other."""
    for axis in (0, 1):
        length = cells.shape[axis]
        at = np.arange((length - 1) * output_stride + 1) / output_stride
        cells = np.apply_along_axis(lambda v, at=at: np.interp(at, range(len(v)), v), axis, cells)
    return cells


def expected_scores(image, output_stride=8):
    """Scores of `color_model` at every pixel: padded, sampled, interpolated, cropped."""
    height, width, _ = image.shape
    padded_size = [-(-(n - 1) // output_stride) * output_stride + 1 for n in (height, width)]
    padded = np.tile(np.float64(MEAN_RGB), (*padded_size, 1))
    padded[:height, :width] = image
    cells = padded[::output_stride, ::output_stride]
    return interpolate(cells, output_stride)[:height, :width]


def test_padding_and_interpolation_by_hand():
    """Pixel 9 lies one eighth of the way from cell 8 to cell 16, which is padding."""
    image = np.full((1, 10, 3), 50, np.float32)
    image[0, 8] = 200
    scores = upsampled_scores(color_model(), image[None], 8)[0, 0].numpy()
    np.testing.assert_allclose(scores[0], 50)
    np.testing.assert_allclose(scores[4], 125)
    np.testing.assert_allclose(scores[8], 200)
    np.testing.assert_allclose(scores[9], 200 * 7 / 8 + np.array(MEAN_RGB) / 8, rtol=1e-6)


def test_padding_is_zero_to_a_network_of_the_v3_authors():
    """Pixel 9 lies one eighth of the way to a cell that is padding, compiled and fused, too."""
    images = keras.Input((None, None, 3))
    x = ImagePreprocessing("tf")(images)
    model = keras.Model(images, keras.layers.AveragePooling2D(1, strides=8)(x))
    image = np.full((1, 10, 3), 255, np.uint8)
    for scores in (
        upsampled_scores(model, image[None].astype(np.float32), 8)[0],
        FixedNetwork(model).scores(image, pad_to=17),
    ):
        np.testing.assert_allclose(scores[0, 8:, 0], [1, 7 / 8], rtol=1e-6)


@pytest.mark.parametrize("output_stride", [4, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (8, 9), (31, 45)])
def test_probabilities_at_any_size(output_stride, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    model = color_model(output_stride, factor=0.02)
    expected = softmax(expected_scores(image, output_stride) * 0.02)
    np.testing.assert_allclose(predict_probabilities(model, image), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "pad_to", "seen"),
    [((8, 17), None, (9, 17)), ((18, 1), None, (25, 1)), ((8, 40), 33, (33, 41))],
)
def test_the_network_sees_the_padded_size(size, pad_to, seen):
    shapes = []

    def network(images, training):
        shapes.append(tuple(images.shape[1:3]))
        assert training is False
        np.testing.assert_allclose(images[0, : size[0], : size[1]], 7)
        outside = images.numpy()[0, size[0] :].reshape(-1, 3)
        np.testing.assert_allclose(outside, np.tile(np.float32(MEAN_RGB), (len(outside), 1)))
        return images[:, ::8, ::8]

    scores = upsampled_scores(network, tf.fill((2, *size, 3), 7.0), 8, pad_to=pad_to)
    assert shapes == [seen]
    assert scores.shape == (2, *size, 3)


def test_scales_of_a_model():
    """At odd sizes, a scale of one half takes every second pixel."""
    y, x = np.mgrid[0:65, 0:65]
    image = np.stack([x, y, 64 - x], axis=-1).astype(np.uint8)
    probabilities = predict_probabilities(color_model(), image, scales=(0.5,))
    np.testing.assert_allclose(probabilities, softmax(image), atol=1e-3)


@pytest.fixture(scope="module")
def one_and_three_scales():
    """A network, and the same at three scales."""
    model = random_model()
    return model, fuse_scales(model, THREE_SCALES)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((33, 49), {}),
        ((31, 50), {}),
        ((5, 1), {}),
        ((31, 50), {"pad_to": 65}),
        ((31, 50), {"flip": True}),
        ((31, 50), {"pad_to": 60, "flip": True}),
        ((75, 130), {"tile": 40}),
        ((75, 130), {"tile": 33, "pad_to": 49, "flip": True}),
    ],
)
def test_scales_equal_a_network_of_several_scales(one_and_three_scales, size, settings):
    (model, fused), image = one_and_three_scales, blocks(*size)
    expected = predict_probabilities(fused, image, **settings)
    found = predict_probabilities(model, image, THREE_SCALES, **settings)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(predict_probabilities(model, image, **settings), expected, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("pad_to", [None, 257])
def test_scales_equal_a_deeplab_of_several_scales(deeplab, pad_to):
    image = blocks(187, 250)
    (single,) = (layer for layer in deeplab.layers if isinstance(layer, keras.Model))
    expected = predict_probabilities(deeplab, image, pad_to=pad_to)
    found = predict_probabilities(single, image, THREE_SCALES, pad_to=pad_to)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(predict_probabilities(single, image, pad_to=pad_to) - expected).max() > 0.1


@pytest.fixture(scope="module")
def deeplab():
    """A network of three scales with random weights, whose scores differ by about 1."""
    model = build_deeplab("mobilenet", "large_fov", 4, weights=None, scales=THREE_SCALES)
    *_, kernel, _ = model.weights
    scores = model(tf.constant(blocks(65, 65)[None], tf.float32))
    kernel.assign(kernel / np.std(scores))
    return model


def test_the_padded_image_is_resized():
    """First padded, then resized: at scale one half a network sees half of the padded size."""
    seen = []

    def network(images, training):
        seen.append(images)
        return images[:, ::8, ::8]

    images = tf.fill((2, 8, 17, 3), 7.0)
    upsampled_scores(network, images, 8, (1, 0.5), pad_to=30)
    whole, half = seen
    assert whole.shape == (2, 33, 33, 3) and half.shape == (2, 17, 17, 3)
    np.testing.assert_allclose(half, whole[:, ::2, ::2], rtol=1e-6)
    np.testing.assert_allclose(half[:, 4:], np.broadcast_to(MEAN_RGB, (2, 13, 17, 3)), rtol=1e-6)


def test_the_maximum_is_taken_before_upsampling():
    """Cells 0, 100, 0 and 60, 60 become 60, 100, 60; at full size, pixel 4 would be 60."""
    cells = {17: [0.0, 100.0, 0.0], 9: [60.0, 60.0]}

    def network(images, training):
        return tf.reshape(cells[images.shape[2]], (1, 1, -1, 1))

    scores = upsampled_scores(network, tf.zeros((1, 1, 17, 3)), 8, (1, 0.5))[0, 0, :, 0]
    np.testing.assert_allclose(scores[:9:4], [60, 80, 100])
    np.testing.assert_allclose(scores[12:], [80, 75, 70, 65, 60])


def test_large_scales_keep_their_resolution():
    """At scale 2 a cell lies on every fourth pixel; at scale 1 the cells see only zeros."""
    image = tf.constant([0.0, 0, 0, 0, 100, 0, 0, 0, 0])[None, None, :, None] * tf.ones(3)
    for scales in ((2,), (1, 2)):
        scores = upsampled_scores(color_model(), image, 8, scales)[0, 0, :, 0]
        np.testing.assert_allclose(scores, [0, 25, 50, 75, 100, 75, 50, 25, 0])


def test_flip_makes_mirrored_images_equal():
    model, image = random_model(), blocks(30, 43)
    for flip, equal in ((True, True), (False, False)):
        plain = predict_probabilities(model, image, flip=flip)
        mirrored = predict_probabilities(model, image[:, ::-1].copy(), flip=flip)[:, ::-1]
        assert np.allclose(plain, mirrored, atol=1e-5) == equal


def test_flip_averages_scores():
    model, images = random_model(), tf.constant(blocks(17, 25)[None], tf.float32)
    plain = upsampled_scores(model, images, 8)
    mirrored = upsampled_scores(model, images[:, :, ::-1], 8)[:, :, ::-1]
    both = upsampled_scores(model, images, 8, flip=True)
    np.testing.assert_allclose(both, (plain + mirrored) / 2, rtol=1e-5)


@pytest.mark.parametrize("tile", [17, 64])
def test_tiles_of_a_pointwise_model_join_without_seams(tile):
    image, model = blocks(75, 130), color_model(factor=0.02)
    whole = predict_probabilities(model, image)
    tiled = predict_probabilities(model, image, tile=tile)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tiles_are_small_and_overlap_by_half():
    seen = np.zeros((150, 300))

    def score(images):
        place = images[0, ..., 0].numpy().astype(int)
        assert max(place.shape) <= 64
        seen.flat[place] += 1
        return images

    index = np.arange(150 * 300, dtype=np.float32).reshape(1, 150, 300, 1)
    tiled = tiled_scores(score, tf.constant(index), 64, 8)
    np.testing.assert_allclose(tiled, index, rtol=1e-6)
    assert seen.min() >= 1
    assert (seen[40:110, 40:260] >= 4).mean() > 0.8


def test_borders_of_tiles_have_small_weights():
    def score(images):
        outer = np.ones(images.shape, np.float32)
        outer[:, 1:-1, 1:-1] = 0
        return tf.constant(outer)

    tiled = tiled_scores(score, tf.zeros((1, 200, 200, 1)), 65, 8)[0, 20:-20, 20:-20]
    assert 0 < tiled.numpy().max() < 0.1


def test_images_of_many_sizes_share_one_graph():
    model = random_model()
    for size in ((20, 30), (30, 20), (41, 41), (1, 7)):
        predict_probabilities(model, blocks(*size))
        predict_probabilities(model, blocks(*size), (1, 0.5), flip=True)
    graphs = compiled._networks[model]._graphs.values()
    assert [graph.experimental_get_tracing_count() for graph in graphs] == [1, 1]


def test_a_model_may_be_trained_between_calls():
    model, image = random_model(), blocks(20, 30)
    before = predict_probabilities(model, image)
    for variable in model.trainable_variables:
        variable.assign(variable * 0)
    np.testing.assert_allclose(predict_probabilities(model, image), 0.25, atol=1e-6)
    assert before.max() > 0.5


def test_a_fixed_network_keeps_its_weights():
    model, image = random_model(), blocks(20, 30)
    before, fixed = predict_probabilities(model, image), FixedNetwork(model)
    for variable in model.trainable_variables:
        variable.assign(variable * 0)
    np.testing.assert_array_equal(predict_probabilities(fixed, image), before)
    np.testing.assert_allclose(predict_probabilities(model, image), 0.25, atol=1e-6)


def test_labels_without_probabilities():
    model, image = random_model(), blocks(40, 31)
    for settings in ({}, {"scales": (1, 0.5), "flip": True}, {"tile": 25}):
        labels = predict_labels(model, image, **settings)
        assert labels.dtype == np.uint8
        expected = most_probable(predict_probabilities(model, image, **settings))
        np.testing.assert_array_equal(labels, expected)
    with pytest.raises(InputError, match="tile 5; this model needs at least"):
        predict_labels(model, image, tile=5)


def test_a_model_is_freed():
    model = random_model()
    predict_probabilities(model, blocks(20, 30))
    reference = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert reference() is None


@pytest.mark.bfloat16
def test_16_bit_models_give_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = random_model()
    finally:
        keras.config.set_dtype_policy("float32")
    probabilities = predict_probabilities(model, blocks(20, 30))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_segment_returns_the_most_probable_class():
    model, image = random_model(), blocks(30, 43)
    label = segment(model, image)
    probabilities = segment(model, image, return_probabilities=True)
    assert label.shape == (30, 43) and label.dtype == np.uint8
    assert probabilities.shape == (30, 43, 4) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(label, probabilities.argmax(-1))
    assert len(np.unique(label)) > 1


def test_segment_passes_every_setting_on():
    model, image = random_model(), blocks(60, 83)
    settings = {"scales": (1, 0.5), "flip": True, "tile": 40, "pad_to": 65}
    expected = predict_probabilities(model, image, **settings)
    np.testing.assert_array_equal(
        segment(model, image, return_probabilities=True, **settings), expected
    )
    for name in settings:
        fewer = {key: value for key, value in settings.items() if key != name}
        assert not np.array_equal(predict_probabilities(model, image, **fewer), expected), name


def test_segment_with_crf():
    model, image = random_model(), blocks(30, 43)
    params = CRFParams(sigma_alpha=10, sigma_beta=20, iterations=3)
    plain = segment(model, image, return_probabilities=True)
    refined = segment(model, image, params, return_probabilities=True)
    expected = dense_crf(plain[None], image[None], params)[0]
    np.testing.assert_allclose(refined, expected, atol=1e-6)
    assert np.abs(refined - plain).max() > 0.1
    np.testing.assert_array_equal(segment(model, image, params), most_probable(refined))


@pytest.mark.parametrize("crf", [None, CRFParams(sigma_alpha=10, sigma_beta=20, iterations=2)])
def test_segment_of_a_photograph(crf):
    """Network and CRF see the reduced image; the labels have the photograph's size."""
    model, image = random_model(), blocks(50, 90)
    small = shrink(image, 60)
    assert small.shape == (33, 60, 3)
    expected = enlarge(segment(model, small, crf, return_probabilities=True), (50, 90))
    found = segment(model, image, crf, max_side=60, return_probabilities=True)
    np.testing.assert_array_equal(found, expected)
    label = segment(model, image, crf, max_side=60)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected.argmax(-1))
    whole = segment(model, image, crf)
    assert (label != whole).any()
    np.testing.assert_array_equal(segment(model, image, crf, max_side=90), whole)


def test_input_that_the_crf_refuses():
    probabilities = np.full((3, 4, 2), 0.9, np.float32)
    with pytest.raises(InputError, match=r"dense_crf: .*sum to one"):
        apply_crf(probabilities, np.zeros((3, 4, 3), np.uint8), CRFParams())


@pytest.mark.parametrize(
    ("image", "settings", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), {}, "image is float32"),
        (np.zeros((4, 4), np.uint8), {}, "give uint8 RGB"),
        (np.zeros((4, 0, 3), np.uint8), {}, "give uint8 RGB"),
        (np.zeros((4, 4, 4), np.uint8), {}, "give uint8 RGB"),
        (None, {}, "image is None, which cv2.imread returns for a file that it cannot read"),
        ("a.jpg", {}, "image is a str; give an array, uint8 RGB"),
        ([[[1, 2, 3]]], {}, "image is a list; give an array, uint8 RGB"),
        (np.zeros((4, 4, 3), np.uint8), {"scales": ()}, "scales"),
        (np.zeros((4, 4, 3), np.uint8), {"scales": (1, 0)}, "scales"),
        (np.zeros((4, 4, 3), np.uint8), {"flip": 0.5}, "flip"),
        (np.zeros((4, 4, 3), np.uint8), {"tile": 16}, "tile 16; .* at least 17"),
        (np.zeros((4, 4, 3), np.uint8), {"pad_to": 0}, "pad_to"),
    ],
)
def test_bad_input(image, settings, message):
    with pytest.raises(InputError, match=message):
        predict_probabilities(color_model(), image, **settings)
