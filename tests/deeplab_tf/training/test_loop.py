import os
import resource
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import seed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import (
    SIZE,
    Killed,
    batch_at,
    batches_until,
    make_batches,
    tiny,
    trainer,
    validate,
    validation_score,
)

from deeplab_tf.errors import InputError
from deeplab_tf.files import lock_folder
from deeplab_tf.labels import VOID
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.losses import ScoreMapObjective, masked_cross_entropy
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.schedules import Poly
from deeplab_tf.training.settings import LoopSettings

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_one_step_is_sgd_on_the_published_loss(tmp_path):
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(2, 1, strides=8)])
    kernel = model.layers[0].kernel
    batch = batch_at(tf.constant(0, tf.int64))
    with tf.GradientTape() as tape:
        scores = model(batch["image"])
        loss = masked_cross_entropy(batch["label"][:, ::8, ::8], scores)
    gradient = tape.gradient(loss, kernel.value)
    want = kernel.numpy() - 1e-4 * (gradient.numpy() + 1e-3 * kernel.numpy())
    trainer(tmp_path, steps=1, model=model, rate=1e-4)[1].run()
    np.testing.assert_allclose(kernel, want, rtol=1e-5, atol=1e-7)


def test_micro_batches_add_up_to_the_whole_batch(tmp_path):
    def plain():  # dropout and batch statistics would differ
        seed(3)
        image = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, strides=8, padding="same", activation="relu")(image / 255)
        return keras.Model(image, keras.layers.Conv2D(2, 1, name="fc8")(x))

    # The parts have different numbers of labeled pixels: a mean of means is not the mean.
    def uneven(position):
        batch = batch_at(position)
        rows = tf.constant([17, 9, 4, 0])[:, None, None]
        void = tf.range(SIZE)[None, :, None] >= rows
        return {**batch, "label": tf.where(void, tf.constant(VOID, tf.uint8), batch["label"])}

    def make_batches(start):
        return tf.data.Dataset.range(start, 1 << 40).map(uneven)

    weights, losses = [], []
    for parts in (1, 4):
        model, folder = plain(), tmp_path / str(parts)
        settings = LoopSettings(folder, 6, 4, log_every=1, accumulate=parts)
        Trainer(model, LayerwiseSGD(0.1), ScoreMapObjective(8), make_batches, settings).run()
        weights.append(model.get_weights())
        events = EventAccumulator(str(folder / "train")).Reload()
        losses.append([event.value for event in events.Scalars("loss")])
    for whole, added in zip(*weights, strict=True):
        np.testing.assert_allclose(whole, added, atol=1e-5 * max(1, np.abs(whole).max()))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert np.abs(plain().get_weights()[0] - weights[0][0]).max() > 1e-3


def test_parts_must_be_equal(tmp_path):
    with pytest.raises(InputError, match="batch of 4 cannot be split into 3 equal micro-batches"):
        trainer(tmp_path, settings={"accumulate": 3})


def test_trains_and_writes_models_checkpoints_and_curves(tmp_path):
    before = validation_score(tiny())
    model, loop = trainer(tmp_path, validate=validate, steps=40, rate=0.01)
    loop.run()
    assert validation_score(model) > before + 0.1
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.iterdir()}
    assert names == {"best.keras", "last.keras", "checkpoints", "train"}
    for name in ("best", "last"):
        assert validation_score(keras.saving.load_model(tmp_path / f"{name}.keras")) > before
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    assert [e.step for e in events.Scalars("loss")] == list(range(2, 41, 2))
    assert events.Scalars("loss")[-1].value < events.Scalars("loss")[0].value
    assert [e.step for e in events.Scalars("validation_score")] == list(range(4, 41, 4))
    assert [e.step for e in events.Images("validation/0")][-1] == 40
    rates = [e.value for e in events.Scalars("learning_rate")]
    np.testing.assert_allclose(rates[:2], [float(Poly(0.01, 12)(s)) for s in (1, 3)], rtol=1e-5)
    assert all(e.value > 0 for e in events.Scalars("images_per_second")[1:])


def result(folder, model):
    """The result of a training, as comparable values."""
    events = EventAccumulator(str(folder / "train")).Reload()
    return {
        "variables": [v.numpy() for v in model.variables],
        "best": keras.saving.load_model(folder / "best.keras").get_weights(),
        "last": keras.saving.load_model(folder / "last.keras").get_weights(),
        "loss": [(e.step, e.value) for e in events.Scalars("loss")],
        "learning_rate": [(e.step, e.value) for e in events.Scalars("learning_rate")],
        "scores": [(e.step, e.value) for e in events.Scalars("validation_score")],
        "pictures": [e.step for e in events.Images("validation/0")],
    }


