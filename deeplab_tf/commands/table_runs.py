"""The training runs behind a table: each is trained and scored once, in processes of its own."""

import os
import subprocess
import sys

import numpy as np

from deeplab_tf.errors import InputError


def train_and_evaluate(folder, training, data, limit=None):
    """Train into a folder, and score the last network before and after the CRF.

    The scores are in scores.json in the folder, the commands' output in log. If it is stopped, the
    same call continues from the last checkpoint.

    Args:
      folder: Path of the training run; made if missing.
      training: list of the flags of `train`, without --model_dir.
      data: the flag --data_dir of the images to score.
      limit: how many of them to score; None: all.

    Raises:
      InputError: if one of the commands fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, scores = folder / "log", f"--json_out={folder / 'scores.json'}"
    run_command(log, "train", *training, f"--model_dir={folder}")
    limits = [f"--limit={limit}"] if limit else []
    run_command(log, "evaluate", f"--model={folder / 'last.keras'}", data, "--crf", scores, *limits)


def run_command(log, name, *arguments):
    """Run a command in a process of its own, which frees all its memory; its output goes to `log`.

    Raises:
      InputError: with the last line of the output, if it fails or was stopped.
    """
    with log.open("a") as file:
        start = file.tell()  # after the output of earlier runs
        done = subprocess.run(
            [sys.executable, "-m", "deeplab_tf.commands", name, *arguments],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
    # A training run that was stopped by a signal ends with status 0 before its last step.
    stopped = [line for line in lines if line.startswith("stopped by ")]
    if done.returncode or stopped:
        last = (stopped or lines or [""])[-1]
        raise InputError(f"{name}: {last.removeprefix('error: ')} (full output: {log})")


def spread(values, sign=""):
    """The mean of an array and half of its range, as text: 2 digits, in the format of `sign`."""
    return f"{values.mean():{sign}.2f} ± {np.ptp(values) / 2:.2f}"
