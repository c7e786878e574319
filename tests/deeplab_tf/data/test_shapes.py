import numpy as np
import pytest

from deeplab_tf.data.shapes import FORMS, draw_form

CENTER, RADIUS, SIZE = (50.0, 45.0), 30.0, (90, 100)


def _draw(form, seed=0, center=CENTER):
    return draw_form(np.random.default_rng(seed), form, center, RADIUS, SIZE)


@pytest.mark.parametrize("form", FORMS)
def test_form_covers_part_of_its_circle(form):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    outside = np.hypot(x - CENTER[0], y - CENTER[1]) > 1.15 * RADIUS + 1
    for seed in range(5):
        coverage = _draw(form, seed)
        assert coverage.shape == SIZE
        assert coverage.dtype == np.float32
        assert (coverage.min(), coverage.max()) == (0, 1)
        assert coverage[outside].max() == 0
        assert 0.15 < coverage.sum() / (np.pi * RADIUS**2) < 1.02


@pytest.mark.parametrize("form", FORMS)
def test_edges_are_smooth_and_about_one_pixel_wide(form):
    coverage = _draw(form)
    part = (coverage > 0) & (coverage < 1)
    inside = coverage >= 0.5
    border = (inside[:, 1:] != inside[:, :-1]).sum() + (inside[1:] != inside[:-1]).sum()
    assert 0.3 * border < part.sum() < 2 * border


def test_areas_of_disc_and_ring_by_hand():
    for seed in range(5):
        disc, ring = _draw("disc", seed), _draw("ring", seed)
        assert 0.8 <= disc.sum() / (np.pi * RADIUS**2) <= 1.03
        hole = np.pi * RADIUS**2 - ring.sum()
        assert 0.4 * RADIUS < np.sqrt(hole / np.pi) < 0.54 * RADIUS
        assert ring[45, 50] == 0
        assert disc[45, 50] == 1


def test_forms_differ_where_they_are_alike_in_size():
    drawn = [_draw(form, 1) >= 0.5 for form in FORMS]
    for index, first in enumerate(drawn):
        for second in drawn[:index]:
            assert np.logical_and(first, second).sum() / np.logical_or(first, second).sum() < 0.95


def test_the_picture_cuts_forms_off():
    coverage = _draw("disc", center=(0.0, 45.0))
    assert coverage[45, 0] == 1
    assert 0.35 < coverage.sum() / (np.pi * RADIUS**2) < 0.55
