import dataclasses
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import seed
from tiny_model import random_model
from tiny_training import SIZE, Killed, batches_until, tiny

from crf import CRFParams
from deeplab_tf.errors import InputError
from deeplab_tf.evaluation import segment
from deeplab_tf.labels import VOID
from deeplab_tf.models import network_and_crf, with_crf
from deeplab_tf.models.precision import build_with_precision
from deeplab_tf.training.joint_crf import CRFTraining, crf_path, crf_rules
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.losses import (
    ProbabilityObjective,
    ScoreMapObjective,
    log_likelihood_sum,
)
from deeplab_tf.training.optimizer import PUBLISHED_RULES, LayerwiseSGD, multipliers
from deeplab_tf.training.schedules import Poly
from deeplab_tf.training.settings import LoopSettings

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PARAMS = CRFParams(w1=3, sigma_alpha=8, sigma_beta=40, w2=2, sigma_gamma=2, iterations=2)
ITERATIONS = 7  # of the CRF in validation and in the saved files


def tiny_refined(frozen=False):
    network = tiny()
    network.trainable = not frozen
    return with_crf(network, PARAMS, trainable=True)


def batch_at(position):
    """Two images whose left part is dark and whose right part is bright, with their labels."""
    edge = tf.random.stateless_uniform((2, 1, 1), tf.stack([position, 7]), 3, 14, tf.int32)
    bright = tf.broadcast_to(tf.range(SIZE) >= edge, (2, SIZE, SIZE))
    noise = tf.random.stateless_uniform((2, SIZE, SIZE, 3), tf.stack([position, 8]), 0, 60)
    label = tf.where(tf.range(SIZE) < 2, tf.constant(VOID, tf.uint8), tf.cast(bright, tf.uint8))
    name = tf.strings.join(["batch", tf.strings.as_string(position)])
    image = tf.where(bright[..., None], 250.0, 80.0) - noise
    return {"image": image, "label": label, "name": tf.fill([2], name)}


def make_batches(start):
    return tf.data.Dataset.range(start, 1 << 40).map(batch_at)


def images(count=2):
    levels = [batch_at(tf.constant(10**6 + i, tf.int64))["image"] for i in range(count)]
    return tf.cast(tf.round(tf.concat(levels, axis=0)), tf.uint8).numpy()


class Score:
    """Stands for a `Validation`: records its arguments, and returns -w1 as the score."""

    def __init__(self):
        self.given = []

    def score(self, model, crf):
        self.given.append((model, crf))
        return -crf.w1, [np.full((4, 6, 3), crf.iterations, np.uint8)]


def trainer(folder, model=None, steps=40, validation=None, rate=0.01, **settings):
    model = model or tiny_refined()
    optimizer = LayerwiseSGD(
        Poly(rate, max(steps, 12)), l2=1e-3, rules=crf_rules(3) + PUBLISHED_RULES
    )
    often = {"checkpoint_every": 16, "eval_every": 16}
    training_mode = network_and_crf(model)[0].trainable
    loop = LoopSettings(folder, steps, batch_size=2, training_mode=training_mode, **often)
    joint = CRFTraining(ITERATIONS, validation)
    batches = settings.pop("make_batches", make_batches)
    return model, Trainer(
        model,
        optimizer,
        ProbabilityObjective(),
        batches,
        loop,
        validate=validation and joint.score,
        save=joint.save,
        **settings,
    )


def test_crf_path_by_hand(tmp_path):
    assert crf_path(tmp_path / "best.keras") == tmp_path / "best_crf.json"


@pytest.mark.slow
def test_rules_reach_the_crf_alone_and_nothing_of_it_decays():
    model, rules = tiny_refined(), crf_rules(50.0) + PUBLISHED_RULES
    found = {v.path: multipliers(v, rules) for v in model.trainable_variables}
    for name in ("w1", "w2", "compatibility"):
        assert found[f"crf/{name}"] == (50, 0)
    assert found["fc8/kernel"] == (10, 1)
    assert found["conv/kernel"] == (1, 1)


def test_one_step_is_sgd_on_the_loss_after_the_crf(tmp_path):
    model = with_crf(random_model(2), PARAMS, trainable=True)
    batch = batch_at(tf.constant(0, tf.int64))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        total, count = log_likelihood_sum(batch["label"], model(batch["image"], training=True))
        loss = total / count
    gradients = tape.gradient(loss, [v.value for v in variables])
    rules = [*[(1, 1e-3), (2, 0)], *[(3, 0)] * 3]  # kernel, bias; w1, w2, compatibility
    want = [
        v.numpy() - 1e-2 * rate * (gradient.numpy() + decay * v.numpy())
        for v, gradient, (rate, decay) in zip(variables, gradients, rules, strict=True)
    ]
    trainer(tmp_path, model, steps=1, rate=1e-2)[1].run()
    for variable, value in zip(variables, want, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5, atol=1e-6, err_msg=variable.path)


class Whole(NamedTuple):
    """An uninterrupted training and what it started from."""

    folder: Path
    model: keras.Model
    validation: Score
    first_weights: list
    first_loss: float