def seeded(folder, **kwargs):
    seed(3)
    return trainer(folder, **{"validate": validate, "rate": 0.01, **kwargs})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of the uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    model, loop = seeded(folder)
    loop.run()
    return result(folder, model)


def assert_resumes_to_the_same_end(folder, whole):
    model, loop = seeded(folder)
    loop.run()
    found = result(folder, model)
    for name in ("variables", "best", "last"):
        for old, new in zip(whole[name], found[name], strict=True):
            np.testing.assert_array_equal(old, new)
    for name in ("loss", "learning_rate", "scores", "pictures"):
        assert found[name] == whole[name], name
    assert [step for step, _ in whole["loss"]] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("killed_at", [2, 5, 11])
def test_a_killed_training_resumes_bit_identically(tmp_path, capsys, whole, killed_at):
    _, loop = seeded(tmp_path, make_batches=batches_until(killed_at))
    with pytest.raises(Killed):
        loop.run()
    capsys.readouterr()
    assert_resumes_to_the_same_end(tmp_path, whole)
    start = killed_at // 4 * 4
    assert (f"continuing from step {start} of 12" in capsys.readouterr().out) == (start > 0)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def terminated_after(step, loop):
    """Let a signal arrive during a step."""
    make_step = loop._step

    def signalled(images, labels):
        made = make_step(images, labels)
        if int(loop._optimizer.iterations) == step:
            terminate()
        return made

    loop._step = signalled


def test_a_signal_during_a_step_stops_after_it(tmp_path, capsys, whole):
    _, loop = seeded(tmp_path)
    terminated_after(7, loop)
    loop.run()
    message = capsys.readouterr().out
    path = tmp_path / "checkpoints" / "step-7"
    assert f"stopped by SIGTERM after step 7 of 12: checkpoint {path}; the same command" in message
    assert "steps done" not in message
    assert_resumes_to_the_same_end(tmp_path, whole)
    assert "continuing from step 7 of 12" in capsys.readouterr().out


def test_an_interrupted_validation_is_repeated(tmp_path, capsys, whole):
    step = 4

    def interrupted(model):
        if loop._checkpoints.state.step == step:
            terminate()
            raise AssertionError("the validation was not interrupted")
        return validate(model)

    _, loop = seeded(tmp_path, validate=interrupted)
    loop.run()
    assert f"stopped by SIGTERM after step {step} of 12" in capsys.readouterr().out
    assert_resumes_to_the_same_end(tmp_path, whole)
    assert f"step {step}: validation score" in capsys.readouterr().out


def stopped_in_validation(folder, step):
    def interrupted(model):
        if loop._checkpoints.state.step == step:
            terminate()
        return validate(model)

    _, loop = seeded(folder, validate=interrupted)
    loop.run()


def test_a_repeated_validation_is_not_repeated_again(tmp_path, capsys, whole):
    stopped_in_validation(tmp_path, 12)
    assert_resumes_to_the_same_end(tmp_path, whole)
    capsys.readouterr()
    assert_resumes_to_the_same_end(tmp_path, whole)
    assert "training is complete: 12 of 12 steps" in capsys.readouterr().out


@pytest.mark.parametrize("killed_before", ["checkpoint", "next step"])
def test_a_kill_after_a_repeated_validation_repeats_no_point(tmp_path, whole, killed_before):
    def kill():
        raise Killed

    stopped_in_validation(tmp_path, 4)
    _, loop = seeded(tmp_path, make_batches=batches_until(5))
    if killed_before == "checkpoint":
        loop._checkpoints.save = kill
    with pytest.raises(Killed):
        loop.run()
    assert_resumes_to_the_same_end(tmp_path, whole)


def test_a_signal_while_waiting_for_a_batch_keeps_the_steps_made(tmp_path, whole):
    def batches(start):
        yield from make_batches(start).take(5)
        terminate()
        raise AssertionError("the wait was not interrupted")

    seeded(tmp_path, make_batches=batches)[1].run()
    assert (tmp_path / "checkpoints" / "step-5.index").exists()
    assert_resumes_to_the_same_end(tmp_path, whole)


def test_a_signal_before_the_first_step_saves_nothing(tmp_path, capsys):
    def batches(start):
        terminate()
        yield from make_batches(start)

    seeded(tmp_path / "model", make_batches=batches)[1].run()
    assert "stopped by SIGTERM after step 0 of 12: nothing to save yet" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()


