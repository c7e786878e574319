import cv2
import numpy as np
import pytest

from deeplab_tf.errors import InputError
from deeplab_tf.labels import LabelSet
from deeplab_tf.visualize import (
    captioned,
    colorize,
    colorize_probabilities,
    encode_picture,
    overlay,
    overlay_colors,
    overlay_with_legend,
    panel,
)

RED, GREEN = (200, 0, 0), (0, 100, 0)
LABELS = LabelSet(("red", "green"), (RED, GREEN))


def flat(height, width, color):
    return np.full((height, width, 3), color, np.uint8)


def has_color(picture, color):
    return (picture == color).all(axis=-1).any()


def test_each_label_gets_its_color():
    colors = colorize(np.uint8([[0, 1], [255, 0]]), LABELS.color_table())
    assert colors.dtype == np.uint8
    assert colors.tolist() == [[[*RED], [*GREEN]], [[224, 224, 192], [*RED]]]


def test_overlay_by_hand():
    image = np.uint8([[[100, 50, 10], [100, 50, 10], [100, 50, 10]]])
    tinted = overlay(image, np.uint8([[0, 1, 255]]), LABELS.color_table(), alpha=0.6)
    assert tinted.tolist() == [[[160, 20, 4], [40, 80, 4], [100, 50, 10]]]


@pytest.mark.parametrize("alpha", [0, 1])
def test_overlay_at_its_ends(alpha):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    label = rng.integers(0, 2, (5, 7)).astype(np.uint8)
    expected = colorize(label, LABELS.color_table()) if alpha else image
    np.testing.assert_array_equal(overlay(image, label, LABELS.color_table(), alpha), expected)


def test_black_is_left_to_the_background():
    voc = LabelSet.in_voc_colors(("background", "cat"))
    np.testing.assert_array_equal(overlay_colors(voc), voc.color_table())
    street = LabelSet.in_voc_colors(("sky", "road", "car"))
    colors, table = overlay_colors(street), street.color_table()
    np.testing.assert_array_equal(colors[1:], table[1:])
    # Red, green and the void's pale yellow are far from it.
    assert np.abs(colors[0].astype(int) - table[[0, 1, 2, 255]]).max(axis=1).min() > 80
    own = LabelSet(("sky", "sea", "night"), ((0, 90, 250), (0, 0, 0), (0, 0, 0)))
    colors = overlay_colors(own)
    assert colors[0].tolist() == [0, 90, 250]
    assert len({(0, 0, 0), *map(tuple, colors[:3].tolist())}) == 4


def test_a_legend_names_the_classes_of_the_picture():
    image, labels = flat(40, 400, 90), LabelSet(("red", "green", "blue"), (RED, GREEN, (0, 0, 90)))
    label = np.zeros((40, 400), np.uint8)
    label[:, 200:], label[:, 390:] = 2, 255
    picture = overlay_with_legend(image, label, labels, alpha=0.5)
    assert picture.shape == (40 + 22 + 6, 400, 3)
    expected = overlay(image, label, labels.color_table(), alpha=0.5)
    np.testing.assert_array_equal(picture[:40], expected)
    legend = picture[40:]
    assert has_color(legend, RED) and has_color(legend, (0, 0, 90)) and has_color(legend, 0)
    assert not has_color(legend, GREEN) and not has_color(legend, labels.void_color)


def test_a_legend_shows_black_classes_in_the_color_of_the_overlay():
    labels = LabelSet.in_voc_colors(("sky", "road"))
    picture = overlay_with_legend(flat(10, 400, 0), np.zeros((10, 400), np.uint8), labels, alpha=1)
    assert (picture[0, 0] > 0).any() and has_color(picture[10:], picture[0, 0])


@pytest.mark.parametrize(
    ("height", "width", "band", "shape"),
    [(30, 50, 28, (58, 320)), (1600, 1200, 56, (1656, 1200)), (40, 4000, 140, (180, 4000))],
)
def test_a_legend_can_be_read_below_small_and_large_pictures(height, width, band, shape):
    label = np.zeros((height, width), np.uint8)
    picture = overlay_with_legend(flat(height, width, 7), label, LABELS, alpha=1)
    assert picture.shape == (*shape, 3)
    assert (picture[:height, :width] == RED).all()
    assert (picture[:height, width:] == 255).all()
    text = (picture[height:] == 0).all(axis=-1).any(axis=1).sum()
    assert band / 3 < text < band


