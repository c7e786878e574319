import numpy as np
from matplotlib import colormaps

from deeplab_tf.evaluation.class_maps import SIDE, class_map_picture, color_bar, heat_map

GAP, TEXT = 6, 22  # of panels


def test_colors_are_those_of_viridis():
    shares = np.linspace(0, 1, 256, dtype=np.float32)
    expected = 255 * colormaps["viridis"](np.arange(256))[:, :3]
    found = heat_map(shares[None])[0]
    np.testing.assert_allclose(found, expected, atol=2)  # OpenCV and matplotlib round differently
    np.testing.assert_array_equal(heat_map(np.float32([[-0.01, 1.01]])), found[None, [0, 255]])


def test_maps_and_bar_are_where_they_should_be():
    before, after = np.random.default_rng(0).uniform(0, 1, (2, 100, 140)).astype(np.float32)
    picture = class_map_picture("sky", {"network": before, "after CRF": after})
    top = 2 * TEXT + GAP
    for plane, left in ((before, GAP), (after, 140 + 2 * GAP)):
        found = picture[top : top + 100, left : left + 140]
        np.testing.assert_array_equal(found, heat_map(plane))
    left = 2 * 140 + 3 * GAP
    bar = picture[top : top + 100, left : left + 14]
    np.testing.assert_array_equal(bar[[10, 89], 5], heat_map(np.float32([[1, 0]]))[0])
    for row in range(2):  # the line about the class, and the captions
        assert (picture[row * TEXT : (row + 1) * TEXT] < 100).any()


def test_the_bar_has_every_share_in_order():
    bar = color_bar(276)
    np.testing.assert_array_equal(bar[10:266, 0], heat_map(np.linspace(1, 0, 256)[None])[0])
    assert (bar[:10, 0] == 255).all() and (bar[266:, 0] == 255).all()


def test_large_maps_are_reduced_and_small_ones_have_a_whole_bar():
    large = class_map_picture("sky", {"network": np.full((500, 2000), 0.5, np.float32)})
    assert large.shape[1] < SIDE + 100 and large.shape[0] < 300
    assert (large[2 * TEXT + GAP + 50, GAP + 400] == heat_map(np.float32([[0.5]]))).all()
    assert class_map_picture("sky", {"network": np.zeros((3, 2), np.float32)}).shape[0] > 90
