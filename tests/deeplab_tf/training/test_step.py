import contextlib
import gc
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_step import batch, change, flat, frozen_bn_network, network, sgd, uneven_batch

from deeplab_tf.errors import InputError
from deeplab_tf.training.checkpoints import Checkpoints
from deeplab_tf.training.guards import Guards
from deeplab_tf.training.loss_scale import LossScale
from deeplab_tf.training.losses import ScoreMapObjective
from deeplab_tf.training.optimizer import LayerwiseAdam, LayerwiseSGD
from deeplab_tf.training.step import TrainStep

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_gradients_are_clipped_by_the_norm_of_all_of_them():
    free = change()[0]
    norm = np.linalg.norm(free) / 0.5
    clipped = change(clip_norm=norm / 4)[0]
    np.testing.assert_allclose(clipped, free / 4, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(change(clip_norm=4 * norm)[0], free, rtol=1e-6)
    # Of the whole batch: its parts are longer than their mean.
    parts = change(clip_norm=norm / 4, accumulate=4)[0]
    np.testing.assert_allclose(parts, free / 4, rtol=1e-4, atol=1e-6)


def test_class_weights_do_not_depend_on_how_a_batch_is_split():
    objective = ScoreMapObjective(8, (0.25, 3.0))
    whole, (loss, *_) = change(objective=objective, data=uneven_batch())
    parts, (loss_of_parts, *_) = change(objective=objective, data=uneven_batch(), accumulate=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)
    assert float(loss_of_parts) == pytest.approx(float(loss), rel=1e-5)
    plain = change(data=uneven_batch())[0]
    assert np.linalg.norm(whole - plain) > 0.1 * np.linalg.norm(plain)


def test_float16_comes_close_to_float32():
    scale = LossScale(growth_steps=2)
    half = change(steps=3, dtype="mixed_float16", loss_scale=scale, clip_norm=0.5)[0]
    whole = change(steps=3, clip_norm=0.5)[0]
    assert np.linalg.norm(half - whole) < 0.01 * np.linalg.norm(whole)
    assert not np.array_equal(half, whole)
    assert [int(v) for v in scale.variables] == [2**16, 1]  # doubled after two, one more since


@pytest.mark.parametrize("optimizer", [LayerwiseSGD, LayerwiseAdam])
def test_an_overflow_leaves_the_step_out_and_halves_the_scale(optimizer):
    optimizer, scale = optimizer(0.1), LossScale(initial=2.0**60)
    changed, (loss, _, finite, weights_finite) = change(
        dtype="mixed_float16", optimizer=optimizer, loss_scale=scale
    )
    assert np.isfinite(loss) and not finite and weights_finite
    assert not changed.any() and int(optimizer.iterations) == 0
    assert [float(v) for v in scale.variables] == [2.0**59, 0]


def test_the_scale_is_part_of_a_checkpoint(tmp_path):
    model, optimizer, scale = network(), sgd(), LossScale()
    optimizer.build(model.trainable_variables)
    scale.update(tf.constant(False))
    checkpoints = Checkpoints(tmp_path, model, optimizer, loss_scale=scale.variables)
    checkpoints.state.step = 1
    checkpoints.save()
    other = LossScale()
    Checkpoints(tmp_path, model, optimizer, loss_scale=other.variables).restore()
    assert float(other.value) == 2**14
    with pytest.raises(InputError, match="precision"):
        Checkpoints(tmp_path, model, optimizer).restore()


class NoGradient(ScoreMapObjective):
    """The loss is 0, and the derivative of the square root at 0 is NaN."""

    def sums(self, labels, scores):
        return tf.sqrt(0 * super().sums(labels, scores))


@pytest.mark.parametrize("initial, stops", [(2.0, False), (1.0, True)])
def test_gradients_that_no_scale_helps_stop_the_training(tmp_path, initial, stops):
    model, optimizer, scale = network(), sgd(), LossScale(initial)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = TrainStep(model, optimizer, NoGradient(8), strategy, loss_scale=scale)
    guards = Guards(Checkpoints(tmp_path, model, optimizer), scale)
    loss, _, *finite = step(*batch())
    expected = contextlib.nullcontext()
    if stops:
        expected = pytest.raises(
            InputError, match="a gradient is NaN or infinite at step 3, images a, b"
        )
    with expected:
        guards.check_step(3, {"name": tf.constant(["a", "b"])}, float(loss), *finite)


def test_xla_trains_the_same_network():
    plain, compiled = change(steps=3)[0], change(steps=3, xla=True, accumulate=2)[0]
    assert np.linalg.norm(plain) > 0.1
    np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-5)


