"""The commands that print a table of training runs: their flags, runs and files.

Each run is trained and scored once, in processes of its own.
"""

import os
import subprocess
import sys

from tqdm import tqdm

from deeplab_tf.errors import InputError


def define_table_flags(define, runs_dir, seeds, out_help):
    """Define the flags of the runs and the file of a table.

    Args:
      define: what `heading` returns.
      runs_dir, seeds: defaults of the flags of these names.
      out_help: where the table is written by default, for --help.
    """
    define.string("runs_dir", runs_dir, "Folder for the training runs and their scores.")
    define.list("seeds", seeds, "Seeds; every row is trained with each.")
    define.string(
        "out",
        None,
        "File for the table, in Markdown; a JSON file beside it, with the same name, gets the "
        f"scores of all runs. Default: {out_help}.",
    )
    define.multi_string(
        "train_flag",
        [],
        "A flag for every training run, such as --train_flag=--batch_size=4; may be repeated.",
    )
    define.multi_string(
        "evaluate_flag",
        [],
        "A flag for every evaluation, such as --evaluate_flag=--crf_w1=3; may be repeated.",
    )
    define.integer("limit", None, "Score only this many images.", lower_bound=1)


def score_rows(rows, seeds, score):
    """Score every row with every seed, with a progress bar.

    Args:
      rows: names of the table's rows.
      seeds: list of seeds.
      score: function from a row and a seed to its scores.

    Returns:
      {row: list of the scores, one for each seed}.
    """
    found = {row: [] for row in rows}
    for row, seed in (bar := tqdm([(row, seed) for seed in seeds for row in rows], unit="run")):
        bar.set_description(f"{row}, seed {seed}")
        found[row].append(score(row, seed))
    return found


def train_and_evaluate(folder, training, flags):
    """Train into a folder, and score the last network before and after the CRF.

    The scores are in scores.json in the folder, the commands' output in log. If it is stopped, the
    same call continues from the last checkpoint.

    Args:
      folder: Path of the training run; made if missing.
      training: list of the flags of `train`, without --model_dir.
      flags: the parsed flags of the table, for --data_dir, --evaluate_flag and --limit.

    Raises:
      InputError: if one of the commands fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, scores = folder / "log", f"--json_out={folder / 'scores.json'}"
    run_command(log, "train", *training, f"--model_dir={folder}")
    given = [f"--data_dir={flags.data_dir}", *flags.evaluate_flag]
    if flags.limit:
        given.append(f"--limit={flags.limit}")
    run_command(log, "evaluate", f"--model={folder / 'last.keras'}", "--crf", scores, *given)


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
