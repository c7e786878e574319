import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import (
    SIZE,
    Killed,
    batch_at,
    batches_until,
    make_batches,
    tiny,
    trainer,
    validation_loss,
)

from deeplab_tf.data.examples import Example
from deeplab_tf.data.labels import VOID
from deeplab_tf.data.pipeline import training_batches
from deeplab_tf.errors import InputError
from deeplab_tf.training.loop import LoopSettings, Trainer, next_batch
from deeplab_tf.training.losses import masked_cross_entropy
from deeplab_tf.training.optimizer import LayerwiseSGD
from deeplab_tf.training.schedules import Poly

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


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_add_up_to_the_whole(tmp_path, accumulate):
    def plain():  # dropout and batch statistics would differ
        keras.utils.set_random_seed(3)
        image = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, strides=8, padding="same", activation="relu")(image / 255)
        return keras.Model(image, keras.layers.Conv2D(2, 1, name="fc8")(x))

    # In the parts are different numbers of labelled pixels: a mean of means is not the mean.
    def uneven(position):
        batch = batch_at(position)
        rows = tf.constant([17, 9, 4, 0])[:, None, None]
        void = tf.range(SIZE)[None, :, None] >= rows
        return {**batch, "label": tf.where(void, tf.constant(VOID, tf.uint8), batch["label"])}

    def make_batches(start):
        return tf.data.Dataset.range(start, 1 << 40).map(uneven)

    weights, losses = [], []
    for parts in (1, accumulate):
        model, folder = plain(), tmp_path / str(parts)
        settings = LoopSettings(folder, 6, 4, log_every=1, accumulate=parts)
        Trainer(model, LayerwiseSGD(0.1), make_batches, settings).run()
        weights.append(model.get_weights())
        events = EventAccumulator(str(folder / "train")).Reload()
        losses.append([event.value for event in events.Scalars("loss")])
    for whole, added in zip(*weights, strict=True):
        np.testing.assert_allclose(whole, added, atol=1e-5 * max(1, np.abs(whole).max()))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert np.abs(plain().get_weights()[0] - weights[0][0]).max() > 1e-3


def test_parts_must_be_equal(tmp_path):
    with pytest.raises(InputError, match="batch of 4 cannot be gone through in 3 equal parts"):
        LoopSettings(tmp_path, 1, batch_size=4, accumulate=3)


def test_trains_and_leaves_what_it_promises(tmp_path):
    before = validation_loss(tiny())
    model, loop = trainer(
        tmp_path,
        validate=validation_loss,
        draw=lambda model: [np.zeros((4, 6, 3), np.uint8)],
        steps=40,
        rate=0.01,
    )
    loop.run()
    assert validation_loss(model) > before + 0.1
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.iterdir()}
    assert names == {"best.keras", "last.keras", "checkpoints", "train"}
    for name in ("best", "last"):
        assert validation_loss(keras.saving.load_model(tmp_path / f"{name}.keras")) > before
    events = EventAccumulator(str(tmp_path / "train")).Reload()
    assert [e.step for e in events.Scalars("loss")] == list(range(2, 41, 2))
    assert events.Scalars("loss")[-1].value < events.Scalars("loss")[0].value
    assert [e.step for e in events.Scalars("validation_score")] == list(range(4, 41, 4))
    assert [e.step for e in events.Images("validation/0")][-1] == 40
    rates = [e.value for e in events.Scalars("learning_rate")]
    np.testing.assert_allclose(rates[:2], [float(Poly(0.01, 12)(s)) for s in (1, 3)], rtol=1e-5)
    assert all(e.value > 0 for e in events.Scalars("images_per_second")[1:])


