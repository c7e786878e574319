import numpy as np
import pytest
import tensorflow as tf
from tiny_model import blocks

from deeplab_tf.data.shrink import shrink
from deeplab_tf.evaluation.inference import most_probable
from deeplab_tf.evaluation.photographs import enlarge
from deeplab_tf.export.served_size import (
    enlarge_probabilities,
    most_probable_at,
    shrink_images,
)


def test_two_pixels_become_their_mean():
    images = tf.constant([10, 20, 30, 41, 0, 1], tf.float32, (1, 1, 6, 1))
    assert shrink_images(images, 3).numpy().ravel().tolist() == [15, 36, 0]  # 0.5 rounds to even
    assert shrink_images(images, 6) is images or (shrink_images(images, 6) == images).numpy().all()
    assert shrink_images(images, None) is images


@pytest.mark.parametrize(("size", "max_side"), [((61, 90), 40), ((90, 61), 89), ((7, 300), 25)])
def test_images_shrink_as_by_predict(size, max_side):
    image = blocks(*size)
    found = shrink_images(image[None].astype(np.float32), max_side)[0].numpy()
    expected = shrink(image, max_side)
    assert found.shape == expected.shape and (found == np.round(found)).all()
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.98


def test_results_grow_as_by_segment():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), (9, 13)).astype(np.float32)
    images = np.zeros((1, 31, 45, 3), np.float32)
    found = enlarge_probabilities(probabilities[None], images, 13)[0]
    np.testing.assert_allclose(found, enlarge(probabilities, (31, 45)), atol=1e-5)
    labels = most_probable_at(tf.constant(probabilities[None]), images, 13)[0].numpy()
    assert labels.dtype == np.uint8
    assert (labels == most_probable(probabilities, (31, 45))).mean() > 0.999
    np.testing.assert_array_equal(
        most_probable_at(probabilities[None], images, None)[0], probabilities.argmax(-1)
    )
