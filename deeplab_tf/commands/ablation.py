"""What each part of DeepLab is worth on CamVid: one change at a time, the same budget for all.

    python tools/ablation.py --data_dir=CAMVID [--runs_dir=runs/ablation] [--seeds=0,1]

trains configs/camvid_ablation.flags and the variants below, each with every seed, scores them on
all validation images before and after the CRF, and writes the table of the means. Stopped at any
time, the same command goes on: what is scored is not run again, and a training goes on from its
last checkpoint.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from deeplab_tf.commands.app import run
from deeplab_tf.errors import InputError
from deeplab_tf.files import write_file

FLAGS = flags.FLAGS
ROOT = Path(__file__).resolve().parents[2]

flags.DEFINE_string("data_dir", None, "CamVid in VOC layout.", required=True)
flags.DEFINE_string("runs_dir", "runs/ablation", "Folder for the trainings and their scores.")
flags.DEFINE_list("seeds", ["0", "1"], "Seeds of every row.")
flags.DEFINE_string("out", "docs/ablation_table.md", "File for the table.")
flags.DEFINE_multi_string("train_flag", [], "A flag for every training, as --train_flag=--steps=9.")
flags.DEFINE_integer("limit", None, "Score only the first so many images.", lower_bound=1)

CONFIG = ROOT / "configs" / "camvid_ablation.flags"

# Name of the row: what it is in words, and the flags in which it differs from the first one.
ROWS = {
    "large_fov": ("LargeFOV", ()),
    "aspp_s": ("ASPP-S", ("--head=aspp_s",)),
    "aspp_l": ("ASPP-L", ("--head=aspp_l",)),
    "msc": ("LargeFOV, three scales", ("--scales=1,0.75,0.5",)),
    "one_scale": ("LargeFOV, no scale augmentation", ("--scale_low=1", "--scale_high=1")),
    "step": ("LargeFOV, step policy", ("--schedule=step",)),
}


def run_tool(name, log, *arguments):
    """Run one of the tools, what it prints going to a file."""
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *arguments]
    with log.open("a") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
    # A training that was asked to stop has done well, but not all of its steps.
    if done.returncode or last.startswith("stopped by "):
        raise InputError(f"{name}: {last.removeprefix('error: ')} (all of it: {log})")


def score(row, seed):
    """The scores of one row and seed: from its file, or by training and evaluating it."""
    folder = Path(FLAGS.runs_dir) / f"{row}-{seed}"
    scores = folder / "scores.json"
    if not scores.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        data = f"--data_dir={FLAGS.data_dir}"
        changes = (*ROWS[row][1], f"--seed={seed}", *FLAGS.train_flag)
        run_tool(
            "train", folder / "log", f"--flagfile={CONFIG}", data, f"--model_dir={folder}", *changes
        )
        limit = [f"--limit={FLAGS.limit}"] if FLAGS.limit else []
        run_tool(
            "evaluate", folder / "log", f"--model={folder / 'last.keras'}", data, "--crf",
            f"--json_out={scores}", *limit,
        )  # fmt: skip
    content = json.loads(scores.read_text())
    return 100 * content["miou"], 100 * content["crf"]["miou"]


def table(results):
    """The Markdown table of means and half ranges; what is compared is compared seed by seed.

    Args:
      results: dict from row to an array (seeds, 2) of mean IoU in percent, before and after the
        CRF.

    Returns:
      str.
    """
    base = results["large_fov"]
    lines = [
        "| | mean IoU | with the CRF | against LargeFOV | gain of the CRF |",
        "|---|---|---|---|---|",
    ]
    for row, scores in results.items():
        cells = [f"{x.mean():.2f} ± {np.ptp(x) / 2:.2f}" for x in scores.T]
        differences = scores[:, 0] - base[:, 0], scores[:, 1] - scores[:, 0]
        cells += [f"{x.mean():+.2f} ± {np.ptp(x) / 2:.2f}" for x in differences]
        lines.append(f"| {ROWS[row][0]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Run what is missing, and write the table."""
    jobs = [(row, seed) for seed in FLAGS.seeds for row in ROWS]
    found = {row: [] for row in ROWS}
    for row, seed in (bar := tqdm(jobs, unit="run")):
        bar.set_description(f"{row}, seed {seed}")
        found[row].append(score(row, seed))
    text = table({row: np.array(scores) for row, scores in found.items()})
    write_file(FLAGS.out, text.encode())
    print(text)


if __name__ == "__main__":
    run(main)