def test_a_full_disk_is_one_line_and_keeps_the_earlier_checkpoint(tmp_path, whole):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def validate(model):
        if loop._checkpoints.state.step == 8:  # from here on no file may grow beyond a kilobyte
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        return -1.0, []  # nothing better, so that last.keras is written first

    _, loop = seeded(tmp_path, validate=validate)
    try:
        with pytest.raises(InputError) as error:
            loop.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    path = tmp_path / "checkpoints" / "step-4"
    assert "step 8 cannot be saved: " in str(error.value)
    assert str(error.value).endswith(f"the last good checkpoint is of step 4: {path}")
    assert "\n" not in str(error.value)
    assert not [p for p in tmp_path.rglob("*") if "partial" in p.name or "temp" in p.name]
    keras.saving.load_model(tmp_path / "last.keras")


def test_a_folder_that_goes_away_is_one_line_and_not_made_again(tmp_path):
    folder, away = tmp_path / "run", tmp_path / "away"

    def validate(model):
        if loop._checkpoints.state.step == 8:
            folder.rename(away)
        return -1.0, []

    _, loop = seeded(folder, validate=validate)
    with pytest.raises(InputError) as error:
        loop.run()
    text = f"step 8 cannot be saved: {folder}: [Errno 2] No such file or directory: "
    assert str(error.value).startswith(text)
    assert "bring the folder back and start again; the last good checkpoint is" in str(error.value)
    assert not folder.exists()
    away.rename(folder)
    assert seeded(folder)[1]._restore() == 4


def test_going_back_takes_the_models_along(tmp_path, capsys, whole):
    _, loop = seeded(tmp_path, make_batches=batches_until(8), settings={"keep": 2})
    with pytest.raises(Killed):
        loop.run()
    data = tmp_path / "checkpoints" / "step-8.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-9])
    kept = {}

    def batches(start):
        yield from make_batches(start).take(1)
        for name in ("best", "last"):
            kept[name] = keras.saving.load_model(tmp_path / f"{name}.keras").get_weights()
        raise Killed

    _, loop = seeded(tmp_path, make_batches=batches)
    with pytest.raises(Killed):
        loop.run()
    assert "step-8 cannot be read" in capsys.readouterr().out
    again, loop = seeded(tmp_path, steps=4)
    loop.run()  # restores step 4
    for name in ("best", "last"):
        for old, new in zip(again.get_weights(), kept[name], strict=True):
            np.testing.assert_array_equal(old, new)
    assert_resumes_to_the_same_end(tmp_path, whole)


def test_a_second_training_in_the_same_folder_is_refused(tmp_path):
    with lock_folder(tmp_path / "checkpoints"):
        with pytest.raises(InputError, match=r"in use by another training .*another --model_dir"):
            trainer(tmp_path)[1].run()
        assert [p.name for p in tmp_path.rglob("*")] == ["checkpoints", "lock"]


def test_a_finished_training_only_makes_sure_of_last_keras(tmp_path, capsys):
    model, loop = trainer(tmp_path, steps=4)
    loop.run()
    (tmp_path / "last.keras").unlink()

    def no_batches(start):
        raise AssertionError("nothing to train")

    trainer(tmp_path, steps=4, make_batches=no_batches)[1].run()
    assert "training is complete: 4 of 4 steps" in capsys.readouterr().out
    last = keras.saving.load_model(tmp_path / "last.keras")
    for old, new in zip(model.weights, last.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_best_and_last_are_right_after_a_restart_too(tmp_path, capsys):
    scores = iter([0.5, 0.9, 0.7])
    seen = []

    def validate(model):
        seen.append(model.get_layer("fc8").kernel.numpy())
        return next(scores), []

    for steps in (8, 12):
        trainer(tmp_path, steps=steps, validate=validate)[1].run()
    kernels = {
        name: keras.saving.load_model(tmp_path / f"{name}.keras").get_layer("fc8").kernel
        for name in ("best", "last")
    }
    np.testing.assert_array_equal(kernels["best"], seen[1])
    np.testing.assert_array_equal(kernels["last"], seen[2])
    message = capsys.readouterr().out
    assert "step 8: validation score 0.9000 (best so far)" in message
    assert "step 12: validation score 0.7000\n" in message
    assert "\n12 steps done in " in message
    assert "\nbest validation score: 0.9000 at step 8\n" in message


def test_the_time_of_the_last_validation_counts_too(tmp_path, capsys, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])

    def validate(model):
        seconds[0] += 100
        return 0.5, []

    trainer(tmp_path, steps=8, validate=validate)[1].run()
    assert "\n8 steps done in 3 min 20 s, " in capsys.readouterr().out
    trainer(tmp_path, steps=8, validate=validate)[1].run()  # the checkpoint has it
    assert "\n8 steps done in 3 min 20 s, " in capsys.readouterr().out


def test_without_validation_only_the_last_model_is_kept(tmp_path):
    trainer(tmp_path, steps=4)[1].run()
    assert not (tmp_path / "best.keras").exists()
    assert (tmp_path / "last.keras").exists()