class PythonCounts(ScoreMapObjective):
    """Contains an operation that XLA does not support."""

    def counts(self, labels):
        count = tf.numpy_function(np.size, [labels], tf.int64)
        return tf.cast(tf.ensure_shape(count, ()), tf.float32)[None]


class FirstScore(ScoreMapObjective):
    """Ignores the second of two outputs."""

    def sums(self, labels, scores):
        return super().sums(labels, scores[0])


def test_a_variable_without_gradient_only_decays():
    def two_outputs():
        model = network()
        unused = keras.layers.Conv2D(2, 1, name="unused")(model.layers[-2].output)
        return keras.Model(model.input, [model.output, unused])

    results = []
    for accumulate in (1, 2):
        model, optimizer = two_outputs(), LayerwiseSGD(0.5, momentum=0.0, l2=0.1, rules=())
        kernel = model.get_layer("unused").kernel
        before = kernel.numpy()
        change(model=model, optimizer=optimizer, objective=FirstScore(8), accumulate=accumulate)
        np.testing.assert_allclose(kernel, 0.95 * before, rtol=1e-6)
        results.append(flat(model))
    np.testing.assert_allclose(*results, atol=1e-6)


def test_a_deleted_network_leaves_no_memory():
    model, optimizer = network(), LayerwiseAdam(0.1)
    change(model=model, optimizer=optimizer)
    variables = [v for v in (*model.variables, *optimizer.variables) if v.dtype == "float32"]
    handles = [variable.value.handle for variable in variables]
    assert sizes_of(handles) == [np.prod(variable.shape) for variable in variables]
    del model, optimizer, variables
    gc.collect()
    assert sizes_of(handles) == [0] * len(handles)


def test_a_network_may_be_deleted_while_a_saved_model_is_written():
    """Nothing can be assigned inside of a plain graph; an error would be printed there."""
    model, optimizer = network(), sgd()
    change(model=model, optimizer=optimizer)
    with tf.Graph().as_default():
        del model, optimizer
        gc.collect()  # pytest makes errors of finalizers errors of the test


def sizes_of(handles):
    read = [tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32) for handle in handles]
    return [int(tf.size(value)) for value in read]


def test_what_xla_cannot_compile_is_named(tmp_path):
    model, optimizer, strategy = network(), sgd(), tf.distribute.get_strategy()
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, PythonCounts(8), strategy, xla=True)
    guards = Guards(Checkpoints(tmp_path, model, optimizer))
    expected = pytest.raises(InputError, match=r"XLA cannot compile .*PyFunc.*: leave out --xla")
    with expected as error, guards.step(1, {"name": tf.constant(["a"])}):
        step(*batch())
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def of_two_replicas():
    """What replicas_worker.py prints: a dict from name to text."""
    script = Path(__file__).resolve().parents[2] / "support" / "replicas_worker.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"(\w+) (\S+)", done.stdout))


def numbers(text):
    return np.array(text.split(","), float)


def test_two_replicas_clip_and_skip_as_one_does(of_two_replicas):
    found = of_two_replicas
    free, clipped = change()[0], change(clip_norm=0.25)[0]
    assert np.linalg.norm(clipped) < np.linalg.norm(free) / 2
    for name, want in (("free", free), ("clipped", clipped)):
        np.testing.assert_allclose(numbers(found[name]), want, atol=1e-6)
    # One replica's images overflow; both leave the step out.
    assert (found["overflow"], found["skipped"], found["scale"]) == ("True", "True", "16384.0")


def test_two_replicas_weigh_classes_as_one_does(of_two_replicas):
    want, (loss, *_) = change(objective=ScoreMapObjective(8, (0.25, 3.0)), data=uneven_batch())
    np.testing.assert_allclose(numbers(of_two_replicas["weighted"]), want, atol=1e-6)
    assert float(of_two_replicas["weighted_loss"]) == pytest.approx(loss, rel=1e-5)


def test_two_replicas_add_up_parts_beside_frozen_batch_normalization(of_two_replicas):
    want, (loss, *_) = change(steps=3, model=frozen_bn_network(), data=uneven_batch())
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(numbers(of_two_replicas["parts"]), want, atol=1e-5)
    assert float(of_two_replicas["loss"]) == pytest.approx(loss, rel=1e-5)
