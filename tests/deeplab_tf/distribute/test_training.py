"""Acceptance: several workers, or devices, train as one; a lost worker ends the others."""

import re
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tool_runner import run_tool
from worker_processes import ended, free_addresses, running, start, start_worker
from worker_train import train

from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.distribute.strategy import make_strategy
from deeplab_tf.errors import InputError
from deeplab_tf.training.loop import Trainer
from deeplab_tf.training.settings import LoopSettings

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HERE = Path(__file__).resolve().parents[2] / "support"
SCRIPT = HERE / "worker_train.py"


def assert_same(file, want):
    with np.load(file) as found:
        assert set(found.files) == set(want)
        for name in want:
            np.testing.assert_allclose(found[name], want[name], atol=1e-5, err_msg=name)


def mean_of_bn(folder):
    return keras.saving.load_model(folder / "last.keras").get_layer("bn").moving_mean


@pytest.mark.slow
def test_two_workers_train_as_one_with_the_whole_batch(tmp_path):
    pair = tmp_path / "pair"
    with running([SCRIPT, "multi_worker", pair, 6, pair]) as processes:
        alone = train(make_strategy("none"), tmp_path / "alone", 6)
        results = [ended(process) for process in processes]
    assert [result.status for result in results] == [0, 0], results
    assert_same(f"{pair}-0.npz", alone)
    assert_same(f"{pair}-1.npz", alone)
    for index in range(2):
        with np.load(f"{pair}-sums-{index}.npz") as sums:
            np.testing.assert_array_equal(sums["integers"], [[1, 2], [2**41, -1]])
            assert sums["integers"].dtype == np.int64
            assert sums["fraction"] == 0.2  # in float32 it would not be
    # The chief alone speaks and writes, and what it keeps is an ordinary model.
    assert "6 steps done" in results[0].out and results[1].out == ""
    assert len(list((pair / "train").glob("events*"))) == 1
    np.testing.assert_allclose(mean_of_bn(pair), alone["bn/moving_mean"], atol=1e-5)