@pytest.mark.bfloat16
def test_bfloat16_training_keeps_float32_models_with_the_trained_weights(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy("float32")
    scored = []
    _, loop = trainer(
        tmp_path,
        steps=4,
        model=model,
        float32_model=tiny(),
        validate=lambda m: scored.append(m.get_layer("conv").compute_dtype) or (0.5, []),
    )
    loop.run()
    assert scored == ["float32"]
    for name in ("best", "last"):
        kept = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert kept.get_layer("conv").compute_dtype == "float32"
        for old, new in zip(model.weights, kept.weights, strict=True):
            np.testing.assert_array_equal(old, new)


def poison_image(model, batch):
    return {**batch, "image": batch["image"] * np.inf}


def poison_weight(model, batch):
    kernel = model.get_layer("conv").kernel
    kernel.assign(np.where(np.arange(8) == 3, np.nan, kernel))
    return batch


def poison_label(model, batch):
    return {**batch, "label": tf.fill(batch["label"].shape, tf.constant(7, tf.uint8))}


@pytest.mark.parametrize(
    ("poison", "messages"),
    [
        (poison_image, ["the loss is nan"]),
        # oneDNN's ReLU makes 0 of NaN, TensorFlow's own hands it on to the loss.
        (poison_weight, ["a weight is NaN or infinite", "the loss is nan"]),
        # The loss or its gradient, whichever fails first.
        (
            poison_label,
            [
                "Received a label value of 7 which is outside the valid range of [0, 2)",
                "a label value is outside the valid range",
            ],
        ),
    ],
)
def test_what_is_not_finite_stops_at_once_and_nothing_of_it_is_saved(tmp_path, poison, messages):
    def batches(start):
        for i, batch in enumerate(make_batches(start)):
            yield poison(model, batch) if start + i == 5 else batch

    model, loop = trainer(tmp_path, make_batches=batches, settings={"log_every": 1})
    with pytest.raises(InputError) as error:
        loop.run()
    path = tmp_path / "checkpoints" / "step-4"
    where = "at step 6, images batch5, batch5, batch5, batch5: lower"
    assert any(f"{text} {where}" in str(error.value) for text in messages)
    assert str(error.value).endswith(f"the last good checkpoint is of step 4: {path}")
    assert "\n" not in str(error.value)
    kept = keras.saving.load_model(tmp_path / "last.keras")
    assert all(np.isfinite(w.numpy()).all() for w in kept.weights)
    assert {p.name for p in path.parent.glob("step-*.index")} == {"step-4.index"}
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5]


class NoGradient(ScoreMapObjective):
    """The loss is 0, and the derivative of the square root at 0 is NaN."""

    def sums(self, labels, scores):
        return tf.sqrt(0 * super().sums(labels, scores))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"objective": NoGradient(8)}, "a gradient is NaN or infinite at step 1, images batch0"),
        ({"rate": 1e38}, "a weight is NaN or infinite at step 1, images batch0"),
    ],
)
def test_a_step_that_spoils_the_weights_is_not_saved(tmp_path, kwargs, message):
    _, loop = trainer(tmp_path, steps=1, validate=lambda model: (1.0, []), **kwargs)
    with pytest.raises(InputError, match=message + ".*no checkpoint was saved yet"):
        loop.run()
    names = {p.name for p in tmp_path.rglob("*") if "tfevents" not in p.name}
    assert names == {"train"}


def test_an_unreadable_image_in_the_middle_keeps_the_steps_made(tmp_path, whole):
    def batches(start):
        yield from make_batches(start).take(6)
        # As tf.data passes on errors of its threads.
        raise tf.errors.UnknownError(None, None, "InputError: a.jpg: no JPEG or PNG\nTraceback")

    _, loop = seeded(tmp_path, make_batches=batches)
    with pytest.raises(InputError, match=r"^a\.jpg: no JPEG or PNG$"):
        loop.run()
    assert (tmp_path / "checkpoints" / "step-6.index").exists()
    assert_resumes_to_the_same_end(tmp_path, whole)


def test_out_of_memory_is_an_input_error(tmp_path, monkeypatch):
    _, loop = trainer(tmp_path)

    def exhausted(images, labels):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(loop, "_step", exhausted)
    with pytest.raises(InputError, match="out of memory at step 1: lower --batch_size"):
        loop.run()


def test_checkpoint_of_another_network_is_refused(tmp_path):
    trainer(tmp_path, steps=4)[1].run()
    with pytest.raises(InputError, match="another network"):
        trainer(tmp_path, steps=8, model=tiny(3))[1].run()


def test_xla_on_several_devices_is_refused(tmp_path):
    several = SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(InputError, match="--xla works on one device only"):
        trainer(tmp_path, settings={"xla": True}, strategy=several)