def loss_of(model):
    batch = batch_at(tf.constant(10**6, tf.int64))
    total, count = log_likelihood_sum(batch["label"], model(batch["image"]))
    return float(total / count)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, validation = tmp_path_factory.mktemp("whole"), Score()
    seed(4)
    model, loop = trainer(folder, validation=validation)
    start = [v.numpy() for v in model.trainable_variables], loss_of(model)
    loop.run()
    return Whole(folder, model, validation, *start)


def test_trains_network_and_crf(whole):
    assert loss_of(whole.model) < 0.7 * whole.first_loss
    for old, new in zip(whole.first_weights, whole.model.trainable_variables, strict=True):
        assert np.abs(old - new.numpy()).max() > 1e-3, new.path


def test_saves_the_network_alone_and_the_crf_beside_it(whole):
    network, crf = network_and_crf(whole.model)
    names = {path.name for path in whole.folder.iterdir()}
    assert names == {
        "best.keras", "best_crf.json", "last.keras", "last_crf.json", "checkpoints", "train"
    }  # fmt: skip
    assert all(scored is network for scored, _ in whole.validation.given)
    scored = [params for _, params in whole.validation.given]
    assert {params.iterations for params in scored} == {ITERATIONS}
    assert len({params.w1 for params in scored}) == 3
    best = CRFParams.load(whole.folder / "best_crf.json")
    assert best == min(scored, key=lambda params: params.w1)
    last = CRFParams.load(whole.folder / "last_crf.json")
    assert last == crf.learned_params(ITERATIONS) == scored[-1]
    last = keras.saving.load_model(whole.folder / "last.keras", safe_mode=True)
    assert last.output_shape == (None, None, None, 2)
    for old, new in zip(network.weights, last.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_saved_predicts_what_the_trained_model_predicts(whole):
    network = keras.saving.load_model(whole.folder / "last.keras")
    params = CRFParams.load(whole.folder / "last_crf.json")
    params = dataclasses.replace(params, iterations=PARAMS.iterations)
    for image, found in zip(images(), whole.model(images()), strict=True):
        want = segment(network, image, params, return_probabilities=True)
        # Two engines: single pixels may differ by more.
        assert np.abs(found - want).mean() < 2e-5


@pytest.mark.parametrize("killed_at", [2, pytest.param(35, marks=pytest.mark.slow)])
def test_a_killed_training_resumes_bit_identically(tmp_path, capsys, whole, killed_at):
    seed(4)
    killed = batches_until(killed_at, make_batches)
    with pytest.raises(Killed):
        trainer(tmp_path, validation=Score(), make_batches=killed)[1].run()
    seed(4)
    capsys.readouterr()
    resumed, loop = trainer(tmp_path, validation=Score())
    loop.run()
    start = killed_at // 16 * 16
    assert (f"continuing from step {start} of 40" in capsys.readouterr().out) == (start > 0)
    for old, new in zip(whole.model.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=old.path)
    for name in ("best_crf.json", "last_crf.json"):
        assert (tmp_path / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_checkpoint_of_the_network_alone_is_refused(tmp_path):
    settings = LoopSettings(tmp_path, 1, batch_size=2)
    Trainer(tiny(), LayerwiseSGD(0.01), ScoreMapObjective(8), make_batches, settings).run()
    with pytest.raises(InputError, match="another network"):
        trainer(tmp_path)[1].run()


def test_with_a_frozen_network_only_the_crf_moves_and_nothing_is_dropped(tmp_path):
    model = tiny_refined(frozen=True)
    network, crf = network_and_crf(model)
    before, start = [w.numpy() for w in network.weights], crf.learned_params()
    batch = batch_at(tf.constant(0, tf.int64))
    total, count = log_likelihood_sum(batch["label"], model(batch["image"], training=False))
    _, loop = trainer(tmp_path, model, steps=1)
    loss, *_ = loop._step(batch["image"], batch["label"])
    assert float(loss) == pytest.approx(float(total / count), rel=1e-5)
    loop.run()
    for old, new in zip(before, network.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    learned = crf.learned_params()
    assert learned.w1 != start.w1 and learned.w2 != start.w2
    assert learned.compatibility != start.compatibility


@pytest.mark.bfloat16
@pytest.mark.slow
def test_bfloat16_training_scores_and_keeps_float32(tmp_path):
    validation = Score()
    model, float32_model = build_with_precision(tiny_refined, "mixed_bfloat16")
    trainer(tmp_path, model, steps=4, validation=validation, float32_model=float32_model)[1].run()
    network, crf = network_and_crf(model)
    assert network.get_layer("conv").compute_dtype == "bfloat16"
    assert crf.compute_dtype == "float32"
    scored, params = validation.given[-1]
    assert scored.get_layer("conv").compute_dtype == "float32"
    assert params == crf.learned_params(ITERATIONS) != PARAMS
    kept = keras.saving.load_model(tmp_path / "best.keras")
    for old, new in zip(network.weights, kept.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_nan_scores_stop_the_training(tmp_path):
    def poisoned(start):
        return make_batches(start).map(lambda batch: {**batch, "image": batch["image"] * np.inf})

    with pytest.raises(InputError, match="at step 1, images batch0, batch0: lower") as error:
        trainer(tmp_path, make_batches=poisoned)[1].run()
    assert "\n" not in str(error.value)
