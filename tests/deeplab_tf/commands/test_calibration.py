"""The images that export --int8 calibrates with."""

import cv2
import numpy as np
import pytest
from tiny_model import blocks

from deeplab_tf.commands.calibration import load_calibration
from deeplab_tf.data.examples import Example


@pytest.fixture
def examples(tmp_path):
    """Images of 40x30 and 8x20 pixels."""
    found = []
    for name, size in (("large", (30, 40)), ("small", (20, 8))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), blocks(*size)[..., ::-1])
        found.append(Example(name, str(tmp_path / f"{name}.png"), ""))
    return found


def test_larger_images_are_reduced(examples):
    large, small = load_calibration(examples, 3, 20)
    assert (large.shape, large.dtype) == ((15, 20, 3), np.uint8)
    np.testing.assert_array_equal(small, blocks(20, 8))


def test_all_get_the_only_size_that_the_export_takes(examples):
    images = load_calibration(examples, 3, 20, image_size=(12, 16))
    assert [image.shape for image in images] == [(12, 16, 3)] * 2
    assert all(image.dtype == np.uint8 for image in images)
    # The mean of an image stays, as its parts have the same share of the new size.
    for image, size in zip(images, ((30, 40), (20, 8)), strict=True):
        np.testing.assert_allclose(image.mean(), blocks(*size).mean(), atol=6)
