import cv2
import keras
import numpy as np
import pytest
from tiny_depth import write_tiny_depth
from tiny_model import blocks, random_model

from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.depth import decode_depth
from deeplab_tf.data.depth_targets import depth_targets, load_depth_pair
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation.depth import predict_depth, predict_depths
from deeplab_tf.evaluation.depth_pictures import (
    UNKNOWN_COLOR,
    depth_colors,
    depth_panel,
    depth_picture,
    depth_png,
)
from deeplab_tf.evaluation.inference import predict_batch, predict_labels, predict_probabilities


@pytest.fixture(scope="module")
def red():
    """A network whose log depth is the red level of the cell's center, divided by 100."""
    images = keras.Input((None, None, 3))
    x = keras.layers.AveragePooling2D(1, strides=8)(images)
    kernel = np.float32([0.01, 0, 0]).reshape(1, 1, 3, 1)
    layer = keras.layers.Conv2D(1, 1)
    model = keras.Model(images, layer(x))
    layer.set_weights([kernel, np.zeros(1, np.float32)])
    return model


def test_the_depth_is_interpolated_between_the_cells(red):
    image = np.zeros((17, 25, 3), np.uint8)
    image[:, 8:16, 0] = 200
    depth = predict_depth(red, image)
    assert depth.shape == (17, 25) and depth.dtype == np.float32
    assert depth[3, 0] == pytest.approx(1) and depth[3, 8] == pytest.approx(np.exp(2), rel=1e-5)
    assert depth[3, 4] == pytest.approx(np.exp(1), rel=1e-5)  # of the logarithm


def test_mirroring_averages_the_logarithm():
    model, image = random_model(1), blocks(33, 41)
    plain, flipped = predict_depth(model, image), predict_depth(model, image[:, ::-1])[:, ::-1]
    both = predict_depth(model, image, flip=True)
    np.testing.assert_allclose(np.log(both), np.log(plain * flipped) / 2, atol=1e-4)


def test_tiles_and_padding_take_large_and_small_images(red):
    image = np.full((41, 65, 3), 100, np.uint8)
    assert predict_depth(red, image, tile=24) == pytest.approx(np.e, rel=1e-4)
    assert predict_depth(red, image, pad_to=81)[:30, :50] == pytest.approx(np.e, rel=1e-4)


def test_a_reduced_image_shows_things_farther_away(red):
    image = np.full((36, 68, 3), 100, np.uint8)
    depth = predict_depth(red, image, max_side=17)
    assert depth.shape == (36, 68)
    assert depth == pytest.approx(np.e / 4, rel=1e-4)
    np.testing.assert_array_equal(predict_depth(red, image, max_side=68), predict_depth(red, image))


def test_no_depth_is_0_or_infinite():
    images = keras.Input((None, None, 3))
    scores = keras.layers.Conv2D(1, 1, strides=8, kernel_initializer="ones")(images)
    for factor in (1e4, -1e4):
        model = keras.Model(images, keras.layers.Rescaling(factor)(scores))
        depth = predict_depth(model, np.full((17, 17, 3), 99, np.uint8))
        assert (depth > 0).all() and np.isfinite(depth).all()


def test_a_data_set_is_predicted_in_order(red, tmp_path):
    folder = write_tiny_depth(tmp_path / "data")
    examples = depth_targets(open_dataset("voc", folder, "train")[0], "voc", folder)
    found = list(predict_depths(red, examples))
    for example, prediction in zip(examples, found, strict=True):
        image, truth = load_depth_pair(example)
        assert prediction.example == example
        np.testing.assert_array_equal(prediction.truth, truth)
        np.testing.assert_allclose(prediction.depth, predict_depth(red, image), rtol=1e-6)


def test_networks_for_classes_and_for_depth_are_not_mistaken(red):
    image = blocks(17, 17)
    with pytest.raises(InputError, match="predicts classes; give one trained with --objective=dep"):
        predict_depth(random_model(2), image)
    for predict in (predict_probabilities, predict_labels):
        with pytest.raises(InputError, match=r"predicts depth, not classes; .*predict_depth"):
            predict(red, image)
    with pytest.raises(InputError, match="predicts depth, not classes"):
        predict_batch(red, image[None])


def test_pictures_are_dark_where_it_is_near_and_white_where_nothing_is_known():
    colors = depth_colors(np.float32([[1, 2, 4, 0, 9]]), 1, 4)
    assert tuple(colors[0, 3]) == UNKNOWN_COLOR
    sums = colors[0, [0, 1, 2]].astype(int).sum(axis=1)
    assert sums[0] < sums[1] < sums[2]
    np.testing.assert_array_equal(colors[0, 4], colors[0, 2])  # beyond the farthest
    assert depth_picture(np.full((30, 40), 2.0)).shape[1] >= 40
    image, truth = np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40))
    assert depth_panel([(image, truth, truth + 1)]).shape[1] > 3 * 40
    assert depth_panel([(image, truth + 1)]).shape[1] > 2 * 40


def test_files_hold_millimeters_and_never_unknown():
    contents = depth_png(np.float32([[0.0001, 1.2344, 99]]))
    levels = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint16 and levels.tolist() == [[1, 1234, 65535]]
    np.testing.assert_allclose(decode_depth(contents), [[0.001, 1.234, 65.535]], rtol=1e-6)
