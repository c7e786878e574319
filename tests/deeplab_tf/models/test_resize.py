"""Resizing and upsampling, by hand and against NumPy's interpolation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import color_model, random_model

from deeplab_tf.errors import InputError
from deeplab_tf.models.padding import PadToCells, PadToMultiple, pad_to_cells
from deeplab_tf.models.resize import (
    CropToImages,
    UpsampleScores,
    find_output_stride,
    resize_aligned,
    scale_aligned,
    scaled_size,
    upsample_scores,
)


def test_lengths_as_published():
    images = tf.zeros((1, 321, 41, 3))
    sizes = [scale_aligned(images, scale).shape[1:3] for scale in (1, 0.75, 0.5)]
    assert sizes == [(321, 41), (241, 31), (161, 21)]


@pytest.mark.parametrize(("scale", "expected"), [(0.35, 64), (0.65, 118), (0.7, 127), (1.1, 199)])
def test_whole_lengths_are_exact_in_every_graph(scale, expected):
    """180 times the scale is a whole number, which binary fractions miss by their rounding."""
    images = tf.zeros((1, 181, 1, 3))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def scaled(images):
        return scale_aligned(images, scale)

    assert scale_aligned(images, scale).shape[1] == scaled(images).shape[1] == expected
    assert scaled_size(images, scale) == (expected, 1)


def test_corners_keep_their_values():
    x = np.array([0.0, 2, 4]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(resize_aligned(x, 1, 5)[0, 0, :, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(resize_aligned(x, 1, 2)[0, 0, :, 0], [0, 4])


def interpolate(x, height, width):
    """Linear interpolation with aligned corners, one axis after the other."""
    for axis, length in ((1, height), (2, width)):
        at = np.linspace(0, x.shape[axis] - 1, length)
        cells = np.arange(x.shape[axis])
        x = np.apply_along_axis(lambda v, at=at, cells=cells: np.interp(at, cells, v), axis, x)
    return x


@pytest.mark.parametrize("size", [(5, 9), (31, 4), (1, 1), (8, 8)])
def test_resize_equals_numpy(size):
    x = np.random.default_rng(0).normal(size=(2, 8, 5, 3)).astype("float32")
    np.testing.assert_allclose(resize_aligned(x, *size), interpolate(x, *size), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_gradient_of_every_dtype(dtype):
    """Each result is a weighted mean of two cells, so the gradient of the sum is by hand."""
    x = tf.cast(tf.reshape([0.0, 1.0, 3.0], (1, 1, 3, 1)), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = resize_aligned(x, 1, 5)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(tf.cast(y, "float32")[0, 0, :, 0], [0, 0.5, 1, 2, 3])
    gradient = tape.gradient(y, x)
    assert gradient.dtype == x.dtype
    np.testing.assert_array_equal(tf.cast(gradient, "float32")[0, 0, :, 0], [1.5, 2, 1.5])


@pytest.mark.usefixtures("tf_seed")
def test_compiled_for_images_of_any_size():
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def half(images):
        return scale_aligned(images, 0.5)

    for size in ((9, 5), (10, 7)):
        images = tf.random.uniform((1, *size, 3))
        expected = interpolate(images.numpy(), *((length - 1) // 2 + 1 for length in size))
        np.testing.assert_allclose(half(images), expected, atol=1e-6)
    assert scale_aligned(images, 1) is images


def test_upsampling_by_hand():
    scores = tf.reshape([0.0, 2.0, 4.0, 8.0], [1, 2, 2, 1])
    fine = upsample_scores(scores, tf.zeros([1, 3, 2, 3]), 2)
    np.testing.assert_allclose(fine[0, ..., 0], [[0, 1], [2, 3.5], [4, 6]], rtol=1e-6)


def test_a_ramp_stays_a_ramp():
    y, x = np.mgrid[0:17, 0:25].astype(np.float32)
    ramp = np.stack([x, y, x + 2 * y], axis=-1)[None]
    fine = upsample_scores(tf.constant(ramp[:, ::8, ::8]), ramp, 8)
    np.testing.assert_allclose(fine, ramp, atol=1e-5)


def test_layers_compute_the_functions_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        images = keras.Input((None, None, 3))
        padded = PadToCells(4)(images)
        multiple = PadToMultiple(4)(images)
        fine = UpsampleScores(4)([padded[:, ::4, ::4], images])
        model = keras.Model(images, [padded, multiple, fine, CropToImages()([padded, images])])
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "m.keras")
    model = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    x = np.random.default_rng(0).uniform(0, 255, (1, 6, 9, 3)).astype("float32")
    padded, multiple, fine, cropped = model(x)
    np.testing.assert_array_equal(padded, pad_to_cells(x, 4))
    np.testing.assert_array_equal(multiple, PadToMultiple(4)(x))
    np.testing.assert_array_equal(fine, upsample_scores(padded[:, ::4, ::4], x, 4))
    np.testing.assert_array_equal(cropped, x)


@pytest.mark.parametrize("output_stride", [1, 4, 8, 16, 32])
def test_output_stride_of_a_model(output_stride):
    assert find_output_stride(color_model(output_stride)) == output_stride


def test_output_stride_of_a_model_of_more_channels():
    assert find_output_stride(random_model(output_stride=16, channels=5)) == 16


def test_models_without_an_output_stride():
    images = keras.Input((None, None, 3))
    upsampling = keras.Model(images, keras.layers.UpSampling2D(2)(images))
    classifier = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    fixed, gray = keras.Input((64, 64, 3)), keras.Input((None, None, 1))
    features = keras.Input((7,))
    others = [keras.Model(x, x * 2) for x in (fixed, gray, features)]
    others.append(keras.Model([images, gray], images * gray))
    for model in (upsampling, classifier, *others):
        with pytest.raises(InputError, match="give a network from"):
            find_output_stride(model)
