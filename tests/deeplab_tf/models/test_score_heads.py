import keras
import numpy as np
import pytest
from tiny_model import random_model

import deeplab_tf
from deeplab_tf import InputError
from deeplab_tf.evaluation.inference import predict_labels, predict_probabilities
from deeplab_tf.models.multiscale import fuse_scales
from deeplab_tf.models.output_stride import with_output_stride
from deeplab_tf.models.resize import find_output_stride
from deeplab_tf.models.score_heads import (
    labels_of,
    one_head,
    probabilities_of,
    score_heads,
    slices_of,
    with_heads,
)
from deeplab_tf.models.with_crf import with_crf

SIZES = {"thing": 3, "surface": 2}


def image(size=(17, 25)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def test_each_head_is_treated_by_itself():
    scores = np.log(np.float32([[[1, 2, 1, 1, 3]]]))
    heads = slices_of(SIZES)
    found = probabilities_of(scores, heads).numpy()
    np.testing.assert_allclose(found, [[[0.25, 0.5, 0.25, 0.25, 0.75]]], atol=1e-6)
    assert labels_of(scores, heads).numpy().tolist() == [[[1, 1]]]
    assert labels_of(scores, {}).numpy().tolist() == [[4]]
    np.testing.assert_allclose(probabilities_of(scores, {}), [[[0.125, 0.25, 0.125, 0.125, 0.375]]])


def test_heads_change_no_score_and_are_found_after_loading(tmp_path):
    plain = random_model(5)
    model = with_heads(plain, SIZES)
    assert score_heads(plain) == {}
    assert score_heads(model) == {"thing": slice(0, 3), "surface": slice(3, 5)}
    np.testing.assert_array_equal(model(image()[None]), plain(image()[None]))
    model.save(tmp_path / "model.keras")
    loaded = deeplab_tf.load_model(tmp_path / "model.keras")
    assert score_heads(loaded) == score_heads(model)
    nested = keras.Model(plain.input, loaded(plain.input))
    assert score_heads(nested) == score_heads(model)


def test_one_head_is_an_ordinary_network_with_the_head_s_scores(tmp_path):
    plain = random_model(5)
    surface = one_head(with_heads(plain, SIZES), "surface")
    assert score_heads(surface) == {} and surface.output_shape[-1] == 2
    scores = plain(image()[None])
    np.testing.assert_array_equal(surface(image()[None]), scores[..., 3:])
    surface.save(tmp_path / "surface.keras")
    loaded = deeplab_tf.load_model(tmp_path / "surface.keras")
    np.testing.assert_array_equal(loaded(image()[None]), scores[..., 3:])


def test_segment_gives_the_labels_of_the_chosen_head():
    model = with_heads(random_model(5), SIZES)
    probabilities = predict_probabilities(model, image())
    both = predict_labels(model, image())
    for index, (name, part) in enumerate(score_heads(model).items()):
        right = probabilities[..., part].argmax(-1)
        np.testing.assert_array_equal(deeplab_tf.segment(model, image(), head=name), right)
        np.testing.assert_array_equal(both[..., index], right)
    found = deeplab_tf.segment(model, image(), head="surface", return_probabilities=True)
    np.testing.assert_array_equal(found, probabilities[..., 3:])
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_wrong_heads_are_one_line():
    model = with_heads(random_model(5), SIZES)
    with pytest.raises(InputError, match=r"have 6 classes, but .* scores 5; build it with num_cl"):
        with_heads(random_model(5), {"a": 3, "b": 3})
    with pytest.raises(InputError, match=r"no head is chosen; .* thing, surface: choose one"):
        deeplab_tf.segment(model, image())
    with pytest.raises(InputError, match=r"no head 'color'; .* thing, surface"):
        one_head(model, "color")
    with pytest.raises(InputError, match="has a single score head"):
        deeplab_tf.segment(random_model(5), image(), head="thing")
    with pytest.raises(InputError, match="the CRF refines one head"):
        with_crf(model)


def test_a_network_of_several_scales_keeps_its_heads_at_a_finer_stride():
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(5, 1, 16)(images))
    model = with_heads(fuse_scales(network, (1.0, 0.5), 16), SIZES)
    finer = with_output_stride(model, 8)
    assert find_output_stride(finer) == 8 and score_heads(finer) == score_heads(model)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"depth": 1}, "head depth of 1 classes; give at least 2"),
        ({"a": 4, "b": 1}, "head b of 1 classes; give at least 2"),
        ({"../a": 5}, "give a name of letters, digits and _"),
    ],
)
def test_heads_that_cannot_be_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        with_heads(random_model(sum(sizes.values())), sizes)
