import numpy as np
import pytest
from tiny_model import blocks

from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import plots
from deeplab_tf.evaluation.figures import atrous


def test_the_kernel_is_a_vertical_derivative():
    side = np.exp(-0.5 * (1 / 0.6) ** 2)
    lower = np.array([side, 1, side]) / (1 + 2 * side)
    expected = [-lower, np.zeros(3), lower]
    np.testing.assert_allclose(atrous.vertical_derivative(3), expected, rtol=1e-6)
    kernel = atrous.vertical_derivative(7)
    np.testing.assert_array_equal(kernel, -kernel[::-1])
    np.testing.assert_allclose(kernel[4:].sum(), 1, rtol=1e-6)
    brighter_below = np.repeat(np.float32([[0], [1]]), 4, axis=0).repeat(7, axis=1)
    assert atrous.convolve(brighter_below, kernel).min() > 0.4


def test_convolve_takes_every_rate_th_pixel():
    kernel = np.zeros((3, 3), np.float32)
    kernel[0, 0], kernel[2, 1] = -1, 1
    image = np.arange(42, dtype=np.float32).reshape(6, 7) ** 2
    expected = image[4:, 2:5] - image[:2, :3]
    np.testing.assert_allclose(atrous.convolve(image, kernel, 2), expected)
    assert atrous.convolve(image, kernel, 2, "same").shape == (6, 7)


@pytest.mark.parametrize(("rate", "size"), [(2, (8, 12)), (2, (7, 9)), (3, (8, 11))])
def test_both_ways_give_the_same(rate, size):
    image = np.random.default_rng(0).normal(size=size).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    parts = atrous.split_phases(image, rate)
    assert len(parts) == rate * rate
    np.testing.assert_array_equal(atrous.interlace(parts, size), image)
    results = {at: atrous.convolve(part, kernel, padding="same") for at, part in parts.items()}
    holes = atrous.convolve(image, kernel, rate, "same")
    np.testing.assert_allclose(atrous.interlace(results, size), holes, atol=1e-5)


@pytest.mark.parametrize("rate", [2, 3])
def test_the_few_responses_are_those_of_atrous_convolution(rate):
    with plots.style():
        figure = atrous.compare_resolutions(blocks(61, 72), rate)
        plots.encode(figure, "png", 50)
    pictures = [axes.images[0].get_array().filled(np.nan) for axes in figure.axes[:8]]
    small, full, few, every = (pictures[i] for i in (0, 4, 3, 7))
    np.testing.assert_array_equal(small, full[::rate, ::rate])
    known = ~np.isnan(few)
    share = known.mean() * rate**2
    assert 0.8 < share < 1.2  # 1 pixel of rate^2
    assert not np.isnan(every).any()
    np.testing.assert_allclose(few[known], every[known], atol=1e-5)
    # The enlarged responses are those of the small image at its own pixels, but not between them.
    enlarged, responses = pictures[2], pictures[6]
    np.testing.assert_allclose(enlarged[::rate, ::rate], responses[::rate, ::rate], atol=1e-5)
    assert np.abs(enlarged - responses).max() > 0.01


def test_the_figure_of_both_ways_shows_equal_results():
    with plots.style():
        figure = atrous.two_ways(blocks(40, 60), 2)
        plots.encode(figure, "png", 50)
    holes, phases = (figure.axes[i].images[0].get_array() for i in (3, 7))
    assert holes.shape == (8, 12) and np.abs(holes).max() > 0.01
    np.testing.assert_allclose(holes, phases, atol=1e-6)
    (text,) = figure.axes[2].texts
    assert text.get_text().startswith("Both results are equal:")


def test_small_images_are_refused():
    with pytest.raises(InputError, match=r"image of 30x80 pixels; give one of at least 37x37"):
        atrous.compare_resolutions(blocks(80, 30))
    atrous.compare_resolutions(blocks(37, 37))
    with pytest.raises(InputError, match=r"at least 12x12, or a smaller --rate"):
        atrous.two_ways(blocks(8, 30), 6)
