"""What dense_crf says about images of other ranges, types and numbers of channels."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from crf import ENGINES, CRFParams, DenseCRF, dense_crf

PARAMS = CRFParams(sigma_alpha=20, sigma_beta=10, sigma_gamma=2, iterations=1)
PHOTO = np.random.default_rng(0).integers(0, 256, (1, 6, 7, 3)).astype(np.uint8)
PHOTO[0, 0, 0], PHOTO[0, 0, 1] = 0, 255  # the whole range
EVEN = np.full((1, 6, 7, 2), 0.5, np.float32)
UNKNOWN_SIZE = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 3], tf.uint8)]
MEAN, DEVIATION = np.float32([123.7, 116.8, 103.9]), np.float32([58.4, 57.1, 57.4])


def message_of(images, run=dense_crf, probabilities=EVEN):
    with pytest.raises(ValueError, match=r"dense_crf: images must ") as error:
        run(probabilities, images, PARAMS)
    return str(error.value)


@pytest.mark.parametrize(
    ("images", "found", "remedy", "undo"),
    [
        (PHOTO / np.float32(255), "from 0 to 1;", "multiply by 255", lambda x: x * 255),
        (PHOTO / 127.5 - 1, "from -1 to 1;", "add 1, multiply by 127.5", lambda x: (x + 1) * 127.5),
        ((PHOTO - MEAN) / DEVIATION, "-2.11", "normalized", lambda x: x * DEVIATION + MEAN),
        (PHOTO - MEAN, "-123.7 to 151.1;", "add the mean", lambda x: x + MEAN),
        (PHOTO.astype(np.uint16) * 16, "4080;", "12 bits, so divide by 16", lambda x: x // 16),
        (PHOTO * np.float32(16), "4080;", "12 bits, so divide by 16", lambda x: x / 16),
        (PHOTO.astype(np.uint16) * 257, "65535;", "16 bits, so divide by 257", lambda x: x // 257),
        (PHOTO.astype(np.float32), "0 to 255;", "them with tf.saturate_cast(images", lambda x: x),
        (PHOTO.astype(np.int32), "0 to 255;", "them with tf.saturate_cast(images", lambda x: x),
    ],
)
def test_the_advice_depends_on_the_values_and_is_right(images, found, remedy, undo):
    message = message_of(images)
    assert found in message and remedy in message and "\n" not in message
    # What the message says gives the image again, but for the truncation of the last level.
    again = tf.saturate_cast(undo(tf.constant(images)), tf.uint8).numpy().astype(int)
    assert np.abs(again - PHOTO).max() <= 1


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        # Cubic interpolation reaches a little beyond the range.
        (np.linspace(-0.06, 1.07, 126), "scaled to 0 to 1"),
        (np.linspace(-1.1, 1.1, 126), "scaled to -1 to 1"),
        (np.linspace(-12, 270, 126), "tf.saturate_cast(images, tf.uint8)"),
        (np.linspace(0, 270, 126).astype(np.uint16), "12 bits, so divide by 16"),
        (np.linspace(0, 70000, 126), "scale them to 0 to 255"),
        (np.arange(126) % 2 == 0, "multiply by 255"),
        (np.zeros(126), "tf.saturate_cast(images, tf.uint8)"),
        (np.full(126, np.nan), "NaN or infinite"),
        (np.arange(126) % 2 - 1, "scaled to -1 to 1"),
        (tf.cast(np.linspace(0, 1, 126), tf.bfloat16), "multiply by 255"),
    ],
)
def test_unusual_ranges_and_types(images, remedy):
    assert remedy in message_of(tf.reshape(images, [1, 6, 7, 3]))


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (tf.float32, "undo any scaling (0 to 1: multiply by 255) or normalization"),
        (tf.float32, 'a keras.Input needs dtype="uint8"'),
        (tf.uint16, "12 bits: divide by 16, 16 bits: divide by 257"),
    ],
)
def test_a_graph_names_the_usual_cases_when_it_is_traced(dtype, remedy):
    run = tf.function(lambda p, i, _: dense_crf(p, i, PARAMS))
    assert remedy in message_of(tf.cast(PHOTO, dtype), run)


def test_a_keras_model_of_float_images_says_what_its_input_needs():
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 3))]
    model = keras.Model(inputs, DenseCRF(PARAMS)(inputs))
    with pytest.raises(ValueError, match=r'a keras\.Input needs dtype="uint8"'):
        model.predict([EVEN, PHOTO], verbose=0)  # Keras makes the photograph floating


def mostly(value, other):
    images = np.full((1, 6, 7, 3), value, np.uint8)
    images[0, 2, 3, 1] = other
    return images


@pytest.mark.parametrize("engine", ENGINES)
def test_only_0_and_1_are_warned_of(engine):
    with pytest.warns(UserWarning, match="hold only the values 0 and 1.*multiply by 255 first"):
        warned = dense_crf(EVEN, mostly(0, 1), PARAMS, engine)
    np.testing.assert_allclose(warned, EVEN, atol=1e-6)


@functools.cache
def graph(engine):
    """The CRF on images of any size, traced once."""
    return tf.function(lambda p, i: dense_crf(p, i, PARAMS, engine), input_signature=UNKNOWN_SIZE)


@pytest.mark.parametrize("images", [mostly(0, 0), mostly(1, 1), mostly(0, 2), mostly(1, 2)])
def test_black_and_other_dark_images_are_not(images, capfd):
    dense_crf(EVEN, images, PARAMS)  # a warning would be an error
    graph("lattice")(EVEN, images)
    assert "0 and 1" not in capfd.readouterr().err


@pytest.mark.parametrize("engine", ["numba", "lattice"])
def test_a_graph_prints_the_warning_when_it_runs(engine, capfd):
    np.testing.assert_allclose(graph(engine)(EVEN, mostly(0, 1)), EVEN, atol=1e-6)
    assert "hold only the values 0 and 1" in capfd.readouterr().err


def test_the_exact_engine_still_compiles_with_xla():
    run = tf.function(lambda p, i: dense_crf(p, i, PARAMS, "exact"), jit_compile=True)
    np.testing.assert_allclose(run(EVEN, mostly(0, 1)), EVEN, atol=1e-6)


def test_the_keras_layer_warns_too(capfd):
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 3), dtype="uint8")]
    model = keras.Model(inputs, DenseCRF(PARAMS)(inputs))
    model.predict([EVEN, mostly(0, 1)], verbose=0)
    assert "hold only the values 0 and 1" in capfd.readouterr().err


def test_gray_and_transparent_images_are_told_what_to_do():
    gray = message_of(PHOTO[..., :1])
    assert "3 channels" in gray and "tf.repeat(images, 3, axis=-1)" in gray and "1.73" in gray
    assert "images[..., :3]" in message_of(np.repeat(PHOTO, 2, axis=-1)[..., :4])
    assert message_of(np.repeat(PHOTO, 2, axis=-1)[..., :5]).endswith("(1, 6, 7, 5)")


def test_a_sigma_in_gray_levels_times_the_root_of_three():
    # Two pixels next to each other, 6 gray levels apart; the kernel by hand, without normalization.
    probabilities, gray = np.float32([[[[0.8, 0.2], [0.3, 0.7]]]]), np.uint8([[[[50], [56]]]])
    sigma, images = 4.0, tf.repeat(gray, 3, axis=-1)
    params = CRFParams(
        w1=2, sigma_alpha=5, sigma_beta=3**0.5 * sigma, w2=0, iterations=1, normalization="none"
    )
    kernel = np.exp(-1 / (2 * 5**2) - 6**2 / (2 * sigma**2))
    first, second = probabilities[0, 0]
    scores = np.log(first) + 2 * (first + kernel * second)
    wanted = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(
        dense_crf(probabilities, images, params, "exact")[0, 0, 0], wanted, atol=1e-6
    )
