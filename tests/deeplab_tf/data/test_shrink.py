"""Reducing images and their labels, by hand."""

import numpy as np
import pytest

from deeplab_tf import InputError
from deeplab_tf.data.shrink import limited_size, shrink, shrink_label


@pytest.mark.parametrize(
    ("size", "limited"),
    [((3000, 4000), (1125, 1500)), ((1500, 20), (1500, 20)), ((1, 4000), (1, 1500))],
)
def test_the_longer_side_is_limited(size, limited):
    assert limited_size(*size, 1500) == limited


def test_shrinking_averages():
    image = np.uint8([[0, 2, 10, 10], [4, 6, 10, 50]])[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(shrink(image, 2)[..., 0], [[3, 20]])


def test_small_images_stay_as_they_are():
    image = np.zeros((3, 5, 3), np.uint8)
    assert shrink(image, 5) is image and shrink(image, None) is image


def test_a_reduced_label_has_the_classes_at_the_centers():
    label = np.uint8([[0] * 6 + [7] * 3, [0] * 6 + [7] * 3, [255] * 9])
    np.testing.assert_array_equal(shrink_label(label, 3), [[0, 0, 7]])
    for limit in (9, None):
        assert shrink_label(label, limit) is label
    # No new class appears between two others, and the size is that of the image.
    stripes = np.tile(np.uint8([0, 0, 0, 9, 9, 9, 4, 4, 4, 4]), (7, 1))
    small = shrink_label(stripes, 6)
    assert set(np.unique(small)) == {0, 4, 9}
    assert small.shape == shrink(stripes[..., None].repeat(3, 2), 6).shape[:2]


def test_a_limit_below_one_pixel():
    with pytest.raises(InputError, match="max_side 0; give a size in pixels, or None"):
        shrink(np.zeros((3, 5, 3), np.uint8), 0)