def test_a_legend_widens_for_a_long_name_and_may_be_empty():
    labels = LabelSet(("a very " * 20 + "long name", "b"), (RED, GREEN))
    picture = overlay_with_legend(flat(9, 9, 7), np.zeros((9, 9), np.uint8), labels)
    assert picture.shape[1] > 900
    void = overlay_with_legend(flat(9, 9, 7), np.full((9, 9), 255, np.uint8), labels)
    assert (void[:9, :9] == 7).all() and (void[9:] == 255).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="give uint8"):
        colorize(np.zeros((2, 2), np.int32), LABELS.color_table())
    with pytest.raises(InputError, match="give uint8"):
        colorize(np.zeros((2, 2, 1), np.uint8), LABELS.color_table())
    with pytest.raises(InputError, match="give \\(H, W, 3\\)"):
        overlay(flat(2, 3, 0), np.zeros((3, 2), np.uint8), LABELS.color_table())


def test_probabilities_fade_to_white():
    probabilities = np.float32([[[1, 0], [0.4, 0.6]]])
    colors = colorize_probabilities(probabilities, LABELS.color_table())
    assert colors.dtype == np.uint8
    assert colors.tolist() == [[[*RED], [102, 162, 102]]]


def test_probabilities_of_a_wrong_shape_or_type_are_refused():
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 2, 2), np.uint8)):
        with pytest.raises(InputError, match="give floats \\(H, W, C\\)"):
            colorize_probabilities(wrong, LABELS.color_table())


def test_a_caption_stands_above_its_picture():
    titled = captioned(flat(10, 80, 7), "image")
    assert titled.shape == (22 + 10, 80, 3)
    assert (titled[22:] == 7).all()
    assert (titled[:22] < 128).any()  # OpenCV 4 draws no wholly black pixel


def test_a_long_caption_widens_its_picture():
    titled = captioned(flat(10, 20, 7), "sigma_alpha = 67")
    text = captioned(flat(10, 400, 7), "sigma_alpha = 67")[:22]
    width = titled.shape[1]
    assert 20 < width < 400
    np.testing.assert_array_equal(titled[:22], text[:, :width])
    assert (text[:, width:] == 255).all()
    assert (titled[22:, :20] == 7).all() and (titled[22:, 20:] == 255).all()


def test_panel_places_pictures_of_all_sizes():
    picture = panel([[flat(10, 20, 1), flat(8, 30, 2)], [flat(4, 5, 3), flat(6, 7, 4)]])
    assert picture.shape == (6 + 10 + 6 + 6 + 6, 6 + 20 + 6 + 30 + 6, 3)
    for color, top, left, height, width in [
        (1, 6, 6, 10, 20),
        (2, 6, 32, 8, 30),
        (3, 22, 6, 4, 5),
        (4, 22, 32, 6, 7),
    ]:
        place = picture == color
        assert place[top : top + height, left : left + width].all()
        assert place.sum() == 3 * height * width


def test_captions_stand_above():
    row = [flat(10, 80, 0), flat(10, 80, 0)]
    plain, titled = panel([row]), panel([row], captions=["image", "truth"])
    above = titled.shape[0] - plain.shape[0]
    np.testing.assert_array_equal(titled[above:], plain)
    for left in (6, 92):
        assert titled[:above, left : left + 80].min() < 100
    with pytest.raises(ValueError):
        panel([row], captions=["image"])


def test_legend_shows_every_color_in_any_width():
    for width in (5, 60, 400):
        picture = panel([[flat(10, width, 7)]], legend=LABELS)
        if width > 5:
            assert has_color(picture, RED) and has_color(picture, GREEN)
        assert picture.shape[1] == width + 12


def test_a_panel_needs_rows_of_equal_length():
    for rows in ([], [[]], [[flat(2, 2, 0)], [flat(2, 2, 0), flat(2, 2, 0)]]):
        with pytest.raises(InputError, match="rows with the same number"):
            panel(rows)


def test_encoded_picture_reads_back_in_rgb():
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_picture(picture), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], picture)
