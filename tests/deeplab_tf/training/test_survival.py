"""Trainings in processes of their own, which are killed as a machine's failure would."""

import random
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import trainer

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WORKER = Path(__file__).resolve().parents[2] / "support" / "survival_worker.py"
STEPS = 40


def start(folder):
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def run(folder):
    with start(folder) as process:
        message = process.communicate(timeout=300)[0]
    assert process.returncode == 0, message
    return message


def kill_at(folder, step):
    """Start the training and kill it when it says this step, or a little later."""
    with start(folder) as process:
        for line in process.stdout:
            if line.startswith("step ") and line.split()[1] == str(step):
                break
        process.kill()
    assert process.returncode == -9, "it ended before it could be killed"


def points(folder):
    """The curves that TensorBoard shows, without the images per second, which always differ."""
    events = EventAccumulator(str(folder / "train")).Reload()
    names = ("loss", "learning_rate", "validation_score")
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def everything(folder):
    """All variables of the last checkpoint: weights, slots and the dropout's generator."""
    model, loop = trainer(folder, STEPS)
    checkpoints, optimizer = loop._checkpoints, loop._optimizer
    assert checkpoints.restore() == STEPS
    kept = [keras.saving.load_model(folder / f"{name}.keras").weights for name in ("best", "last")]
    variables = [*model.variables, *optimizer.variables, *kept[0], *kept[1]]
    return checkpoints.state, [variable.numpy() for variable in variables]


def assert_same(cut, whole, how):
    (state, values), (want_state, want) = everything(cut), everything(whole)
    assert state == want_state, how
    for old, new in zip(want, values, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=how)
    assert points(cut) == points(whole), how
    losses = [step for step, _ in points(cut)["loss"]]
    assert losses == list(range(2, STEPS + 1, 2))


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_as_if_nothing_had_happened(tmp_path):
    seed = random.randrange(1 << 30)
    steps = sorted(random.Random(seed).sample(range(1, STEPS - 5), 4))
    for step in steps:
        kill_at(tmp_path / "cut", step)
    run(tmp_path / "cut")
    run(tmp_path / "whole")
    assert_same(tmp_path / "cut", tmp_path / "whole", f"killed at {steps}")


@pytest.mark.slow
def test_sigterm_ends_a_process_with_a_checkpoint_and_status_0(tmp_path):
    with start(tmp_path) as process:
        for line in process.stdout:
            if line == "step 7\n":
                break
        process.terminate()
        message = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert "stopped by SIGTERM after step" in message and "the same command continues" in message
    step = int(message.split("after step ")[1].split()[0])
    assert (tmp_path / "checkpoints" / f"step-{step}.index").exists()
    assert f"continuing from step {step} of {STEPS}" in run(tmp_path)