@pytest.mark.slow
def test_two_devices_train_as_one_with_the_whole_batch(tmp_path):
    mirrored = tmp_path / "mirrored"
    both = start([SCRIPT, "mirrored", mirrored, 6, mirrored], CPU_DEVICES="2")
    try:
        alone = train(make_strategy("none"), tmp_path / "alone", 6)
        result = ended(both)
    finally:
        both.kill()
    assert result.status == 0, result
    assert_same(f"{mirrored}-0.npz", alone)
    np.testing.assert_allclose(mean_of_bn(mirrored), alone["bn/moving_mean"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_worker_ends_the_other_and_both_resume_from_the_checkpoint(tmp_path, lost):
    folder = tmp_path / "model"
    saved = folder / "checkpoints" / "checkpoint"
    endless = [SCRIPT, "multi_worker", folder, 10**6, tmp_path / "never"]
    with running(endless, PAUSE="0.3") as processes:
        deadline = time.monotonic() + 300
        while not saved.exists():
            assert time.monotonic() < deadline and processes[0].poll() is None
            time.sleep(0.05)
        processes[lost].kill()
        left = ended(processes[1 - lost], seconds=90)
    assert left.status == 1
    assert left.err.splitlines()[-1].startswith("error: another worker has ended")
    assert "Traceback" not in left.err
    step = int(Path(tf.train.latest_checkpoint(saved.parent)).name.removeprefix("step-"))
    with running([SCRIPT, "multi_worker", folder, step + 3, tmp_path / "end"]) as processes:
        results = [ended(process) for process in processes]
    assert [result.status for result in results] == [0, 0], results
    assert f"continuing from step {step} of {step + 3}" in results[0].out
    alone = train(make_strategy("none"), tmp_path / "alone", step + 3)
    for index in range(2):
        assert_same(tmp_path / f"end-{index}.npz", alone)


class Three:
    """All that is asked of a strategy before anything is made under it."""

    num_replicas_in_sync = 3


def test_a_batch_is_a_multiple_of_all_devices(tmp_path):
    settings = LoopSettings(tmp_path, 1, batch_size=8, accumulate=2)
    with pytest.raises(InputError, match="of 8 cannot be split into 2 equal micro-batches") as e:
        Trainer(None, None, None, None, settings, strategy=Three())
    assert "each of 3 devices" in str(e.value) and "is a multiple of 6" in str(e.value)


@pytest.mark.parametrize(
    "text, message", [(None, "TF_CONFIG is not set"), ("{", "TF_CONFIG is not JSON")]
)
def test_train_reports_what_is_wrong_with_tf_config(tmp_path, monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text:
        monkeypatch.setenv("TF_CONFIG", text)
    model_dir = tmp_path / "model"
    done = run_tool(
        "train", "--strategy=multi_worker", "--data_dir=none", f"--model_dir={model_dir}"
    )
    assert message in done.error
    assert not model_dir.exists()


@pytest.mark.slow
def test_two_workers_train_by_the_tool_and_leave_an_ordinary_training(tmp_path):
    data_dir, model_dir = tmp_path / "data", tmp_path / "model"
    write_synthetic(data_dir, num_train=4, num_val=2, size=(128, 128))
    flags = ["--backbone=mobilenetv2", "--head=large_fov", "--weights=none", "--bn_momentum=0.9"]
    flags += ["--crop_size=33", "--eval_images=1", "--eval_every=2", "--checkpoint_every=2"]
    flags += [f"--data_dir={data_dir}", f"--model_dir={model_dir}", "--batch_size=4"]
    tool = HERE.parents[1] / "tools" / "train.py"
    with running([tool, "--strategy=multi_worker", "--steps=2", *flags]) as processes:
        chief, other = (ended(process) for process in processes)
    assert [chief.status, other.status] == [0, 0], (chief, other)
    assert "batch normalization uses the whole batch on all 2 devices" in chief.out
    assert "step 2: mean IoU on" in chief.out and "2 steps done" in chief.out
    assert other.out == ""
    names = {path.name for path in model_dir.iterdir()}
    assert names >= {"best.keras", "last.keras", "labels.json", "checkpoints", "train"}
    layers = keras.saving.load_model(model_dir / "last.keras").layers
    assert not any(getattr(layer, "synchronized", False) for layer in layers)
    # A single process resumes the training of two.
    done = run_tool("train", "--steps=3", *flags)
    assert done.status == 0, done.err
    assert "continuing from step 2 of 3" in done.out


@pytest.mark.slow
def test_a_worker_with_other_flags_or_data_ends_all_by_the_tool(tmp_path):
    data, other = tmp_path / "data", tmp_path / "other"
    write_synthetic(data, num_train=2, num_val=1, size=(128, 128))
    write_synthetic(other, num_train=3, num_val=1, size=(128, 128))
    tool = HERE.parents[1] / "tools" / "train.py"
    common = [
        tool,
        "--strategy=multi_worker",
        "--batch_size=2",
        f"--model_dir={tmp_path / 'model'}",
    ]
    for flags, name in (
        ([f"--data_dir={data}", "--seed=1"], "--seed (1, the chief 0)"),
        ([f"--data_dir={other}"], "the list train (3 images, checksum"),
    ):
        workers = free_addresses(2)
        processes = []
        for index, own in enumerate(([f"--data_dir={data}"], flags)):
            processes.append(start_worker([*common, *own], workers, index))
        for result in map(ended, processes):
            assert result.status == 1
            assert f"error: worker 1 differs from the chief in {name}" in result.err
            assert "Traceback" not in result.err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_an_error_of_one_worker_ends_the_other_too(tmp_path):
    with running(
        [SCRIPT, "multi_worker", tmp_path, 10**6, tmp_path / "end"], FAIL_ON_WORKER="1"
    ) as processes:
        results = [ended(process, seconds=300) for process in processes]
    assert [result.status for result in results] == [1, 1]
    assert results[1].err.splitlines()[-1] == "error: label 7 of b.png is no class"
    assert results[0].err.splitlines()[-1].startswith("error: another worker has ended")


@pytest.mark.slow
def test_a_signal_to_one_worker_ends_all_with_a_checkpoint(tmp_path):
    saved = tmp_path / "checkpoints" / "checkpoint"
    with running(
        [SCRIPT, "multi_worker", tmp_path, 10**6, tmp_path / "end"], PAUSE="0.3"
    ) as processes:
        deadline = time.monotonic() + 300
        while not saved.exists():
            assert time.monotonic() < deadline and processes[0].poll() is None
            time.sleep(0.05)
        processes[1].terminate()
        chief, other = (ended(process, seconds=90) for process in processes)
    assert [chief.status, other.status] == [0, 0], (chief, other)
    step = re.search(r"stopped by a signal to another worker after step (\d+)", chief.out)[1]
    assert tf.train.latest_checkpoint(saved.parent).endswith(f"step-{step}")
