"""The network and the CRF as one model, against `segment`, and trained together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks, random_model

from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import segment
from deeplab_tf.labels import MEAN_RGB, VOID
from deeplab_tf.models import network_and_crf, with_crf
from deeplab_tf.models.backbones import ImagePreprocessing
from deeplab_tf.models.with_crf import ImageLevels
from deeplab_tf.training.cross_entropy import log_likelihood_sum
from deeplab_tf.training.losses import ProbabilityLoss

PARAMS = CRFParams(w1=5, sigma_alpha=12, sigma_beta=20, w2=2, sigma_gamma=2, iterations=2)
IMAGES = np.stack([blocks(25, 33, seed=1), blocks(25, 33, seed=2)])


def noisy_labels(seed=0):
    """A class for every pixel by its red level, with some void pixels."""
    labels = (IMAGES[..., 0] // 64).astype(np.uint8)
    labels[np.random.default_rng(seed).random(labels.shape) < 0.1] = VOID
    return labels


def test_image_levels_by_hand():
    images = [[-3.0, 0.4, 0.6, 7.0], [122.675, 254.8, 300.0, 7.0]]  # the last is no color
    levels = ImageLevels()(tf.constant(images))
    assert levels.dtype == "uint8"
    np.testing.assert_array_equal(levels, [[0, 0, 1], [123, 255, 255]])


def test_the_padding_has_the_color_of_the_network():
    images = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(1, strides=8)(ImagePreprocessing("tf")(images))
    model = with_crf(keras.Model(images, x), PARAMS)
    assert model.get_layer("pad_to_cells").color == [127.5] * 3
    assert with_crf(random_model(), PARAMS).get_layer("pad_to_cells").color == list(MEAN_RGB)


@pytest.mark.parametrize("size", [(33, 41), (30, 47), (1, 1), (8, 3)])
def test_gives_what_segment_gives_at_any_size(size):
    network, image = random_model(), blocks(*size, seed=3)
    params = CRFParams(w1=5, sigma_beta=20, iterations=2, compatibility=np.eye(4)[::-1])
    want = segment(network, image, params, return_probabilities=True)
    found = with_crf(network, params)(image[None].astype(np.float32))
    assert found.shape == (1, *size, 4) and found.dtype == tf.float32
    # Two engines of the CRF: single pixels may differ by more.
    assert np.abs(found[0] - want).mean() < 2e-5


def test_float_images_are_rounded_for_the_crf():
    model, images = with_crf(random_model(), PARAMS), tf.cast(IMAGES, tf.float32)
    nudged = tf.where(images % 2 == 0, images + 0.45, images - 0.45)
    network = network_and_crf(model)[0]
    same_scores = keras.Model(network.input, network.output * 0)  # only the image has an effect
    flat = with_crf(same_scores, PARAMS)
    np.testing.assert_array_equal(flat(nudged), flat(images))
    assert np.abs(model(nudged) - model(images)).max() > 0


def test_options_reach_the_layer():
    crf = network_and_crf(with_crf(random_model(), PARAMS, prune_below=0.1, max_memory=1e9))[1]
    assert crf.prune_below == 0.1 and crf.max_memory == 1e9


def test_untrainable_crf_has_no_variables():
    network = random_model()
    assert len(with_crf(network, PARAMS).variables) == len(network.variables)


def trainable_model():
    network = random_model()
    return network, with_crf(network, PARAMS, trainable=True)


def test_learned_parameters_start_from_the_params():
    network, model = trainable_model()
    fixed = with_crf(network, PARAMS)
    np.testing.assert_allclose(model(IMAGES), fixed(IMAGES), atol=1e-6)
    assert [v.path for v in model.trainable_variables[-3:]] == [
        "crf/w1",
        "crf/w2",
        "crf/compatibility",
    ]


def test_parts_are_the_same_objects():
    network, model = trainable_model()
    found, crf = network_and_crf(model)
    assert found is network
    assert crf is model.get_layer("crf")
    crf.w1.assign(2)
    assert crf.learned_params(7).w1 == 2 and crf.learned_params(7).iterations == 7


def test_saved_and_loaded(tmp_path):
    _, model = trainable_model()
    model.get_layer("crf").compatibility.assign(1 - 0.5 * np.eye(4)[::-1] - np.eye(4))
    model.get_layer("crf").w2.assign(0.7)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    learned = [network_and_crf(m)[1].learned_params() for m in (model, loaded)]
    assert learned[0] == learned[1] and learned[0].w2 == pytest.approx(0.7)


@pytest.mark.slow
def test_fit_trains_network_and_crf():
    _, model = trainable_model()
    before = [v.numpy() for v in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.05), loss=ProbabilityLoss())
    history = model.fit(IMAGES, noisy_labels(), epochs=8, batch_size=2, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.abs(old - new.numpy()).max() > 0.01, new.path


def test_gradient_of_the_crf_is_the_slope_of_the_loss():
    _, model = trainable_model()
    crf = model.get_layer("crf")

    def loss():
        total, count = log_likelihood_sum(noisy_labels(), model(IMAGES, training=True))
        return total / count

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [v.value for v in (crf.w1, crf.compatibility)])
    one_entry = np.zeros((4, 4))
    one_entry[0, 1] = 1
    for variable, direction, slope in (
        (crf.w1, 1.0, gradients[0]),
        (crf.compatibility, one_entry, gradients[1][0, 1]),
    ):
        start, losses = variable.numpy(), []
        for step in (0.02, -0.02):
            variable.assign(start + step * direction)
            losses.append(float(loss()))
        variable.assign(start)
        assert float(slope) == pytest.approx((losses[0] - losses[1]) / 0.04, rel=0.02)
        assert abs(float(slope)) > 1e-4


def test_a_frozen_network_leaves_the_crf_to_learn():
    network = random_model()
    network.trainable = False
    model = with_crf(network, PARAMS, trainable=True)
    paths = [variable.path for variable in model.trainable_variables]
    assert paths == ["crf/w1", "crf/w2", "crf/compatibility"]


@pytest.mark.bfloat16
def test_mixed_precision_is_float32_after_the_network():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network, model = trainable_model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.layers[-1].compute_dtype == "bfloat16"
    others = [layer for layer in model.layers[1:] if layer is not network]  # after the input
    assert {layer.compute_dtype for layer in others} == {"float32"}
    twin, kept = trainable_model()
    twin.set_weights(network.get_weights())
    found = model(IMAGES)
    assert found.dtype == tf.float32
    assert 0 < np.abs(found - kept(IMAGES)).mean() < 0.02


def test_other_output_strides():
    network, image = random_model(output_stride=4), blocks(22, 31, seed=3)
    want = segment(network, image, PARAMS, return_probabilities=True)
    found = with_crf(network, PARAMS)(image[None].astype(np.float32))
    assert np.abs(found[0] - want).mean() < 2e-5


def test_a_network_of_one_size_is_an_input_error():
    images = keras.Input((17, 17, 3))
    network = keras.Model(images, keras.layers.Conv2D(2, 1, strides=8)(images), name="small")
    with pytest.raises(InputError, match=r"'small' takes .* give a network"):
        with_crf(network, PARAMS)
