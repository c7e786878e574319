import numpy as np
import pytest

from deeplab_tf.data.prepare.colors import classes_of_colors
from deeplab_tf.errors import InputError
from deeplab_tf.labels import VOID

SKY, ROAD = (128, 128, 128), (128, 64, 128)
COLORS = ((SKY, 0), (ROAD, 1), ((128, 0, 192), 1), ((0, 0, 0), VOID))


def test_colors_become_classes():
    picture = np.uint8([[SKY, ROAD], [(128, 0, 192), (0, 0, 0)]])
    found = classes_of_colors(picture, COLORS, "x", "CamVid")
    np.testing.assert_array_equal(found, [[0, 1], [1, VOID]])
    assert found.dtype == np.uint8


def test_a_few_strange_pixels_are_void_and_more_are_an_error():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:] = SKY
    picture[3, 4] = 26, 26, 26
    label = classes_of_colors(picture, COLORS, "x", "CamVid")
    assert label[3, 4] == VOID and (label == 0).sum() == label.size - 1
    picture[3, :2] = 26, 26, 26
    with pytest.raises(InputError, match=r"x: 0\.2% .* \[26, 26, 26\], .* that CamVid does"):
        classes_of_colors(picture, COLORS, "x", "CamVid")
