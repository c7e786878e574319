"""The tool as a user runs it: in a process of its own, which may be killed."""

import ctypes
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_flags import TINY
from tool_runner import run_tool

from crf import CRFParams
from deeplab_tf import build_deeplab
from deeplab_tf.commands.memory import keep_freed_memory
from deeplab_tf.data.datasets import open_dataset
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.labels import LabelSet

# Keras turns its variables into arrays in a way NumPy 2 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(folder, num_train=4, num_val=2, size=(128, 128))
    return folder


def command(*flags):
    return [sys.executable, str(ROOT / "tools" / "train.py"), *map(str, flags)]


def run(*flags, cwd=None):
    return subprocess.run(
        command(*flags), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def kill_after_checkpoint(flags, state_file):
    """Start the tool and kill it as soon as its first checkpoint is complete."""
    with subprocess.Popen(
        command(*flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 300
        while not state_file.exists() and process.poll() is None:
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -9, "the training ended before it could be killed"


def weights(path):
    return [w.numpy() for w in keras.saving.load_model(path).weights]


# Counts page faults while a thread allocates and frees the memory of an image again and again.
COUNT_FAULTS = """
import contextlib, ctypes, resource, threading
import numpy as np

{function}

def count():
    def work(rounds):
        for _ in range(rounds):
            np.empty(700_000, np.uint8)[::4096] = 0
    work(10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work(200)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

keep_freed_memory()
thread = threading.Thread(target=count)
thread.start()
thread.join()
"""


def test_threads_keep_the_memory_that_they_have_freed():
    script = COUNT_FAULTS.format(function=inspect.getsource(keep_freed_memory))
    command = [sys.executable, "-c", script]
    faults = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert faults < 2000 < 200 * 171  # pages of 200 images


def test_with_another_c_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    keep_freed_memory()


@pytest.mark.slow
def test_killed_and_restarted_training_goes_on_to_the_end(tmp_path, data_dir):
    model_dir = tmp_path / "model"
    # So many steps that it cannot end before the kill; then as many as are worth waiting for.
    flags = [*TINY, f"--data_dir={data_dir}", f"--model_dir={model_dir}", "--eval_every=9999"]
    state_file = model_dir / "checkpoints" / "checkpoint"
    kill_after_checkpoint([*flags, "--steps=5000", "--checkpoint_every=2"], state_file)
    newest = Path(tf.train.latest_checkpoint(state_file.parent)).name
    step = int(newest.removeprefix("step-"))
    flagfile = tmp_path / "a.flags"
    flagfile.write_text("\n".join(["# a comment", *flags, f"--steps={step + 2}"]))
    resumed = run(f"--flagfile={flagfile}", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"continuing from step {step} of {step + 2}" in resumed.stdout
    assert f"step {step + 2}: mean IoU on 1 of the 2 images of val" in resumed.stdout
    assert "Warning" not in resumed.stderr
    assert "Sharding callback" not in resumed.stderr
    assert {p.name for p in model_dir.iterdir()} >= {"best.keras", "last.keras", "labels.json"}
    assert LabelSet.load(model_dir / "labels.json").num_classes >= 6
    assert all(np.isfinite(w).all() for w in weights(model_dir / "last.keras"))


CRF = ["--crf_train", "--crf_sigma_alpha=20", "--crf_sigma_beta=10", "--crf_rate=20"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [[], ["--precision=mixed_bfloat16"], CRF, [*CRF, "--precision=mixed_bfloat16"]]
)
def test_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path, data_dir, more):
    flags = [*TINY, *more, f"--data_dir={data_dir}", "--steps=12"]
    flags += ["--checkpoint_every=4", "--eval_every=6"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*flags, f"--model_dir={whole}").returncode == 0
    state_file = cut / "checkpoints" / "checkpoint"
    kill_after_checkpoint([*flags, f"--model_dir={cut}"], state_file)
    resumed = run(*flags, f"--model_dir={cut}")
    assert resumed.returncode == 0, resumed.stderr
    assert "continuing from step" in resumed.stdout
    for name in ("best.keras", "last.keras"):
        for a, b in zip(weights(whole / name), weights(cut / name), strict=True):
            np.testing.assert_array_equal(a, b)
    if "--crf_train" in more:
        for name in ("best_crf.json", "last_crf.json"):
            assert CRFParams.load(whole / name) == CRFParams.load(cut / name)


@pytest.mark.slow
def test_crf_train_goes_on_from_a_network_and_feeds_the_other_tools(tmp_path, data_dir):
    start, joint = tmp_path / "start.keras", tmp_path / "joint"
    num_classes = open_dataset("synthetic", data_dir, "train")[1].num_classes
    build_deeplab("mobilenetv2", "large_fov", num_classes, weights=None).save(start)
    flags = [f"--data_dir={data_dir}", f"--weights={start}", "--freeze_bn", "--steps=2"]
    flags += ["--eval_every=2", "--learning_rate=1e-5"]
    done = run(*TINY, *CRF, *flags, f"--model_dir={joint}")
    assert done.returncode == 0, done.stderr
    said = re.search(r"step 2: mean IoU after the CRF on .* of val (\S+)", done.stdout)
    learned = CRFParams.load(joint / "best_crf.json")
    assert (learned.sigma_alpha, learned.sigma_beta, learned.iterations) == (20, 10, 10)
    assert np.shape(learned.compatibility) == (num_classes, num_classes)
    assert not np.array_equal(learned.compatibility, 1 - np.eye(num_classes))
    # Two steps at a small rate: all layers, the classifier too, are still much as they came.
    for a, b in zip(weights(start), weights(joint / "best.keras"), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    evaluate = [f"--model={joint}", "--dataset=synthetic", f"--data_dir={data_dir}", "--limit=1"]
    file = tmp_path / "scores.json"
    done = run_tool(
        "evaluate", *evaluate, "--crf", f"--crf_params={joint / 'best_crf.json'}",
        f"--json_out={file}",
    )  # fmt: skip
    assert done.status == 0, done.err
    score = json.loads(file.read_text())["crf"]["miou"]
    assert float(said[1]) == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize(
    ("flag", "message"), [("--backbone=vgg61", "vgg61"), ("--train_split=trian", "trian")]
)
def test_bad_input_is_one_line_and_status_1(tmp_path, data_dir, flag, message):
    paths = f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'model'}"
    assert message in run_tool("train", *TINY, "--steps=1", *paths, flag).error
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "flag",
    ["crf", "crf_only", "crf_params=x.json", "crf_w1=4", "crf_train_iterations=5", "crf_rate=1.0"],
)
def test_flags_of_the_crf_without_its_training_are_refused(tmp_path, flag):
    done = run_tool("train", "--data_dir=none", f"--model_dir={tmp_path / 'out'}", f"--{flag}")
    name = flag.split("=")[0]
    assert f"--{name} has no effect without --crf_train; add it" in done.error
    assert not (tmp_path / "out").exists()


def test_xla_and_the_training_of_the_crf_are_refused_together(tmp_path):
    done = run_tool("train", "--data_dir=none", f"--model_dir={tmp_path}", "--crf_train", "--xla")
    assert "--xla cannot compile the CRF of --crf_train; leave one out" in done.error


@pytest.mark.slow
def test_sigterm_while_validating_is_status_0_and_the_training_goes_on(
    tmp_path, data_dir, monkeypatch
):
    def score(self, model, crf=None):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the validation was waited for")

    flags = [*TINY, "--backbone=vgg16", "--fc_channels=8", "--crop_size=33", "--nodeterministic"]
    flags += ["--precision=mixed_float16", "--clip_norm=1", "--keep=1", "--steps=2"]
    flags += ["--eval_every=1", f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'model'}"]
    with monkeypatch.context() as patched:
        patched.setattr("deeplab_tf.training.validation.Validation.score", score)
        done = run_tool("train", *flags)
    assert done.status == 0, done.err
    checkpoints = tmp_path / "model" / "checkpoints"
    assert f"stopped by SIGTERM after step 1 of 2: checkpoint {checkpoints / 'step-1'}" in done.out
    assert done.out.endswith(f"\nnext: deeplab-tf train --model_dir={tmp_path / 'model'}\n")
    done = run_tool("train", *flags)
    assert done.status == 0, done.err
    said = "continuing from step 1 of 2", "step 1: mean IoU on", "step 2: mean IoU on"
    assert all(text in done.out for text in said)
    assert [path.name for path in checkpoints.glob("*.index")] == ["step-2.index"]


SENDS_SIGTERM = """
import os, signal, sys

def send(event, arguments):
    if event == {event!r} and str(arguments[0]).endswith({what!r}):
        os.kill(os.getpid(), signal.SIGTERM)

sys.addaudithook(send)
"""


@pytest.mark.slow
@pytest.mark.parametrize("event, what", [("import", "tensorflow"), ("open", "/train.txt")])
def test_sigterm_before_the_first_step_is_status_0(tmp_path, data_dir, event, what):
    # Python runs a module of this name when it starts.
    (tmp_path / "sitecustomize.py").write_text(SENDS_SIGTERM.format(event=event, what=what))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        command(*TINY, "--steps=1", f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'model'}"),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done
    assert (done.stdout, done.stderr) == (STOPPED.format("SIGTERM"), "")
    assert not (tmp_path / "model").exists()


STOPPED = (
    "stopped by {} before the first step: nothing to save yet; run the same command to start "
    "again\n"
)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["flags.network.build_deeplab", "train.open_checked"])
def test_a_signal_before_the_first_step_is_status_0(tmp_path, data_dir, monkeypatch, sent, place):
    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), sent)
        raise AssertionError("it was waited for")

    monkeypatch.setattr(f"deeplab_tf.commands.{place}", interrupted)
    flags = [*TINY, "--steps=1", f"--data_dir={data_dir}", f"--model_dir={tmp_path / 'model'}"]
    done = run_tool("train", *flags)
    assert (done.status, done.out) == (0, STOPPED.format(sent.name))
    assert not done.err or place != "train.open_checked"  # later, the check has shown its progress
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_strategy_of_one_device_trains_as_none(tmp_path, data_dir, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    flags = [*TINY, "--backbone=vgg16", "--fc_channels=8", "--crop_size=33", "--nodeterministic"]
    flags += ["--steps=2", "--eval_images=0", f"--data_dir={data_dir}"]
    found = []
    for name in ("none", "mirrored"):
        done = run_tool("train", *flags, f"--strategy={name}", f"--model_dir={tmp_path / name}")
        assert done.status == 0, done.err
        found.append(weights(tmp_path / name / "last.keras"))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
