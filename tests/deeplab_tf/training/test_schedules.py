import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.training.schedules import Poly, StepDecay, poly, step_decay


def test_poly_by_hand():
    rates = [float(poly(step, 2.0, 4, power=2.0)) for step in (0, 1, 2, 3, 4, 5)]
    np.testing.assert_allclose(rates, [2.0, 1.125, 0.5, 0.125, 0.0, 0.0], rtol=1e-6)


def test_poly_has_the_papers_power():
    assert float(poly(10_000, 1e-3, 20_000)) == pytest.approx(1e-3 * 0.5**0.9, rel=1e-6)


def test_step_decay_by_hand():
    rates = [float(step_decay(step, 8.0, 2, factor=0.5)) for step in range(6)]
    np.testing.assert_allclose(rates, [8, 8, 4, 4, 2, 2], rtol=1e-6)


def test_step_decay_drops_exactly_at_the_published_steps():
    steps = tf.constant([0, 1999, 2000, 3999, 4000])
    want = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    np.testing.assert_allclose(step_decay(steps, 1e-3, 2000), want, rtol=1e-5)


@pytest.mark.parametrize("schedule", [Poly(0.1, 50, 0.9), StepDecay(0.1, 20, 0.5)])
def test_classes_are_the_functions_in_graphs_and_survive_saving(schedule):
    function = poly if isinstance(schedule, Poly) else step_decay
    arguments = (0.1, 50, 0.9) if isinstance(schedule, Poly) else (0.1, 20, 0.5)
    saved = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(saved)
    for step in (0, 19, 20, 41):
        want = float(function(step, *arguments))
        assert float(tf.function(schedule)(tf.constant(step, tf.int64))) == pytest.approx(want)
        assert float(restored(step)) == pytest.approx(want)
