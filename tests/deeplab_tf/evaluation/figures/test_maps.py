"""Score and belief maps, trimaps, and the worst images, as arrays in the figures."""

import keras
import numpy as np

from deeplab_tf.data.examples import Example
from deeplab_tf.evaluation import plots
from deeplab_tf.evaluation.figures import beliefs, failures, trimaps
from deeplab_tf.evaluation.predict_dataset import Prediction
from deeplab_tf.labels import LabelSet

LABELS = LabelSet(("a", "b", "c"), ((200, 0, 0), (0, 150, 0), (0, 0, 250)))
COLORS = LABELS.color_table()


def drawn(figure):
    """The pictures of a figure with their titles, which must be drawable."""
    plots.encode(figure, "svg")
    return [(axes.get_title(), axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_the_softmax_of_the_scores_is_the_belief():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    scores = np.stack([beliefs.class_scores(probabilities, i) for i in range(4)], axis=-1)
    np.testing.assert_allclose(scores.mean(axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(keras.ops.softmax(scores), probabilities, rtol=1e-5)


def test_a_probability_of_zero_has_a_finite_score():
    assert np.isfinite(beliefs.class_scores(np.float32([[[0, 1]]]), 0)).all()


def test_the_maps_of_one_class_at_every_stage():
    image = np.zeros((4, 6, 3), np.uint8)
    draw = np.random.default_rng(0).dirichlet
    stages = {name: draw(np.ones(3), (4, 6)).astype(np.float32) for name in ("network", "after 1")}
    with plots.style():
        figure = beliefs.draw_beliefs(image, stages, 1, "b")
        pictures = drawn(figure)
    assert [title for title, _ in pictures[:2]] == ["network", "after 1"]
    for column, probabilities in enumerate(stages.values()):
        score, belief = pictures[column][1], pictures[2 + column][1]
        np.testing.assert_allclose(score, beliefs.class_scores(probabilities, 1))
        np.testing.assert_array_equal(belief, probabilities[..., 1])
    assert pictures[4][0] == "image"
    limits = {axes.images[0].get_clim() for axes in figure.axes[:2]}
    assert len(limits) == 1  # the colors mean the same in every column


def test_a_trimap_shows_the_pixels_near_borders():
    label = np.uint8([[0, 0, 0, 0, 1, 1, 255]] * 5)
    image = np.zeros((5, 7, 3), np.uint8)
    with plots.style():
        figure = trimaps.draw_trimaps(image, label, LABELS, [1, 2])
        pictures = drawn(figure)
    titles = ["image", "labels", "width 1 pixel: 50 % scored", "width 2 pixels: 67 % scored"]
    assert [title for title, _ in pictures] == titles
    blank, a, b, void = (245, 245, 245), COLORS[0], COLORS[1], COLORS[255]
    np.testing.assert_array_equal(pictures[1][1][0], [a, a, a, a, b, b, void])
    np.testing.assert_array_equal(pictures[2][1][0], [blank, blank, blank, a, b, b, void])
    np.testing.assert_array_equal(pictures[3][1][0], [blank, blank, a, a, b, b, void])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["a", "b", "void", "not scored"]


def test_a_trimap_of_the_void_border_and_without_an_image():
    label = np.uint8([[0, 0, 1, 1, 255]])
    with plots.style():
        pictures = drawn(trimaps.draw_trimaps(None, label, LABELS, [2], "void"))
    assert [title for title, _ in pictures] == ["labels", "width 2 pixels: 50 % scored"]
    blank = (245, 245, 245)
    expected = [blank, blank, COLORS[1], COLORS[1], COLORS[255]]
    np.testing.assert_array_equal(pictures[1][1][0], expected)


def test_a_row_of_failures():
    image = np.full((2, 3, 3), 7, np.uint8)
    truth, before, after = (np.full((2, 3), value, np.uint8) for value in (255, 1, 2))
    truth[0] = 2
    sample = Prediction(Example("n", "i", "l"), image, truth, (before, after))
    with plots.style():
        figure = failures.draw_failures([(sample, [0.0, 1.0])], LABELS)
        pictures = drawn(figure)
    titles = ["image", "truth", "before CRF: mean IoU 0.00", "after CRF: mean IoU 1.00"]
    assert [title for title, _ in pictures] == titles
    for (_, picture), label in zip(pictures[1:], (truth, before, after), strict=True):
        np.testing.assert_array_equal(picture, COLORS[label])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["b", "c", "void: not scored"]
    with plots.style():
        alone = sample._replace(labels=(before,))
        titles = [title for title, _ in drawn(failures.draw_failures([(alone, [0.5])], LABELS))]
    assert titles == ["image", "truth", "network: mean IoU 0.50"]