@pytest.mark.parametrize("killed_at", [2, 5, 8, 11])
def test_a_killed_training_goes_on_to_the_very_same_end(tmp_path, capsys, killed_at):
    keras.utils.set_random_seed(3)
    whole, loop = trainer(tmp_path / "whole", validate=validation_loss)
    loop.run()
    keras.utils.set_random_seed(3)
    cut, killed = tmp_path / "cut", batches_until(killed_at)
    _, loop = trainer(cut, validate=validation_loss, make_batches=killed)
    with pytest.raises(Killed):
        loop.run()
    capsys.readouterr()
    keras.utils.set_random_seed(3)
    resumed, loop = trainer(tmp_path / "cut", validate=validation_loss)
    loop.run()
    start = killed_at // 4 * 4
    said = capsys.readouterr().out
    assert (f"continuing from step {start} of 12" in said) == (start > 0)
    for old, new in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=old.path)
    events = EventAccumulator(str(tmp_path / "cut" / "train")).Reload()
    assert [e.step for e in events.Scalars("loss")] == [2, 4, 6, 8, 10, 12]


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


def test_best_is_the_best_and_last_the_last_also_over_a_restart(tmp_path, capsys):
    scores = iter([0.5, 0.9, 0.7])
    seen = []

    def validate(model):
        seen.append(model.get_layer("fc8").kernel.numpy())
        return next(scores)

    for steps in (8, 12):
        trainer(tmp_path, steps=steps, validate=validate)[1].run()
    kernels = {
        name: keras.saving.load_model(tmp_path / f"{name}.keras").get_layer("fc8").kernel
        for name in ("best", "last")
    }
    np.testing.assert_array_equal(kernels["best"], seen[1])
    np.testing.assert_array_equal(kernels["last"], seen[2])
    said = capsys.readouterr().out
    assert "step 8: validation score 0.9000 (best so far)" in said
    assert "step 12: validation score 0.7000\n" in said
    assert f"12 steps done, best validation score 0.9000: {tmp_path / 'last.keras'}" in said


def test_without_validation_only_the_last_model_is_kept(tmp_path):
    trainer(tmp_path, steps=4)[1].run()
    assert not (tmp_path / "best.keras").exists()
    assert (tmp_path / "last.keras").exists()


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
        validate=lambda m: scored.append(m.get_layer("conv").compute_dtype) or 0.5,
    )
    loop.run()
    assert scored == ["float32"]
    for name in ("best", "last"):
        kept = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert kept.get_layer("conv").compute_dtype == "float32"
        for old, new in zip(model.weights, kept.weights, strict=True):
            np.testing.assert_array_equal(old, new)


def test_loss_that_is_not_finite_stops_and_names_step_and_images(tmp_path):
    def poisoned(start):
        def poison(batch):
            bad = batch["name"][0] == "batch5"
            image = tf.where(bad, tf.fill(tf.shape(batch["image"]), np.inf), batch["image"])
            return {**batch, "image": image}

        return make_batches(start).map(poison)

    _, loop = trainer(tmp_path, make_batches=poisoned)
    with pytest.raises(InputError, match="loss is nan at step 6, images batch5, batch5") as error:
        loop.run()
    assert "\n" not in str(error.value)
    kept = keras.saving.load_model(tmp_path / "last.keras")
    assert all(np.isfinite(w.numpy()).all() for w in kept.weights)


def test_an_unusable_example_is_an_input_error_that_names_the_file(tmp_path):
    image, label = tmp_path / "a.png", tmp_path / "a_label.png"
    image.write_bytes(tf.io.encode_png(tf.zeros((9, 9, 3), tf.uint8)).numpy())
    label.write_bytes(tf.io.encode_png(tf.fill((9, 9, 1), tf.constant(12, tf.uint8))).numpy())
    example = Example("a", str(image), str(label))
    batches = training_batches([example], num_classes=11, batch_size=1, crop_size=9)
    with pytest.raises(InputError, match=r"a_label.png: label value") as error:
        next_batch(iter(batches))
    assert "\n" not in str(error.value)


def test_memory_that_is_short_is_an_input_error(tmp_path, monkeypatch):
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
