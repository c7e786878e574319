"""The ablation continues where it was stopped, and its table is right."""

import json
import subprocess

import numpy as np
import pytest
from tool_runner import run_tool

from deeplab_tf.commands.ablation import ROWS, run_command, table
from deeplab_tf.data.synthetic import write_synthetic
from deeplab_tf.errors import InputError


def test_table_by_hand():
    results = {
        "large_fov": np.array([[40.0, 41.0], [42.0, 44.0]]),
        "aspp_s": np.array([[43.0, 43.5], [43.0, 44.5]]),
    }
    assert table(results).splitlines()[2:] == [
        "| LargeFOV | 41.00 ± 1.00 | 42.50 ± 1.50 | +0.00 ± 0.00 | +1.50 ± 0.50 |",
        "| ASPP-S | 43.00 ± 0.00 | 44.00 ± 0.50 | +2.00 ± 1.00 | +1.00 ± 0.50 |",
    ]


def scored(folder, before, after):
    folder.mkdir(parents=True)
    content = {"miou": before, "crf": {"miou": after}}
    (folder / "scores.json").write_text(json.dumps(content))


def test_scored_runs_are_not_repeated(tmp_path):
    for index, row in enumerate(ROWS):
        scored(tmp_path / "runs" / f"{row}-7", 0.3 + index / 100, 0.4)
    out = tmp_path / "table.md"
    done = run_tool(
        "ablation", "--data_dir=absent", f"--runs_dir={tmp_path / 'runs'}", "--seeds=7",
        f"--out={out}",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert (
        "| ASPP-L | 32.00 ± 0.00 | 40.00 ± 0.00 | +2.00 ± 0.00 | +8.00 ± 0.00 |" in out.read_text()
    )


@pytest.mark.slow
def test_a_failed_run_is_one_line(tmp_path):
    flags = [f"--data_dir={tmp_path / 'absent'}", f"--runs_dir={tmp_path / 'runs'}"]
    done = run_tool("ablation", *flags, f"--out={tmp_path / 'table.md'}")
    assert "train: " in done.error and "absent" in done.error
    assert not (tmp_path / "table.md").exists()


def test_a_stopped_training_is_an_error_although_its_status_is_0(tmp_path, monkeypatch):
    def stop(command, stdout, **options):
        stdout.write("stopped by SIGTERM after step 2 of 9: go on\nnext: deeplab-tf train ...\n")
        stdout.flush()
        return subprocess.CompletedProcess(command, 0)

    def end(command, stdout, **options):
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", stop)
    with pytest.raises(InputError, match="train: stopped by SIGTERM after step 2 of 9: go on"):
        run_command(tmp_path / "log", "train")
    monkeypatch.setattr(subprocess, "run", end)
    run_command(tmp_path / "log", "train")  # what an earlier one wrote does not count


@pytest.mark.slow
def test_two_steps_of_every_row(tmp_path):
    write_synthetic(tmp_path / "data", num_train=4, num_val=2, size=(128, 128))
    flags = [f"--data_dir={tmp_path / 'data'}", f"--runs_dir={tmp_path / 'runs'}", "--seeds=0"]
    flags += ["--weights=none", "--limit=1"]
    flags += [f"--train_flag={flag}" for flag in ("--steps=2", "--batch_size=2", "--crop_size=65")]
    done = run_tool("ablation", *flags, f"--out={tmp_path / 'table.md'}")
    assert done.status == 0, done.err
    assert len((tmp_path / "table.md").read_text().splitlines()) == 9
