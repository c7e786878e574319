import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.data.jitter import MIDDLE, color_change

# No change; each of the four is 0.5, the middle of its range.
STILL = [0.5, 0.5, 0.5, 0.5]
RED = np.array([200, 40, 40.0], np.float32)
GREY = np.array([80, 80, 80.0], np.float32)
LUMA = np.array([0.299, 0.587, 0.114])


def _changed(color, strength=0.5, **drawn):
    names = ("brightness", "contrast", "saturation", "hue")
    draws = [drawn.get(name, 0.5) for name in names]
    change = color_change(tf.constant(draws, tf.float32), strength).numpy()
    return change[:, :3] @ color + change[:, 3]


def test_in_the_middle_nothing_changes():
    np.testing.assert_allclose(_changed(RED), RED, atol=1e-4)


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation", "hue"])
def test_strength_0_changes_nothing(kind):
    np.testing.assert_allclose(_changed(RED, 0, **{kind: 0.9}), RED, atol=1e-4)


def test_brightness_multiplies():
    np.testing.assert_allclose(_changed(RED, brightness=1.0), 1.5 * RED, rtol=1e-5)
    np.testing.assert_allclose(_changed(RED, brightness=0.0), 0.5 * RED, rtol=1e-5)


def test_contrast_spreads_about_the_middle():
    np.testing.assert_allclose(
        _changed(RED, contrast=0.75), MIDDLE + 1.25 * (RED - MIDDLE), rtol=1e-5
    )


def test_saturation_spreads_about_the_grey():
    grey = LUMA @ RED
    np.testing.assert_allclose(_changed(RED, saturation=0.0), grey + 0.5 * (RED - grey), rtol=1e-4)
    np.testing.assert_allclose(_changed(RED, 1.0, saturation=0.0), grey, rtol=1e-4)


def test_hue_keeps_grey_and_brightness():
    turned = _changed(RED, 1.0, hue=0.9)
    assert np.abs(turned - RED).max() > 50
    np.testing.assert_allclose(LUMA @ turned, LUMA @ RED, rtol=1e-3)
    np.testing.assert_allclose(_changed(GREY, 1.0, hue=0.9), GREY, rtol=1e-3)


def test_opposite_turns_of_hue_cancel():
    there = _changed(RED, 1.0, hue=0.8)
    np.testing.assert_allclose(_changed(there, 1.0, hue=0.2), RED, atol=0.05)


def test_many_at_once_are_each_by_itself():
    draws = tf.random.stateless_uniform((2, 3, 4), [1, 2])
    together = color_change(draws, 0.7)
    assert together.shape == (2, 3, 3, 4)
    np.testing.assert_allclose(together[1, 2], color_change(draws[1, 2], 0.7), rtol=1e-6)
